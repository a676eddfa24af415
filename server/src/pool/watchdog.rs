//! Looks whether the workers still turn: code that computes there instead of waiting holds its whole thread.
//!
//! A worker counts its seconds, and a thread of its own looks at the counts, once a second. One that stands still is given no
//! newcomers, and the log says so; one that stands still for the time that a handler has is given up. Looks are counted, not
//! time: a process that was stopped for a minute has a minute behind it, and nobody has held anything. One that has ended by a
//! fault is started anew, at most once a look.

use crate::{
    consumer::careful::HANDLER_MAX,
    pool::crew::{Crew, Relief},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks that find the same count: two seconds that were not counted, and the one under way.
const STALLED: u64 = 3;

/// The same for the time that a handler has.
const OVERDUE: u64 = HANDLER_MAX.as_secs() + 1;

/// The thread that looks; it ends with this value.
pub(super) struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to look at these workers.
    pub(super) fn start(crew: Arc<Crew>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            let mut lives = Vec::new();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                look(&crew, &mut lives, Instant::now());
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
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

/// One look at all of them.
pub(super) fn look(crew: &Crew, lives: &mut Vec<Life>, now: Instant) {
    for _ in 0..crew.let_go() {
        tracing::warn!(
            event = "worker.returned",
            "a worker that was given up has ended; nothing of it is held"
        );
    }
    let news: Vec<_> = crew.with(|workers| {
        lives.resize_with(workers.len(), || Life::new(now));
        let both =
            workers.iter().zip(lives.iter_mut()).enumerate().filter(|(_, (one, _))| !one.is_given_up());
        both.map(|(number, (worker, life))| {
            if worker.has_ended() {
                return (number, News::Gone);
            }
            let news = life.look(worker.tally.seconds.get(), now);
            worker.stands.store(life.is_stalled(), Ordering::Relaxed);
            (number, news)
        })
        .collect()
    });
    for (worker, news) in news {
        match news {
            News::None => {}
            News::Stalled => tracing::error!(
                event = "worker.stalled",
                worker,
                "code has held its thread for over 3 s, and all connections of the worker wait for it"
            ),
            News::Resumed(waited) => {
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(event = "worker.resumed", worker, waited_ms, "the worker turns again");
            }
            News::Gone => match crew.succeed(worker) {
                Ok(true) => {
                    lives[worker] = Life::new(now);
                    tracing::warn!(
                        event = "worker.restarted",
                        worker,
                        "a worker that had failed was started anew"
                    );
                }
                Ok(false) => {}
                Err(error) => tell(worker, Relief::Failed(error)),
            },
            News::Overdue => {
                let life = &mut lives[worker];
                let relief = crew.relieve(worker);
                let is_replaced = matches!(relief, Relief::Replaced(_));
                if is_replaced || !life.is_told {
                    tell(worker, relief);
                }
                life.is_told = true;
                if is_replaced {
                    *life = Life::new(now);
                }
            }
        }
    }
}

fn tell(worker: usize, relief: Relief) {
    match relief {
        Relief::Replaced(connections) => tracing::error!(
            event = "worker.replaced",
            worker,
            connections,
            "code has held its thread for over 5 s; another worker takes its place, and its connections were ended"
        ),
        Relief::Left(connections) => tracing::error!(
            event = "worker.given_up",
            worker,
            connections,
            "code has held its thread for over 5 s while the hub ends; its connections were ended"
        ),
        Relief::TooMany => tracing::error!(
            event = "worker.not_replaced",
            worker,
            "so many threads are held that no more are started; its connections wait"
        ),
        Relief::Failed(error) => tracing::error!(
            event = "worker.not_replaced",
            worker,
            %error,
            "no other thread could be started in its place"
        ),
    }
}

/// What a look finds, once for each change; but that it is time to give it up, or to start it anew, at every look from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    Stalled,
    /// It had not turned for so long.
    Resumed(Duration),
    Overdue,
    /// Its thread has ended.
    Gone,
}

/// What is known of one worker.
pub(super) struct Life {
    seconds: u64,
    counted: Instant,
    /// How often it was found where it was.
    looks: u64,
    /// It was said what became of it.
    is_told: bool,
}

impl Life {
    fn new(now: Instant) -> Self {
        Self { seconds: 0, counted: now, looks: 0, is_told: false }
    }

    fn look(&mut self, seconds: u64, now: Instant) -> News {
        if seconds != self.seconds {
            let (was_stalled, silent) = (self.is_stalled(), now.duration_since(self.counted));
            *self = Self { seconds, ..Self::new(now) };
            return if was_stalled { News::Resumed(silent) } else { News::None };
        }
        self.looks += 1;
        match self.looks {
            STALLED => News::Stalled,
            OVERDUE.. => News::Overdue,
            _ => News::None,
        }
    }

    fn is_stalled(&self) -> bool {
        self.looks >= STALLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(counts: &[u64]) -> Vec<News> {
        let begun = Instant::now();
        let mut life = Life::new(begun);
        let seconds = counts.iter().zip(1..);
        seconds.map(|(count, second)| life.look(*count, begun + Duration::from_secs(second))).collect()
    }

    #[test]
    fn a_stall_is_told_once_and_so_is_its_end() {
        let [none, stalled, resumed] = [News::None, News::Stalled, News::Resumed(Duration::from_secs(6))];
        assert_eq!(
            told(&[1, 2, 2, 2, 2, 2, 2, 3, 4]),
            [none, none, none, none, stalled, none, none, resumed, none]
        );
    }

    #[test]
    fn who_stands_still_for_a_handlers_time_is_to_be_given_up_until_that_is_done() {
        let [none, overdue] = [News::None, News::Overdue];
        assert_eq!(told(&[0; 8])[3..], [none, none, overdue, overdue, overdue]);
    }
}
