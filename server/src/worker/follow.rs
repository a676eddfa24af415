//! How long messages take: one at a time is followed from its sender's request to the writes that it causes here.
//!
//! By one clock, and almost for nothing: a comparison a delivery, and the clock a hundred times a second. A message that
//! never comes back, for it was refused or nobody here is in its group, is given up when the next one sets out.

use crate::worker::tally::Tally;
use channel_layer::MessageId;
use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Between two that are followed, so that a busy worker does not read the clock for each.
const REST: Duration = Duration::from_millis(10);

/// A message that takes longer is not followed any further.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

/// The message that is followed, if any.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    pub(crate) departures: Arc<Departures>,
    /// It has come back and is being written; since when it had been under way.
    arrived: Cell<Option<Instant>>,
}

/// Where messages set out: on the worker's thread, or wherever a consumer of its connections runs.
#[derive(Debug)]
pub(crate) struct Departures {
    begun: Instant,
    /// Whoever was heard before that need not set out: in nanoseconds since the beginning.
    next: AtomicU64,
    /// Whether one is under way: asked for every delivery. Whoever hands a message out has it after its sender.
    is_underway: AtomicBool,
    /// The one that set out last, if it is still under way. Held for a look, and for a delivery only while there is one.
    last: Mutex<Option<(MessageId, Instant)>>,
}

impl Default for Departures {
    fn default() -> Self {
        let (next, is_underway, last) = Default::default();
        Self { begun: Instant::now(), next, is_underway, last }
    }
}

impl Departures {
    /// A time as [`set_out`](Self::set_out) takes it.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX)
    }

    /// A message sets out, whose sender was heard at so many nanoseconds.
    pub(crate) fn set_out(&self, id: MessageId, heard: u64) {
        if heard < self.next.load(Ordering::Relaxed) {
            return;
        }
        let since = self.begun + Duration::from_nanos(heard);
        *self.last() = Some((id, since));
        self.next.store(self.nanos(since + FOLLOWED_MAX), Ordering::Relaxed);
        self.is_underway.store(true, Ordering::Relaxed);
    }

    /// Since when this message has been under way, if it is the one that is followed; once.
    fn meet(&self, id: MessageId) -> Option<Instant> {
        if !self.is_underway.load(Ordering::Relaxed) {
            return None;
        }
        let (_, since) = self.last().take_if(|(underway, _)| *underway == id)?;
        self.is_underway.store(false, Ordering::Relaxed);
        self.next.store(self.nanos(since + REST), Ordering::Relaxed);
        Some(since)
    }

    fn last(&self) -> MutexGuard<'_, Option<(MessageId, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follow {
    /// A message is handed out.
    pub(super) fn meet(&self, id: MessageId) {
        if let Some(since) = self.departures.meet(id) {
            self.arrived.set(Some(since));
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
        let set_out = |id, at| follow.departures.set_out(id, follow.departures.nanos(at));
        set_out(id(1), now);
        set_out(id(2), now);
        follow.meet(id(2));
        follow.written(&tally);
        assert_eq!(counted(), 0, "only the first is followed");
        follow.meet(id(1));
        follow.meet(id(1));
        follow.written(&tally);
        follow.written(&tally);
        assert_eq!(counted(), 1);

        set_out(id(3), now + REST / 2);
        follow.meet(id(3));
        follow.written(&tally);
        assert_eq!(counted(), 1, "it came too soon after the last one");

        let now = now + 2 * REST;
        set_out(id(3), now);
        set_out(id(4), now + FOLLOWED_MAX + Duration::from_millis(1));
        follow.meet(id(3));
        follow.written(&tally);
        assert_eq!(counted(), 1, "it was given up");
        follow.meet(id(4));
        follow.written(&tally);
        assert_eq!(counted(), 2);
    }
}
