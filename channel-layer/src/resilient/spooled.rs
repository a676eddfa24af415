//! A message of this node on its way into the history, with the place for its sender's answer.

use crate::{
    error::Result,
    gap::Gap,
    layer::Sent,
    message::Message,
    name::GroupName,
    position::{Position, Scope},
    resilient::room::Taken,
};
use tokio::{sync::oneshot, time::Instant};

/// The place of a message in the order of the calls.
pub(super) type Number = u64;

/// How far a message has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not been sent, or the backend did nothing with it.
    Waiting,
    /// It has been sent, and there is no verdict.
    Sent,
    /// The backend has numbered it; it is still to be seen.
    Placed(Position),
}

/// A message with the place for its answer.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) group: GroupName,
    pub(super) message: Message,
    /// The floor with which it may have been carried out: it stays, whatever this node learns later. `None`: it certainly was not.
    pub(super) floor: Option<Position>,
    pub(super) stage: Stage,
    /// When the members here get it at the latest, and its sender an answer.
    pub(super) due: Instant,
    /// Whether they got it before it had a position.
    pub(super) is_shown: bool,
    pub(super) answer: Option<oneshot::Sender<Result<Sent>>>,
    /// What it takes of the room for all that waits for an answer.
    pub(super) room: Option<Taken>,
    /// It says that others are lost.
    pub(super) gap: Option<Box<Gap>>,
}

impl Spooled {
    /// Tells whoever sent it, once.
    pub(super) fn answer(&mut self, with: Result<(Option<Position>, Scope)>) {
        let id = self.message.id;
        self.room = None;
        if let Some(answer) = self.answer.take() {
            // A caller that dropped the answer does not want to know.
            let _unheard = answer.send(with.map(|(position, scope)| Sent { id, position, scope }));
        }
    }

    /// Whether its sender still waits.
    pub(super) fn is_answered(&self) -> bool {
        self.answer.is_none()
    }

    /// What is counted against the bounds: a message that only this node still has, and how many bytes it takes.
    pub(super) fn weight(&self) -> Option<usize> {
        (self.is_shown && self.gap.is_none()).then(|| self.message.body.data().len() + OVERHEAD_BYTES)
    }
}

/// What a message takes beside its body, roughly.
const OVERHEAD_BYTES: usize = 512;
