//! How long messages take: one at a time is followed from its sender's request to the writes that it causes here.
//!
//! By one clock, and almost for nothing: a comparison a delivery, and the clock a hundred times a second. A message that
//! never comes back, for it was refused or nobody here is in its group, is given up when the next one sets out.

use crate::worker::tally::Tally;
use channel_layer::MessageId;
use std::{cell::Cell, time::Duration};
use tokio::time::Instant;

/// Between two that are followed, so that a busy worker does not read the clock for each.
const REST: Duration = Duration::from_millis(10);

/// A message that takes longer is not followed any further.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// The message that is followed, if any.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// On its way.
    underway: Cell<Option<MessageId>>,
    /// When it set out, or the last one did.
    since: Cell<Option<Instant>>,
    /// It has come back and is being written; since when it had been under way.
    arrived: Cell<Option<Instant>>,
}

impl Follow {
    /// A message sets out.
    pub(crate) fn set_out(&self, id: MessageId, now: Instant) {
        let pause = if self.underway.get().is_some() { FOLLOWED_MAX } else { REST };
        if self.since.get().is_none_or(|since| now.duration_since(since) > pause) {
            self.underway.set(Some(id));
            self.since.set(Some(now));
        }
    }

    /// A message is handed out.
    pub(super) fn meet(&self, id: MessageId) {
        if self.underway.get() == Some(id) {
            self.underway.set(None);
            self.arrived.set(self.since.get());
        }
    }

    /// Whatever was handed out has been written; the clock is read only if somebody waits for it.
    pub(super) fn written(&self, tally: &Tally) {
        if let Some(since) = self.arrived.take() {
            tally.delivered(Instant::now().duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::tally::Count;

    #[test]
    fn one_message_at_a_time_is_followed_after_a_rest_and_a_lost_one_is_given_up() {
        let (follow, tally, now) = (Follow::default(), Tally::default(), Instant::now());
        let counted = || tally.took.each_ref().map(Count::get).iter().sum::<u64>();
        let id = MessageId::from_u128;
        follow.set_out(id(1), now);
        follow.set_out(id(2), now);
        follow.meet(id(2));
        follow.written(&tally);
        assert_eq!(counted(), 0, "only the first is followed");
        follow.meet(id(1));
        follow.meet(id(1));
        follow.written(&tally);
        follow.written(&tally);
        assert_eq!(counted(), 1);

        follow.set_out(id(3), now + REST);
        follow.meet(id(3));
        follow.written(&tally);
        assert_eq!(counted(), 1, "it came too soon after the last one");

        let now = now + 2 * REST;
        follow.set_out(id(3), now);
        follow.set_out(id(4), now + FOLLOWED_MAX + Duration::from_millis(1));
        follow.meet(id(3));
        follow.written(&tally);
        assert_eq!(counted(), 1, "it was given up");
        follow.meet(id(4));
        follow.written(&tally);
        assert_eq!(counted(), 2);
    }
}
