//! A socket on its way into a group: what arrives for it until it stands where the members stand.
//!
//! First its history is read, and what arrives waits. Then its snapshot is queued; that may be ahead of the members, for
//! a message is in the history before it has come through the worker's mailbox. What the snapshot has already is passed
//! over until the members have caught up.

use crate::{
    socket::Socket,
    worker::{Worker, rooms::ANSWERABLE},
};
use bytes::Bytes;
use channel_layer::{GroupName, Message, MessageId, Position, Posted};
use std::{rc::Rc, sync::Arc};

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
    /// What it asked for when it came, if that could not be answered: it is a member, and what has a position is not for it before it
    /// has been.
    pub(super) asked: Option<Asked>,
    /// It waits for that answer.
    pub(super) is_pending: bool,
    /// An answer could be had since it last asked, while it was not waiting for one yet.
    pub(super) is_answerable: bool,
    /// Something is missing between its history and what waits here.
    pub(super) broken: bool,
    /// Where its snapshot stands, once that is queued: it is a member, ahead of the others.
    pub(super) ahead: Option<Position>,
}

/// What a joiner asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The position that it came with, if any.
    pub(crate) since: Option<Position>,
}

impl Held {
    pub(super) fn new(socket: &Rc<Socket>, was_live: bool) -> Self {
        Self {
            socket: Rc::clone(socket),
            frames: Vec::new(),
            hints: Vec::new(),
            was_live,
            asked: None,
            is_pending: false,
            is_answerable: false,
            broken: false,
            ahead: None,
        }
    }

    /// Whether it was admitted, now or before this join.
    pub(super) fn is_member(&self) -> bool {
        self.was_live || self.ahead.is_some() || self.is_pending
    }

    /// It can ask again: at once if it waits, and else if it comes to wait.
    pub(super) fn tell_answerable(&mut self, group: &GroupName) {
        self.is_answerable = !self.is_pending;
        if self.is_pending {
            let message = Message::event(MessageId::REPLACED, ANSWERABLE, "");
            self.socket.tell(Arc::new(Posted::new(group.clone(), message, None)));
        }
    }

    /// From now on it waits for an answer to what it `asked`.
    pub(super) fn wait(&mut self, group: &GroupName, asked: Asked) {
        (self.asked, self.is_pending) = (Some(asked), true);
        if std::mem::take(&mut self.is_answerable) {
            self.tell_answerable(group);
        }
    }

    /// Takes a frame that stands at `position`, or nowhere.
    pub(super) fn take(&mut self, worker: &Worker, position: Option<Position>, frame: &Bytes) {
        if self.is_pending {
            if position.is_none() {
                worker.push(&self.socket, frame.clone());
            }
        } else if let Some(ahead) = self.ahead {
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
        if self.ahead.is_none() && !self.is_pending {
            if self.hints.len() < HINTS_MAX {
                self.hints.push(frame.clone());
            }
        } else if !self.socket.is_behind() {
            worker.push(&self.socket, frame.clone());
        }
    }

    /// What it is to be given once it stands at `head`. What is still to be numbered is in no history; and it alone is for whoever
    /// `is_pending`.
    pub(super) fn take_waiting(
        &mut self,
        head: Option<Position>,
        is_pending: bool,
    ) -> impl Iterator<Item = Bytes> {
        let frames = std::mem::take(&mut self.frames);
        let is_covered =
            |(position, _): &(Option<Position>, Bytes)| head.is_some_and(|head| covers(head, *position));
        let covered = frames.iter().rposition(is_covered).map_or(0, |last| last + 1);
        let is_due = move |(index, (position, frame)): (usize, (Option<Position>, Bytes))| {
            let is_due = position.is_none() || (!is_pending && index >= covered);
            is_due.then_some(frame)
        };
        frames.into_iter().enumerate().filter_map(is_due).chain(std::mem::take(&mut self.hints))
    }

    /// Whether what stands at `position` waits here already.
    fn was_given(&self, position: Option<Position>) -> bool {
        let last = self.frames.iter().rev().find_map(|(position, _)| *position);
        last.is_some_and(|last| covers(last, position))
    }

    /// Whether an event is news to it: to a member of before as to any, and else what its history did not have.
    pub(super) fn hears(&self, posted: &Posted) -> bool {
        self.was_live || self.is_pending || self.ahead.is_some_and(|ahead| !covers(ahead, posted.position))
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
