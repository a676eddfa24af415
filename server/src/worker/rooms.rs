//! Who is in which group on this worker, and what they are given.

use crate::{
    socket::Socket,
    worker::{
        Worker,
        fanout::{each, frame_of},
        held::{Held, covers},
        repair::Repair,
    },
};
use bytes::Bytes;
use channel_layer::{GroupMap, GroupName, Position, Posted, Retention};
use indexmap::IndexMap;
use std::{rc::Rc, sync::Arc};

/// The event by which a connection learns that a join of its client can be answered. No consumer has it, for it has no dot.
pub(crate) const ANSWERABLE: &str = "answerable";

#[derive(Default)]
pub(crate) struct Rooms {
    pub(super) rooms: GroupMap<Room>,
    /// How many there have been.
    pub(super) serial: u64,
}

/// One group's sockets on this worker.
#[derive(Default)]
pub(crate) struct Room {
    /// By place: dense to walk, and quick to leave.
    pub(super) live: IndexMap<usize, Rc<Socket>>,
    pub(super) held: Vec<Held>,
    /// The last position that all of `live` were given, with everything before it.
    pub(super) position: Option<Position>,
    /// The worker's channel is in the group.
    pub(super) added: bool,
    /// Which of the rooms that the group has had here.
    pub(super) serial: u64,
    /// A repair is under way.
    pub(super) repair: Option<Box<Repair>>,
}

impl Rooms {
    pub(super) fn get_mut(&mut self, group: &GroupName) -> Option<&mut Room> {
        self.rooms.get_mut(group)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&GroupName, &mut Room)> {
        self.rooms.iter_mut()
    }
}

impl Room {
    /// Gives everybody a frame that stands at `position`, or nowhere.
    pub(super) fn give(&mut self, worker: &Worker, position: Option<Position>, frame: &Bytes) {
        if !self.has(position) {
            for socket in self.live.values() {
                worker.push(socket, frame.clone());
            }
        }
        for held in &mut self.held {
            held.take(worker, position, frame);
        }
        self.reach(position);
    }

    /// Gives everybody a snapshot to begin anew from, which stands at `head`: wherever they stood, there they stand now.
    pub(super) fn restart(&mut self, worker: &Worker, head: Position, frame: &Bytes) {
        for held in &mut self.held {
            match held.ahead {
                Some(_) => {
                    held.ahead = Some(head);
                    worker.push(&held.socket, frame.clone());
                }
                None => held.take(worker, Some(head), frame),
            }
        }
        for socket in self.live.values() {
            worker.push(socket, frame.clone());
        }
        self.position = Some(head);
        self.reach(Some(head));
    }

    /// The members were given what stands at `position`; those who were ahead of them may be with them now.
    fn reach(&mut self, position: Option<Position>) {
        if position.is_some_and(|position| !self.has(Some(position))) {
            self.position = position;
        }
        let position = self.position;
        for held in self.held.extract_if(.., |held| held.is_reached(position)) {
            self.live.insert(held.socket.id.place, held.socket);
        }
    }

    /// Whether the members were given what stands at `position`.
    pub(super) fn has(&self, position: Option<Position>) -> bool {
        self.position.is_some_and(|at| covers(at, position))
    }

    /// Gives everybody some messages: joined into one piece for members, one by one to those who are held.
    pub(super) fn give_all(
        &mut self,
        worker: &Worker,
        messages: &[Arc<Posted>],
        mut give: impl FnMut(&Rc<Socket>, &Bytes),
    ) {
        if !self.held.is_empty() {
            for posted in messages {
                let frame = frame_of(posted);
                self.held.iter_mut().for_each(|held| held.take(worker, posted.position, &frame));
            }
        }
        // The first who joined may have read from the history what still was in the mailbox.
        let known = messages.iter().take_while(|posted| self.has(posted.position)).count();
        let messages = &messages[known..];
        if messages.is_empty() {
            return;
        }
        let piece = match messages {
            [one] => frame_of(one),
            several => {
                let frames: Vec<Bytes> = several.iter().map(|posted| frame_of(posted)).collect();
                frames.concat().into()
            }
        };
        each(self.live.as_slice(), |socket| give(socket, &piece));
        worker.tally.handed_out(messages.len() * self.live.len(), worker.scope.get());
        self.reach(messages.last().and_then(|last| last.position));
    }

    /// Gives a message to those whom it does not exclude, and `instead` to those whom it does.
    ///
    /// An ephemeral one is skipped where it would have to wait.
    pub(super) fn give_except(
        &mut self,
        worker: &Worker,
        posted: &Posted,
        frame: &Bytes,
        instead: Option<&Bytes>,
    ) {
        let ephemeral = posted.retention == Retention::Ephemeral;
        let mut given = 0;
        let for_one = |socket: &Socket| {
            if posted.except.as_ref() == Some(&socket.address) { instead } else { Some(frame) }
        };
        for held in &mut self.held {
            match for_one(&held.socket) {
                Some(frame) if ephemeral => held.hint(worker, frame),
                Some(frame) => held.take(worker, posted.position, frame),
                None => {}
            }
        }
        if self.has(posted.position) {
            return;
        }
        for socket in self.live.values() {
            if ephemeral && socket.is_behind() {
                continue;
            }
            if let Some(frame) = for_one(socket) {
                worker.push(socket, frame.clone());
                given += 1;
            }
        }
        worker.tally.handed_out(given, worker.scope.get());
        self.reach(posted.position);
    }

    /// Hands an event to every member's consumer.
    pub(super) fn tell(&self, posted: &Arc<Posted>) {
        let ahead = self.held.iter().filter(|held| held.hears(posted)).map(|held| &held.socket);
        let members = self.live.values().chain(ahead);
        for socket in members.filter(|socket| posted.except.as_ref() != Some(&socket.address)) {
            socket.tell(Arc::clone(posted));
        }
    }

    /// How many sockets a message goes to.
    pub(super) fn len(&self) -> usize {
        self.live.len() + self.held.len()
    }

    /// Everybody who was admitted.
    pub(super) fn members(&self) -> impl Iterator<Item = &Rc<Socket>> {
        let others = self.held.iter().filter(|held| held.ahead.is_some() || held.is_pending);
        self.live.values().chain(others.map(|held| &held.socket))
    }

    /// Tells those who wait for an answer that they can ask again.
    pub(super) fn tell_pending(&mut self, group: &GroupName) {
        for held in &mut self.held {
            held.tell_answerable(group);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.held.is_empty()
    }

    pub(super) fn take_held(&mut self, socket: &Socket) -> Option<Held> {
        let index = self.held.iter().position(|held| held.socket.id == socket.id)?;
        Some(self.held.swap_remove(index))
    }
}
