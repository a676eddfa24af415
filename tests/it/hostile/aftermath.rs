//! What is left of clients that are gone: nothing, by the hub's own numbers.

use std::time::Duration;

use palabre_tests::HubProcess;
use palabre_tests::http::get;
use tokio::time::{Instant, sleep};

/// What the allocator may keep of memory that was used.
const KEPT_KIB: u64 = 16 << 10;

/// Between two looks: each is a connection of its own for a moment.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A page of `/metrics`.
pub(super) struct Page(String);

impl Page {
    pub(super) async fn of(hub: &HubProcess) -> Self {
        Self(get(hub.addr(), "/metrics").await.text().to_owned())
    }

    /// The value of a series, as it is written.
    fn get(&self, series: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {}", self.0))
    }

    /// How many WebSockets have ended with this code.
    pub(super) fn closes(&self, code: u16) -> u64 {
        self.get(&format!("palabre_closes_total{{code=\"{code}\"}}"))
    }
}

/// What a hub holds, before somebody does something to it.
pub(super) struct Before {
    held: [u64; 3],
    resident_kib: u64,
}

const HELD: [&str; 3] = ["palabre_connections", "palabre_tasks", "process_open_fds"];

impl Before {
    pub(super) async fn of(hub: &HubProcess) -> Self {
        let page = Page::of(hub).await;
        Self { held: HELD.map(|series| page.get(series)), resident_kib: hub.resident_kib() }
    }

    /// Waits until the hub holds no more than it did: no socket, no task, no file, and hardly more memory.
    pub(super) async fn is_back(&self, hub: &HubProcess, what: &str, within: Duration) {
        let ends = Instant::now() + within;
        loop {
            let page = Page::of(hub).await;
            let held = HELD.map(|series| page.get(series));
            if held.iter().zip(self.held).all(|(now, before)| *now <= before) {
                break;
            }
            assert!(Instant::now() < ends, "{what}: {HELD:?} are {held:?} and were {:?}", self.held);
            sleep(LOOK_EVERY).await;
        }
        let grown = self.grown_kib(hub);
        assert!(grown < KEPT_KIB, "{what}: {grown} KiB more than before");
    }

    /// How much more memory the hub holds than before.
    pub(super) fn grown_kib(&self, hub: &HubProcess) -> u64 {
        hub.resident_kib().saturating_sub(self.resident_kib)
    }
}
