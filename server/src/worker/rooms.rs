//! Who is in which group on this worker, and who is about to be.
//!
//! A socket that joins is *held* from the moment its history is read until it stands where the members stand: what
//! arrives meanwhile waits beside it, and what the snapshot has already is dropped. So a joiner sees the snapshot, then
//! each later message once; and one whose join was cut off was never there.

use crate::{
    socket::Socket,
    worker::{
        Worker,
        fanout::{each, frame_of},
        held::{Held, covers, is_behind},
        repair::Repair,
    },
};
use bytes::Bytes;
use channel_layer::{GroupMap, GroupName, Position, Posted};
use indexmap::IndexMap;
use std::{rc::Rc, sync::Arc};

#[derive(Default)]
pub(crate) struct Rooms {
    rooms: GroupMap<Room>,
}

/// One group's sockets on this worker.
#[derive(Default)]
pub(crate) struct Room {
    /// By place: dense to walk, and quick to leave.
    live: IndexMap<usize, Rc<Socket>>,
    pub(super) held: Vec<Held>,
    /// The last position that all of `live` were given, with everything before it.
    pub(super) position: Option<Position>,
    /// The worker's channel is in the group.
    added: bool,
    /// A repair is under way.
    pub(super) repair: Option<Repair>,
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
            held.ahead = held.ahead.and(Some(head));
        }
        self.position = Some(head);
        self.reach(Some(head));
        self.give(worker, None, frame);
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
        let ephemeral = posted.position.is_none();
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
        let ahead = self.held.iter().filter(|held| held.ahead.is_some()).map(|held| &held.socket);
        self.live.values().chain(ahead)
    }

    fn is_empty(&self) -> bool {
        self.live.is_empty() && self.held.is_empty()
    }

    fn take_held(&mut self, socket: &Socket) -> Option<Held> {
        let index = self.held.iter().position(|held| held.socket.id == socket.id)?;
        Some(self.held.swap_remove(index))
    }
}

impl Worker {
    /// From now on what arrives in `group` waits for `socket`; says whether the worker hears the group already. `None`: the
    /// socket was let go, and nobody would ever take it out of the group again.
    pub(crate) fn hold(&self, group: &GroupName, socket: &Rc<Socket>) -> Option<bool> {
        self.socket(socket.id)?;
        let mut rooms = self.rooms.borrow_mut();
        let entry = rooms.rooms.entry(group.clone());
        // The room's own, so that all who are in it share one text: less memory, and what is compared is at hand.
        let name = entry.key().clone();
        let room = entry.or_default();
        let was_held = room.take_held(socket).is_some_and(|held| held.is_member());
        let was_live = room.live.swap_remove(&socket.id.place).is_some() || was_held;
        room.held.push(Held::new(socket, was_live));
        socket.groups.add(name);
        Some(room.added)
    }

    /// How many of this worker's sockets are in the group, or about to be.
    pub(crate) fn members(&self, group: &GroupName) -> usize {
        self.rooms.borrow().rooms.get(group).map_or(0, Room::len)
    }

    /// Adds the worker's channel to the group.
    pub(crate) async fn hear(&self, group: &GroupName) -> channel_layer::Result<()> {
        self.layer.group_add(group.clone(), self.channel.clone()).await?;
        if let Some(room) = self.rooms.borrow_mut().rooms.get_mut(group) {
            room.added = true;
        }
        Ok(())
    }

    /// Makes a held socket a member: `snapshot`, which stands at `head`, then what arrived after it. When it is made, the
    /// socket has entered.
    pub(crate) fn admit_to(
        &self,
        group: &GroupName,
        socket: &Rc<Socket>,
        head: Position,
        snapshot: impl FnOnce() -> Bytes,
    ) {
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.rooms.get_mut(group) else { return };
        let Some(mut held) = room.take_held(socket) else { return };
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
        for frame in held.take_waiting(head) {
            self.push(socket, frame);
        }
        let at = *room.position.get_or_insert(head);
        if is_behind(at, head) {
            held.ahead = Some(head);
            room.held.push(held);
        } else {
            room.live.insert(socket.id.place, Rc::clone(socket));
        }
    }

    /// A join came to nothing: who was a member stays one, and anybody else was never there.
    pub(crate) fn let_go(&self, group: &GroupName, socket: &Rc<Socket>) {
        let mut rooms = self.rooms.borrow_mut();
        let Some(room) = rooms.rooms.get_mut(group) else { return };
        if room.held.iter().any(|held| held.socket.id == socket.id && held.ahead.is_some()) {
            // It came to something: the socket is a member, only not yet where the others stand.
            return;
        }
        let Some(held) = room.take_held(socket) else { return };
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

#[cfg(test)]
mod tests {
    use crate::worker::scene::{Scene, offsets};
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
        scene.worker.admit_to(&scene.group, &bo, head, Bytes::new);
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
        scene.worker.admit_to(&scene.group, &socket, head, Bytes::new);
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
        scene.worker.write(&socket, tokio::time::Instant::now());
        let mut header = [0; 2];
        tokio::io::AsyncReadExt::read_exact(&mut client, &mut header).await.unwrap();
        assert_eq!(header[0], 0x88);
    }
}
