//! How a node ends: slowly enough for the others to take its clients in, and not for ever.
//!
//! Every client is told at once when to come back elsewhere, each at another time, and is served as before until then; so
//! the other nodes see a stream of arrivals instead of a storm. Few clients need no time. This is only the plan: the
//! [hub](crate::Hub::drain) carries it out.

use std::{num::NonZeroU32, time::Duration};
use tokio::time::timeout;

/// The times of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainPlan {
    /// How long it still takes new clients after it has said that it is not ready: until what balances the load has
    /// noticed.
    pub delay: Duration,
    /// Over how long its clients leave, at most.
    pub window: Duration,
    /// How many leave in a second, unless the window is too short for that.
    pub rate: NonZeroU32,
    /// When it gives up on whoever still has not ended.
    pub timeout: Duration,
}

impl DrainPlan {
    /// Over how long so many clients leave.
    pub(crate) fn spread(&self, clients: u64) -> Duration {
        let millis = clients.saturating_mul(1_000) / u64::from(self.rate.get());
        Duration::from_millis(millis).min(self.window)
    }

    /// Waits for the end, which says how many could not leave, but not for ever; `left` counts whoever is there still.
    pub(crate) async fn in_time(&self, end: impl Future<Output = u64>, left: impl Fn() -> u64) -> Drained {
        match timeout(self.timeout, end).await {
            Ok(0) => Drained::Whole,
            Ok(cut_off) => Drained::CutOff(cut_off),
            Err(_) => Drained::CutOff(left()),
        }
    }
}

impl Default for DrainPlan {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            window: Duration::from_secs(10),
            // A node takes in many times as many in a second, beside what it does for those who are there.
            rate: NonZeroU32::new(1_000).expect("it is not zero"),
            timeout: Duration::from_secs(30),
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every client has left, and what was queued has been sent.
    Whole,
    /// Time was up, or a handler held the thread that was to let them leave. So many connections were still open.
    CutOff(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_leave_at_once_and_many_take_no_longer_than_the_window() {
        let plan = DrainPlan::default();
        let spread = |clients| plan.spread(clients).as_millis();
        assert_eq!([spread(0), spread(3), spread(500), spread(10_000)], [0, 3, 500, 10_000]);
        assert_eq!([spread(10_001), spread(u64::MAX)], [10_000, 10_000]);
    }
}
