//! Looks whether the workers still turn: a handler that computes instead of waiting holds its whole thread.
//!
//! A worker counts its seconds, and a thread of its own looks at the counts. It can only say so, for nobody can take a
//! thread away from who holds it: the sockets of that worker wait, those of the others do not, and who arrives goes to the
//! others. Whoever reads the log knows that it is their handler, and not the network.

use crate::worker::tally::Tally;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Two seconds that were not counted, and the one under way.
const STALLED: Duration = Duration::from_secs(3);

/// One worker, as it is looked at.
pub(super) struct Watched {
    pub(super) tally: Arc<Tally>,
    /// Where it is noted that the worker stands still.
    pub(super) stands: Arc<AtomicBool>,
}

/// The thread that looks; it ends with this value.
pub(super) struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to look at these workers, until they are told to let their clients go.
    pub(super) fn start(
        workers: Vec<Watched>,
        draining: watch::Receiver<Option<Duration>>,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let look = move || {
            let begun = Instant::now();
            let mut lives: Vec<_> = workers.iter().map(|_| Life::new(begun)).collect();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout)
                && draining.borrow().is_none()
            {
                for (number, (worker, life)) in workers.iter().zip(&mut lives).enumerate() {
                    tell(number, life.look(worker.tally.seconds.get(), Instant::now()));
                    worker.stands.store(life.is_stalled, Ordering::Relaxed);
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(look)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics with nobody; and if it did, its end is what was wanted.
            thread.join().ok();
        }
    }
}

fn tell(worker: usize, news: News) {
    match news {
        News::None => {}
        News::Stalled => tracing::error!(
            event = "worker.stalled",
            worker,
            "a handler has held its thread for over 3 s, and all connections of the worker wait for it"
        ),
        News::Resumed(waited) => {
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(event = "worker.resumed", worker, waited_ms, "the worker turns again");
        }
    }
}

/// What a look finds, once for each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    Stalled,
    /// It had not turned for so long.
    Resumed(Duration),
}

/// What is known of one worker.
struct Life {
    seconds: u64,
    counted: Instant,
    is_stalled: bool,
}

impl Life {
    fn new(now: Instant) -> Self {
        Self { seconds: 0, counted: now, is_stalled: false }
    }

    fn look(&mut self, seconds: u64, now: Instant) -> News {
        let silent = now.duration_since(self.counted);
        if seconds != self.seconds {
            *self = Self { seconds, counted: now, is_stalled: false };
            return if silent >= STALLED { News::Resumed(silent) } else { News::None };
        }
        if silent < STALLED || self.is_stalled {
            return News::None;
        }
        self.is_stalled = true;
        News::Stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_told_once_and_so_is_its_end() {
        let begun = Instant::now();
        let mut life = Life::new(begun);
        let told: Vec<_> = [1, 2, 2, 2, 2, 2, 2, 3, 4]
            .into_iter()
            .zip(1..)
            .map(|(seconds, second)| life.look(seconds, begun + Duration::from_secs(second)))
            .collect();
        let none = || News::None;
        let six = News::Resumed(Duration::from_secs(6));
        assert_eq!(told, [none(), none(), none(), none(), News::Stalled, none(), none(), six, none()]);
    }
}
