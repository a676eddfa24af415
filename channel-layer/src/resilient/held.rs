//! What arrives of a group that is not in step: it waits until what is missing before it has been read.

use crate::delivery::Posted;
use std::{collections::VecDeque, sync::Arc};

/// What a group may hold back while it is being repaired or opened; beyond it the rest is read again.
pub(super) const MESSAGES_MAX: usize = 4_096;

/// The same in bytes: more than a history keeps of a group unless it is told to.
pub(super) const BYTES_MAX: usize = 2 << 20;

/// One group's arrivals, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    arrivals: VecDeque<Arc<Posted>>,
    pub(super) bytes: usize,
}

impl Held {
    /// Holds the next one, if there is room; says whether there was. What does not fit has to be read.
    pub(super) fn hold(&mut self, posted: Arc<Posted>) -> bool {
        let bytes = self.bytes + posted.body.data().len();
        let fits = self.arrivals.len() < MESSAGES_MAX && bytes <= BYTES_MAX;
        if fits {
            self.bytes = bytes;
            self.arrivals.push_back(posted);
        }
        fits
    }

    /// Holds what showed that something before it is missing: it comes first again.
    pub(super) fn hold_first(&mut self, posted: Arc<Posted>) {
        self.bytes += posted.body.data().len();
        self.arrivals.push_front(posted);
    }

    /// The first of them.
    pub(super) fn take(&mut self) -> Option<Arc<Posted>> {
        let posted = self.arrivals.pop_front()?;
        self.bytes -= posted.body.data().len();
        Some(posted)
    }
}
