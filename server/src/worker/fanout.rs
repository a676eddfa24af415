//! From the mailbox to the outboxes: neighbours of a group are joined into one piece, which every member shares.
//!
//! A batch of mail keeps its order. A piece is cut where the group changes, and where not every member gets the same:
//! an exclusion, an event, an ephemeral message, which must be skippable by itself.

use crate::{
    position::on_wire,
    socket::{Socket, SocketId},
    worker::{
        Worker,
        flush::Turn,
        rooms::Room,
        texts::{Keep, SNAPSHOT_MAX, Texts, texts},
    },
};
use bytes::Bytes;
use channel_layer::{Body, Delivery, GapReason, GroupName, Mailbox, MessageId, Position, Posted, Received};
use indexmap::map::Slice;
use palabre_protocol::{Edited, Gap, Item, Placing, Settled, Snapshot, frame};
use std::{hint, iter, rc::Rc, sync::Arc};

/// One piece grows to about this size; a longer one would only be copied more.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Neighbours of one group on their way to its members.
struct Piece {
    messages: Vec<Arc<Posted>>,
    bytes: usize,
}

impl Worker {
    /// Hands out `first` and whatever else waits by now, up to `deliveries_max`.
    ///
    /// What a member gets first in a turn is written at once, and what follows is queued: a member of several groups gets all
    /// of that in one write.
    pub(super) fn deliver(
        self: &Rc<Self>,
        first: Received,
        mailbox: &mut Mailbox,
        deliveries_max: usize,
        turn: &mut Turn,
    ) {
        let mut piece = Piece { messages: self.pieced.take(), bytes: 0 };
        // To count what waits costs a fourth of finding out that nothing does.
        let more = mailbox.len().min(deliveries_max - 1);
        for received in iter::once(first).chain(iter::from_fn(|| mailbox.try_recv()).take(more)) {
            match received {
                Received::Delivery(delivery) => self.take(delivery, &mut piece, turn),
                Received::Lagged { missed } => {
                    self.hand_out(&mut piece, turn);
                    tracing::warn!(
                        event = "worker.lagged",
                        missed,
                        "reading from the history what was missed"
                    );
                    self.repair_everything();
                }
                Received::Closed => break,
            }
        }
        self.hand_out(&mut piece, turn);
        self.pieced.set(piece.messages);
    }

    fn take(self: &Rc<Self>, delivery: Delivery, piece: &mut Piece, turn: &mut Turn) {
        match delivery {
            Delivery::Message(posted) => {
                let is_shared = posted.except.is_none()
                    && posted.position.is_some()
                    && matches!(posted.body, Body::Frame(_));
                let fits = piece.bytes <= PIECE_BYTES_MAX
                    && piece.messages.last().is_none_or(|last| last.group == posted.group);
                if !(is_shared && fits) {
                    self.hand_out(piece, turn);
                }
                if is_shared {
                    piece.bytes += posted.body.data().len();
                    piece.messages.push(posted);
                } else {
                    let group = posted.group.clone();
                    self.awaited.meet(posted.sent_as());
                    self.post_one(&group, &Delivery::Message(posted));
                }
            }
            Delivery::Placed { ref group, .. }
            | Delivery::Gap { ref group, .. }
            | Delivery::Answerable { ref group }
            | Delivery::Resync { ref group, .. } => {
                self.hand_out(piece, turn);
                self.post_one(group, &delivery);
            }
            Delivery::Presence(change) => self.show(&change),
            Delivery::Direct { to, message } => {
                let socket = to.local().and_then(SocketId::read).and_then(|id| self.socket(id));
                if let Some(socket) = socket {
                    match message.body {
                        Body::Frame(payload) => self.push(&socket, frame::text(&payload)),
                        Body::Event { .. } => {
                            // An event to one address has no group; consumers know it by its kind.
                            let group = DIRECT.parse().expect("a name");
                            socket.tell(Arc::new(Posted::new(group, *message, None)));
                        }
                    }
                }
            }
        }
    }

    fn hand_out(&self, piece: &mut Piece, turn: &mut Turn) {
        let Some(first) = piece.messages.first() else { return };
        for posted in &piece.messages {
            self.follow.meet(posted.id);
            self.awaited.meet(posted.sent_as());
        }
        self.with_room(&first.group, |room| {
            if !room.defer(piece.messages.iter().cloned().map(Delivery::Message)) {
                room.give_all(self, &piece.messages, |socket, frames| {
                    self.write_through(socket, frames, turn);
                });
            }
        });
        piece.messages.clear();
        piece.bytes = 0;
    }

    /// One delivery of a group by itself, in its order.
    fn post_one(&self, group: &GroupName, delivery: &Delivery) {
        self.with_room(group, |room| {
            if !room.defer(iter::once_with(|| delivery.clone())) {
                room.post(self, delivery);
            }
        });
    }

    pub(super) fn with_room(&self, group: &GroupName, act: impl FnOnce(&mut Room)) {
        if let Some(room) = self.rooms.borrow_mut().get_mut(group) {
            act(room);
        }
    }
}

impl Room {
    /// Gives one delivery that belongs to a group.
    pub(super) fn post(&mut self, worker: &Worker, delivery: &Delivery) {
        match delivery {
            Delivery::Message(posted) => self.post_message(worker, posted),
            Delivery::Placed { group, id, position } => {
                self.give(worker, Some(*position), &settled(group, *id, *position));
            }
            Delivery::Gap { group, position, lost, reason } => {
                self.give(worker, *position, &gap(group, *position, *lost, *reason));
            }
            Delivery::Answerable { group } => self.tell_pending(group),
            Delivery::Resync { group, reason, page } => {
                self.restart(worker, page.head, &resync(group, reason.as_str(), page));
            }
            Delivery::Presence(_) | Delivery::Direct { .. } => {}
        }
    }

    /// One message: to those who get it, and its position to those who do not.
    pub(super) fn post_message(&mut self, worker: &Worker, posted: &Arc<Posted>) {
        worker.follow.meet(posted.id);
        let settled = posted.position.map(|position| settled(&posted.group, posted.id, position));
        match &posted.body {
            Body::Event { .. } => {
                if !self.has(posted.position) {
                    self.tell(posted);
                }
                if let Some(settled) = settled {
                    self.give(worker, posted.position, &settled);
                }
            }
            Body::Frame(_) => self.give_except(worker, posted, &frame_of(posted), settled.as_ref()),
        }
    }
}

/// The group that an event to one address names.
const DIRECT: &str = "direct";

/// In place of a body that cannot be shown: clients pass over a type that they do not know.
const UNREADABLE: &[u8] = br#"{"type":"unreadable"}"#;

/// Members that are looked at together before they are given something.
const FETCHED_AT_ONCE: usize = 8;

/// Gives something to each member. Each stands somewhere else in memory, where it has not been touched for long: so some are
/// looked at together, and the processor waits for them once instead of for each before its write.
pub(super) fn each(mut members: &Slice<usize, Rc<Socket>>, mut give: impl FnMut(&Rc<Socket>)) {
    while !members.is_empty() {
        let (next, rest) = members.split_at(members.len().min(FETCHED_AT_ONCE));
        for socket in next.values() {
            hint::black_box((socket.blocked.get(), socket.stream.descriptor()));
        }
        next.values().for_each(&mut give);
        members = rest;
    }
}

/// The WebSocket frame of a message for screens.
pub(super) fn frame_of(posted: &Posted) -> Bytes {
    // Whoever may publish in the backend can send a body that is no JSON object.
    let body = posted.body.data();
    placed(posted, if is_object(body) { body } else { UNREADABLE })
}

/// The same of a message of the past: made once a node, for who comes to read it does not come alone.
pub(super) fn rendered(posted: &Posted) -> Bytes {
    posted.rendered(frame_of).clone()
}

/// Whether a body looks like a JSON object that has fields: what stands in a frame beside them can be put before the first.
pub(crate) fn is_object(body: &[u8]) -> bool {
    let inside = body.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inside.is_some_and(|fields| fields.trim_ascii_start().starts_with(b"\""))
}

/// A frame that has a message's position and nothing else of it.
pub(super) fn unreadable(posted: &Posted) -> Bytes {
    placed(posted, UNREADABLE)
}

fn placed(posted: &Posted, body: &[u8]) -> Bytes {
    let placing = Placing {
        group: posted.group.as_str(),
        id: posted.id.as_u128(),
        position: posted.position.map(on_wire),
        was: &[],
        edited: posted
            .version
            .as_ref()
            .map(|version| Edited { first: version.first.map(on_wire), version: version.number }),
    };
    palabre_protocol::place(&placing, body)
}

pub(super) fn settled(group: &GroupName, id: MessageId, position: Position) -> Bytes {
    let items = [Item { id: id.as_u128(), position: on_wire(position) }];
    palabre_protocol::encode(&Settled { group: group.as_str(), items: &items })
}

pub(super) fn gap(group: &GroupName, position: Option<Position>, lost: u64, reason: GapReason) -> Bytes {
    let (group, position, reason) = (group.as_str(), position.map(on_wire), reason.as_str());
    palabre_protocol::encode(&Gap { group, position, lost, reason })
}

pub(super) fn resync(group: &GroupName, reason: &str, page: &channel_layer::Page) -> Bytes {
    let Texts { texts, is_cut, .. } = texts(page, Keep::Newest, SNAPSHOT_MAX, 0);
    let snapshot = Snapshot { messages: &texts, more: is_cut || page.more, occupancy: None, slots: &[] };
    palabre_protocol::resync(group.as_str(), reason, Some(on_wire(page.head)), &snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{MAILBOX_MAX, scene::Scene};
    use channel_layer::Message;
    use serde_json::Value;
    use tokio::task::LocalSet;

    #[test]
    fn an_object_is_shown_however_it_is_spaced_and_nothing_else_is() {
        let kind = |body: &'static str| {
            let message = Message::frame(MessageId::from_u128(1), body);
            let posted = Posted::new("room".parse().unwrap(), message, None);
            let frame = palabre_protocol::payload(&frame_of(&posted));
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            assert_eq!(frame["group"], "room");
            frame["type"].as_str().unwrap().to_owned()
        };
        for body in [r#"{"type":"x"}"#, "{\n  \"type\": \"x\"\n}", r#"{ "type" : "x" , "y" : {} }"#] {
            assert_eq!(kind(body), "x", "{body}");
        }
        for body in ["", "{", "}", "{}", "{ }", "[1]", "null", r#"["type"]"#, r#" {"type":"x"}"#] {
            assert_eq!(kind(body), "unreadable", "{body}");
        }
    }

    #[tokio::test]
    async fn a_loss_that_is_found_at_the_end_of_a_turn_is_repaired() {
        let story = async {
            let mut scene = Scene::new();
            let (socket, _client) = scene.socket().await;
            scene.join(&socket).await;
            scene.send_frames(1).await;
            let first = Received::Delivery(scene.take());
            scene.send_frames(MAILBOX_MAX + 1).await;
            // A turn of one delivery, and then the next.
            scene.deliver(first);
            let next = scene.mailbox.try_recv().unwrap();
            scene.worker.deliver(next, &mut scene.mailbox, 1, &mut Turn::begin(&scene.worker));
            assert_eq!(scene.worker.tally.repairs.get(), 1);
            scene.settled().await;
        };
        LocalSet::new().run_until(story).await;
    }
}
