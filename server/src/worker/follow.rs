//! How long messages take: one at a time is followed from its sender's request to the writes that it causes here.
//!
//! By one clock, and almost for nothing: a comparison a delivery. A message that never comes back, for it was refused or
//! nobody here is in its group, is given up when the next one sets out.

use crate::worker::tally::Tally;
use channel_layer::MessageId;
use std::{cell::Cell, time::Duration};
use tokio::time::Instant;

/// A message that takes longer is not followed any further.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// The message that is followed, if any.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// On its way, since when.
    underway: Cell<Option<(MessageId, Instant)>>,
    /// It has come back and is being written; since when it had been under way.
    arrived: Cell<Option<Instant>>,
}

impl Follow {
    /// A message sets out.
    pub(crate) fn set_out(&self, id: MessageId) {
        let now = Instant::now();
        if self.underway.get().is_none_or(|(_, since)| now.duration_since(since) > FOLLOWED_MAX) {
            self.underway.set(Some((id, now)));
        }
    }

    /// A message is handed out.
    pub(super) fn meet(&self, id: MessageId) {
        if let Some((followed, since)) = self.underway.get()
            && followed == id
        {
            self.underway.set(None);
            self.arrived.set(Some(since));
        }
    }

    /// Whatever was handed out has been written.
    pub(super) fn written(&self, tally: &Tally) {
        if let Some(since) = self.arrived.take() {
            tally.delivered(since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::tally::Count;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn one_message_at_a_time_is_timed_and_a_lost_one_is_given_up() {
        let (follow, tally) = (Follow::default(), Tally::default());
        let took = || tally.took.each_ref().map(Count::get);
        let id = MessageId::from_u128;
        follow.set_out(id(1));
        advance(Duration::from_millis(7)).await;
        follow.set_out(id(2));
        for other in [2, 3, 1, 1] {
            follow.meet(id(other));
        }
        advance(Duration::from_millis(1)).await;
        follow.written(&tally);
        follow.written(&tally);
        assert_eq!((took()[3], took().iter().sum::<u64>()), (1, 1), "8 ms, once");

        follow.set_out(id(4));
        advance(FOLLOWED_MAX + Duration::from_millis(1)).await;
        follow.set_out(id(5));
        follow.meet(id(4));
        follow.meet(id(5));
        follow.written(&tally);
        assert_eq!((took()[0], took().iter().sum::<u64>()), (1, 2));
    }
}
