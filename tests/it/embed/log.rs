//! What the log says of consumers that misbehave: one that panics, and one that computes instead of waiting.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use channel_layer::MemoryLayer;
use palabre::{
    Consumer, Context, Hub, Outcome, Runs, people::GuestGate, protocol::Limits, protocol::Request,
};
use palabre_tests::machine::until;

use super::{guest, serve};

/// Above what is told as a stall, with one look of the watchdog more, and below what its worker is given up for.
const COMPUTES: Duration = Duration::from_millis(4_500);

/// What the hubs of this process logged, from warnings on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens to every thread of this process, hubs of other tests among them.
    fn begin() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let format = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        format.with_writer(move || writer.clone()).try_init().expect("no other test listens");
        log
    }

    async fn says(&self, event: &str) {
        let said = async || {
            let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&log).contains(&format!("event=\"{event}\"")).then_some(())
        };
        until(event, said).await;
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Unruly;

impl Consumer for Unruly {
    const RUNS: Runs = Runs::Inline;

    #[expect(clippy::disallowed_methods, reason = "to hold the thread is what this consumer does wrong")]
    async fn received(&mut self, request: Request, _: &Context) -> Outcome {
        match request.kind() {
            "test.panic" => panic!("as it was told"),
            _ => std::thread::sleep(COMPUTES),
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_consumer_that_panics_or_holds_its_thread_stands_in_the_log() {
    let log = Log::begin();
    let hub = Hub::builder(Arc::new(MemoryLayer::new())).gate(GuestGate::new(None, Limits::default()));
    let hub = hub.mount("test", |_| Unruly).start().expect("the hub starts");
    let (_hub, addr) = serve(hub);
    let mut client = guest(addr).await;
    client.raw_text(r#"{"type":"test.panic"}"#).await;
    assert_eq!(client.closed().await, 1011);
    log.says("consumer.panicked").await;

    let mut client = guest(addr).await;
    client.raw_text(r#"{"type":"test.compute"}"#).await;
    log.says("worker.stalled").await;
    log.says("worker.resumed").await;
}
