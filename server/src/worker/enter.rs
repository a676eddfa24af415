//! Into a group's room and out of it.
//!
//! A socket that joins is *held* from the moment its history is read until it stands where the members stand: what
//! arrives meanwhile waits beside it, and what the snapshot has already is dropped. So a joiner sees the snapshot, then
//! each later message once; and one whose join was cut off was never there.

use crate::{
    socket::Socket,
    worker::{
        Worker,
        fanout::{frame_of, gap},
        held::{Asked, Held, is_behind},
        rooms::{Room, Rooms},
    },
};
use bytes::Bytes;
use channel_layer::{Body, Delivery, GroupName, Position};
use std::rc::Rc;

/// Where a joiner is to stand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Head {
    /// At the end of what was read for it.
    At(Position),
    /// Nowhere: it could not be read, and is answered later.
    Pending(Asked),
    /// Wherever the others stand: it asked for nothing of the past.
    Here,
}

impl Worker {
    /// From now on what arrives in `group` waits for `socket`; says whether the worker hears the group already. `None`: the
    /// socket was let go, and nobody would ever take it out of the group again.
    pub(crate) fn hold(&self, group: &GroupName, socket: &Rc<Socket>) -> Option<bool> {
        self.socket(socket.id)?;
        let Rooms { rooms, serial } = &mut *self.rooms.borrow_mut();
        let entry = rooms.entry(group.clone());
        // The room's own, so that all who are in it share one text: less memory, and what is compared is at hand.
        let name = entry.key().clone();
        let room = entry.or_insert_with(|| {
            *serial += 1;
            Room { serial: *serial, ..Room::default() }
        });
        let before = room.take_held(socket);
        let was_held = before.as_ref().is_some_and(Held::is_member);
        let was_live = room.live.swap_remove(&socket.id.place).is_some() || was_held;
        // Whatever comes of this, it is not answered by that.
        let asked = before.and_then(|held| held.asked);
        room.held.push(Held { asked, ..Held::new(socket, was_live) });
        socket.groups.add(name);
        Some(room.added)
    }

    /// How many of this worker's sockets are in the group, or about to be.
    pub(crate) fn members(&self, group: &GroupName) -> usize {
        self.rooms.borrow().rooms.get(group).map_or(0, Room::len)
    }

    /// Adds the worker's channel to the group, for whoever is held in its room; says whether anybody still is.
    pub(crate) async fn hear(&self, group: &GroupName) -> channel_layer::Result<bool> {
        let Some(serial) = self.rooms.borrow().rooms.get(group).map(|room| room.serial) else {
            return Ok(false);
        };
        self.layer.group_add(group.clone(), self.channel.clone()).await?;
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.rooms.get_mut(group) else {
            self.layer.group_discard(group, &self.channel);
            return Ok(false);
        };
        // All may have left, and others have come: they add it themselves.
        let is_the_same = room.serial == serial;
        room.added |= is_the_same;
        Ok(is_the_same)
    }

    /// What a socket that waits for an answer had asked for.
    pub(crate) fn asked(&self, group: &GroupName, socket: &Socket) -> Option<Asked> {
        let rooms = self.rooms.borrow();
        let held = rooms.rooms.get(group)?.held.iter().find(|held| held.socket.id == socket.id)?;
        held.asked.filter(|_| held.is_pending)
    }

    /// Makes a held socket a member: `snapshot`, which stands at `head`, then what is `unplaced`, then what arrived after it. When
    /// the snapshot is made, the socket has entered. Says whether it was held.
    pub(crate) fn admit_to(
        &self,
        group: &GroupName,
        socket: &Rc<Socket>,
        head: Head,
        unplaced: &[Delivery],
        snapshot: impl FnOnce() -> Bytes,
    ) -> bool {
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.rooms.get_mut(group) else { return false };
        let Some(mut held) = room.take_held(socket) else { return false };
        if held.broken {
            // It comes back and reads again; a hole must not go unseen, so nothing follows it.
            socket.cut();
        }
        if !held.was_live {
            self.enter(group, socket);
        }
        let snapshot = snapshot();
        if !snapshot.is_empty() {
            self.push(socket, snapshot);
        }
        // Whoever waited for this answer was given them before.
        let unplaced = if held.asked.is_some() { &[] } else { unplaced };
        unplaced
            .iter()
            .filter_map(|delivery| frame_for(socket, delivery))
            .for_each(|frame| self.push(socket, frame));
        let (at, asked) = match head {
            Head::At(position) => (Some(position), None),
            Head::Pending(asked) => (None, Some(asked)),
            Head::Here => (room.position, None),
        };
        for frame in held.take_waiting(at, asked.is_some()) {
            self.push(socket, frame);
        }
        if let Some(asked) = asked {
            held.wait(group, asked);
            room.held.push(held);
            return true;
        }
        let Some(head) = at else {
            room.live.insert(socket.id.place, Rc::clone(socket));
            return true;
        };
        let at = *room.position.get_or_insert(head);
        if is_behind(at, head) {
            room.held.push(Held { ahead: Some(head), asked: None, ..held });
        } else {
            room.live.insert(socket.id.place, Rc::clone(socket));
        }
        true
    }

    /// A join came to nothing: who was a member stays one, and anybody else was never there.
    pub(crate) fn let_go(&self, group: &GroupName, socket: &Rc<Socket>) {
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.rooms.get_mut(group) else { return };
        if room.held.iter().any(|held| held.socket.id == socket.id && held.ahead.is_some()) {
            // It came to something: the socket is a member, only not yet where the others stand.
            return;
        }
        let Some(mut held) = room.take_held(socket) else { return };
        if let Some(asked) = held.asked {
            // It waits on.
            for frame in held.take_waiting(None, true) {
                self.push(socket, frame);
            }
            held.wait(group, asked);
            room.held.push(held);
            return;
        }
        if held.was_live {
            if held.broken {
                socket.cut();
            }
            for frame in held.frames.into_iter().map(|(_, frame)| frame).chain(held.hints) {
                self.push(socket, frame);
            }
            room.live.insert(socket.id.place, Rc::clone(socket));
            return;
        }
        socket.groups.remove(group);
        self.forget_if_empty(&mut rooms, group);
    }

    /// Takes a socket out of a group.
    pub(crate) fn leave_room(&self, group: &GroupName, socket: &Rc<Socket>) {
        socket.groups.remove(group);
        let mut rooms = self.rooms.borrow_mut();
        if let Some(room) = rooms.rooms.get_mut(group) {
            let was_live = room.live.swap_remove(&socket.id.place).is_some();
            let held = room.take_held(socket);
            if was_live || held.is_some_and(|held| held.is_member()) {
                self.depart(group, socket);
            }
            self.forget_if_empty(&mut rooms, group);
        }
    }

    fn forget_if_empty(&self, rooms: &mut Rooms, group: &GroupName) {
        if rooms.rooms.get(group).is_some_and(Room::is_empty) {
            rooms.rooms.remove(group);
            self.layer.group_discard(group, &self.channel);
        }
    }
}

/// What a joiner is given of what has no place yet, if it is for clients and for this one.
fn frame_for(socket: &Socket, delivery: &Delivery) -> Option<Bytes> {
    match delivery {
        Delivery::Message(posted) if matches!(posted.body, Body::Frame(_)) => {
            (posted.except.as_ref() != Some(&socket.address)).then(|| frame_of(posted))
        }
        Delivery::Gap { group, position, lost, reason } => Some(gap(group, *position, *lost, *reason)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::worker::{
        enter::Head,
        scene::{Scene, offsets},
    };
    use bytes::Bytes;
    use channel_layer::{Message, MessageId};
    use palabre_protocol::CloseCode;

    #[tokio::test]
    async fn who_read_first_and_is_admitted_second_misses_nothing() {
        let mut scene = Scene::new();
        let ((ana, mut anas), (bo, mut bos)) = (scene.socket().await, scene.socket().await);
        scene.join(&ana).await;
        scene.send_frames(1).await;
        scene.deliver_all();
        scene.worker.leave_room(&scene.group, &ana);
        let head = scene.read(&bo).await;
        scene.send_frames(2).await;
        // She has read what he has not, and nobody has been given it yet.
        scene.join(&ana).await;
        scene.deliver_all();
        scene.worker.admit_to(&scene.group, &bo, Head::At(head), &[], Bytes::new);
        scene.send_frames(1).await;
        scene.deliver_all();
        assert_eq!(offsets(&scene.got(&bo, &mut bos).await), [2, 3, 4]);
        assert_eq!(offsets(&scene.got(&ana, &mut anas).await), [1, 4]);
    }

    #[tokio::test]
    async fn the_members_of_a_room_share_its_name() {
        let scene = Scene::new();
        let mut texts = Vec::new();
        for _ in 0..3 {
            let (socket, _client) = scene.socket().await;
            let asked = scene.group.as_str().parse().unwrap();
            scene.worker.hold(&asked, &socket);
            texts.push(socket.groups.take()[0].as_str().as_ptr());
        }
        assert_eq!(texts, [texts[0]; 3]);
    }

    #[tokio::test]
    async fn a_member_hears_events_while_it_joins_again() {
        let mut scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        scene.join(&socket).await;
        let head = scene.read(&socket).await;
        scene.send(Message::event(MessageId::random(), "test.event", "")).await;
        scene.deliver_all();
        assert!(socket.next_event().is_some(), "a second join changes nothing else");
        scene.worker.admit_to(&scene.group, &socket, Head::At(head), &[], Bytes::new);
        assert!(socket.next_event().is_none());
    }

    #[tokio::test]
    async fn a_hole_in_a_second_join_that_came_to_nothing_is_not_passed_over() {
        let mut scene = Scene::new();
        let (socket, mut client) = scene.socket().await;
        scene.join(&socket).await;
        scene.read(&socket).await;
        // More than may wait for a join, in portions that the mailbox holds.
        for _ in 0..5 {
            scene.send_frames(1_000).await;
            scene.deliver_all();
        }
        scene.worker.let_go(&scene.group, &socket);
        scene.send_frames(1).await;
        scene.deliver_all();
        assert_eq!(socket.closing.get(), Some(CloseCode::TooSlow));
        // After its close nothing more is queued, so the client cannot go on behind the hole.
        scene.worker.write(&socket);
        let mut header = [0; 2];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut header).await.unwrap();
        assert_eq!(header[0], 0x88);
    }
}
