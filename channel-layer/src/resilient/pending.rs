//! A message as it was given to the layer, on its way to whoever has the order.

use crate::{
    error::Result,
    layer::Sent,
    message::{Message, Retention},
    name::GroupName,
    position::Scope,
    resilient::room::Taken,
};
use tokio::{sync::oneshot, time::Instant};

/// A message as it was given to the layer, with the place for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) group: GroupName,
    pub(super) message: Message,
    pub(super) retention: Retention,
    /// When its caller has waited for long enough.
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Sent>>,
    /// What it takes of the room for all that waits.
    pub(super) room: Taken,
}

impl Pending {
    /// Answers the sender of an ephemeral message.
    pub(super) fn answer(self, with: Result<Scope>) {
        let id = self.message.id;
        // A caller that dropped the answer does not want to know.
        let _unheard = self.answer.send(with.map(|scope| Sent { id, position: None, scope }));
    }
}
