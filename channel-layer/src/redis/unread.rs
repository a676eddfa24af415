//! What comes from Redis and cannot be read: another build's, a stranger's, or torn. Counted and passed over.
//!
//! The first is said at once, then one line a minute, for whoever can publish could fill a log.

use crate::redis::SUMMARY_EVERY;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;

/// How much could not be read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    count: AtomicU64,
    /// Guards when it was last said; held for a comparison.
    said: Mutex<Option<Instant>>,
}

impl Unread {
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// One more.
    pub(super) fn note(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| at.elapsed() >= SUMMARY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(
                event = "layer.envelope.malformed",
                count,
                "passed over what this build cannot read: another build's, or a stranger's"
            );
        }
    }
}
