//! A socket on its way into a group: what arrives for it until it stands where the members stand.
//!
//! First its history is read, and what arrives waits. Then its snapshot is queued; that may be ahead of the members, for
//! a message is in the history before it has come through the worker's mailbox. What the snapshot has already is passed
//! over until the members have caught up.

use crate::{socket::Socket, worker::Worker};
use bytes::Bytes;
use channel_layer::{Position, Posted};
use std::rc::Rc;

/// Messages that may arrive while a join is under way; more means that its history cannot be read in any useful time.
const HELD_MAX: usize = 4_096;

/// Ephemeral ones that may: of more the later are left out, as they are for whoever does not keep up.
const HINTS_MAX: usize = 256;

pub(super) struct Held {
    pub(super) socket: Rc<Socket>,
    pub(super) frames: Vec<(Option<Position>, Bytes)>,
    /// What is ephemeral, and may be newer than what the snapshot says: it stands nowhere, and comes last.
    pub(super) hints: Vec<Bytes>,
    /// It was a member before: a join again changes no membership, however it ends.
    pub(super) was_live: bool,
    /// Something is missing between its history and what waits here.
    pub(super) broken: bool,
    /// Where its snapshot stands, once that is queued: it is a member, ahead of the others.
    pub(super) ahead: Option<Position>,
}

impl Held {
    pub(super) fn new(socket: &Rc<Socket>, was_live: bool) -> Self {
        Self {
            socket: Rc::clone(socket),
            frames: Vec::new(),
            hints: Vec::new(),
            was_live,
            broken: false,
            ahead: None,
        }
    }

    /// Whether it was admitted, now or before this join.
    pub(super) fn is_member(&self) -> bool {
        self.was_live || self.ahead.is_some()
    }

    /// Takes a frame that stands at `position`, or nowhere.
    pub(super) fn take(&mut self, worker: &Worker, position: Option<Position>, frame: &Bytes) {
        if let Some(ahead) = self.ahead {
            if !covers(ahead, position) {
                worker.push(&self.socket, frame.clone());
            }
        } else if self.was_given(position) {
            // Read from the history for those who are members, and then out of the mailbox.
        } else if self.frames.len() < HELD_MAX {
            self.frames.push((position, frame.clone()));
        } else {
            self.broken = true;
        }
    }

    /// Takes what is ephemeral, if it keeps up.
    pub(super) fn hint(&mut self, worker: &Worker, frame: &Bytes) {
        if self.ahead.is_none() {
            if self.hints.len() < HINTS_MAX {
                self.hints.push(frame.clone());
            }
        } else if !self.socket.is_behind() {
            worker.push(&self.socket, frame.clone());
        }
    }

    /// What it is to be given once it stands at `head`.
    pub(super) fn take_waiting(&mut self, head: Position) -> impl Iterator<Item = Bytes> {
        let mut frames = std::mem::take(&mut self.frames);
        let covered = frames.iter().rposition(|(position, _)| covers(head, *position));
        frames.drain(..covered.map_or(0, |last| last + 1));
        frames.into_iter().map(|(_, frame)| frame).chain(std::mem::take(&mut self.hints))
    }

    /// Whether what stands at `position` waits here already.
    fn was_given(&self, position: Option<Position>) -> bool {
        let last = self.frames.iter().rev().find_map(|(position, _)| *position);
        last.is_some_and(|last| covers(last, position))
    }

    /// Whether an event is news to it: to a member of before as to any, and else what its history did not have.
    pub(super) fn hears(&self, posted: &Posted) -> bool {
        self.was_live || self.ahead.is_some_and(|ahead| !covers(ahead, posted.position))
    }

    /// Whether it is a member and the members, who stand at `position`, have reached it.
    pub(super) fn is_reached(&self, position: Option<Position>) -> bool {
        self.ahead.is_some_and(|ahead| position.is_some_and(|position| !is_behind(position, ahead)))
    }
}

/// Whether who stands at `at` has what stands at `position`. Between epochs nobody can say, and then it is given again.
pub(super) fn covers(at: Position, position: Option<Position>) -> bool {
    position.is_some_and(|position| position.epoch == at.epoch && position.offset <= at.offset)
}

/// Whether who stands at `at` surely lacks something that leads to `position`.
pub(super) fn is_behind(at: Position, position: Position) -> bool {
    at.epoch == position.epoch && at.offset < position.offset
}
