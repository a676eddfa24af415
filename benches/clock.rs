//! The time of day in microseconds, taken once and monotonic from there.
//!
//! A send time travels inside the message and may have been written by another process (the limit), so it has to
//! mean the same in both; within a process it must never step back. Hence one look at the wall clock at the start
//! and the monotonic clock afterwards. A step of the wall clock between the starts of two processes shifts the
//! latencies of that run; nothing else reads the wall clock.

use std::time::{Instant, SystemTime};

/// A clock of this process, comparable with the clocks of other processes of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor_us: u64,
    started: Instant,
}

impl Clock {
    /// A clock that is set now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "these programs have no runtime whose time could be paused"
    )]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            anchor_us: since_1970.as_secs() * 1_000_000 + u64::from(since_1970.subsec_micros()),
            started: Instant::now(),
        }
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        let elapsed = self.started.elapsed();
        self.anchor_us + elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }
}
