//! What one worker counts: written by its own thread alone, read by whoever asks.
//!
//! With one writer a count needs no locked instruction: it is loaded, added to and stored like any other word, and the
//! reader sees some recent value.

use std::sync::atomic::{AtomicU64, Ordering};

/// One worker's numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// WebSockets that are open.
    pub(crate) sockets: Count,
}

/// A number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
