//! What one worker counts: written by its own thread alone, but for refusals, and read by whoever asks.
//!
//! With one writer a count needs no locked instruction: it is loaded, added to and stored like any other word, and the
//! reader sees some recent value. Whoever scrapes the metrics adds the workers up.

use crate::socket::roll::Roll;
use channel_layer::Scope;
use palabre_protocol::{CloseCode, ErrorCode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_util::task::TaskTracker;

/// Up to how many milliseconds a delivery takes that counts in a bucket; whatever is longer is in none.
pub(crate) const BUCKETS_MS: [u32; 10] = [1, 2, 5, 10, 25, 50, 100, 500, 1_000, 2_500];

/// One worker's numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// WebSockets that are open.
    pub(crate) sockets: Count,
    /// Messages handed to sockets, one for each of both: while the nodes are joined, and while this one is alone.
    pub(crate) out: [Count; 2],
    /// Rooms that read from the history what a full mailbox had lost.
    pub(crate) repairs: Count,
    /// Requests that were refused, by code.
    pub(crate) refusals: [Count; ErrorCode::ALL.len()],
    /// WebSockets that have ended, by code.
    pub(crate) closes: [Count; CloseCode::ALL.len()],
    /// How long messages took, by bucket, then those that took longer.
    pub(crate) took: [Count; BUCKETS_MS.len() + 1],
    /// How long they took together, in microseconds.
    pub(crate) took_us: Count,
    /// Connections that a handler ended by a panic.
    pub(crate) panics: Count,
    /// Its connections, WebSockets or not yet, for whoever has to end them from another thread.
    pub(crate) roll: Arc<Roll>,
    /// What runs on the worker's thread beside its loop: connections, repairs, waits for blocked sockets.
    pub(crate) tasks: TaskTracker,
    /// Seconds that it has turned: one that stands still is held by something.
    pub(crate) seconds: Count,
}

/// A number with one writer, as a rule.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// One more, for a count with several writers, none of which may [`add`](Self::add) to it.
    pub(crate) fn add_one_of_many(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// So many frames were handed to sockets.
    pub(crate) fn handed_out(&self, frames: usize, scope: Scope) {
        self.out[usize::from(scope == Scope::Node)].add(frames as u64);
    }

    /// A request was refused, by the worker or by a consumer on any thread.
    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refusals[place(ErrorCode::ALL, &code)].add_one_of_many();
    }

    pub(crate) fn closed(&self, code: CloseCode) {
        self.closes[place(CloseCode::ALL, &code)].add(1);
    }

    /// A message took so long from its sender's request until it was handed to the sockets.
    pub(crate) fn delivered(&self, took: Duration) {
        let bucket = BUCKETS_MS.iter().position(|ms| took <= Duration::from_millis(u64::from(*ms)));
        self.took[bucket.unwrap_or(BUCKETS_MS.len())].add(1);
        self.took_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// Where a code stands in the list of all.
pub(crate) fn place<C: PartialEq>(all: &[C], code: &C) -> usize {
    all.iter().position(|one| one == code).expect("the list is whole: its crate tests that")
}

/// Several workers' numbers, added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    pub(crate) sockets: u64,
    pub(crate) out: [u64; 2],
    pub(crate) repairs: u64,
    pub(crate) refusals: [u64; ErrorCode::ALL.len()],
    pub(crate) closes: [u64; CloseCode::ALL.len()],
    pub(crate) took: [u64; BUCKETS_MS.len() + 1],
    pub(crate) took_us: u64,
    pub(crate) panics: u64,
    pub(crate) tasks: u64,
    /// Workers whose place another has taken.
    pub(crate) replaced: u64,
}

impl Total {
    /// One worker more.
    pub(crate) fn count(&mut self, tally: &Tally) {
        self.sockets += tally.sockets.get();
        self.repairs += tally.repairs.get();
        self.took_us += tally.took_us.get();
        self.panics += tally.panics.get();
        self.tasks += tally.tasks.len() as u64;
        add(&mut self.out, &tally.out);
        add(&mut self.refusals, &tally.refusals);
        add(&mut self.closes, &tally.closes);
        add(&mut self.took, &tally.took);
    }
}

fn add(sums: &mut [u64], counts: &[Count]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_counts_in_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        for micros in [1, 1_000, 1_001, 2_500_000, 2_500_001, 90_000_000] {
            tally.delivered(Duration::from_micros(micros));
        }
        let took = tally.took.each_ref().map(Count::get);
        assert_eq!(took, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(tally.took_us.get(), 95_002_003);
    }
}
