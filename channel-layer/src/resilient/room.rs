//! How much may wait for the backend in bytes, beside the queues' own numbers of messages.
//!
//! A message takes its room at the door, before it is queued, and gives it back when it is dropped: answered, given up, or
//! lost with the link. So all the queues together hold no more than this, whichever a message stands in, and however
//! long the backend hangs.

use crate::{
    error::{Error, Result},
    message::{Body, Message},
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of lines of chat more than the queues take in number; of the largest messages that a browser may send, 500.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What a message takes beside what it carries: its names, its place in a queue, the place for its answer.
const OVERHEAD_BYTES: usize = 512;

/// The room of one layer.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// Some of it; dropping this gives it back.
#[derive(Debug)]
pub(crate) struct Taken {
    _bytes: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES_MAX)))
    }

    /// Takes what a message needs, which has passed its check.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`].
    pub(super) fn take(&self, message: &Message) -> Result<Taken> {
        let kind = match &message.body {
            Body::Frame(_) => 0,
            Body::Event { kind, .. } => kind.len(),
        };
        let bytes = OVERHEAD_BYTES + kind + message.body.data().len();
        let bytes = u32::try_from(bytes).expect("a checked body is half a megabyte at most");
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        permit.map(|bytes| Taken { _bytes: bytes }).map_err(|_| Error::Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BODY_BYTES_MAX, MessageId};

    #[test]
    fn what_is_full_takes_again_what_was_given_back() {
        let room = Room::new();
        let largest = Message::frame(MessageId::from_u128(1), vec![0; BODY_BYTES_MAX]);
        let mut taken: Vec<_> = std::iter::from_fn(|| room.take(&largest).ok()).collect();
        assert_eq!(taken.len(), WAITING_BYTES_MAX / (BODY_BYTES_MAX + OVERHEAD_BYTES));
        assert_eq!(room.take(&largest).unwrap_err(), Error::Overloaded);
        taken.pop();
        assert!(room.take(&largest).is_ok());
        let event = Message::event(MessageId::from_u128(2), "k".repeat(1_000), "");
        drop(taken);
        let events: Vec<_> = std::iter::from_fn(|| room.take(&event).ok()).collect();
        assert_eq!(events.len(), WAITING_BYTES_MAX / (1_000 + OVERHEAD_BYTES));
    }
}
