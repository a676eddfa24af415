//! Who is in a group, as a worker has it: members enter and leave with its rooms, and changes go to their screens.
//!
//! Entered is who was admitted to a room; whoever leaves it, however its connection ends, has left. A change is the first
//! to go when a client is slow: it asks again when its list and the number do not agree.

use crate::{
    socket::Socket,
    worker::{Worker, rooms::Room},
};
use bytes::Bytes;
use channel_layer::{Attendance, GroupName, Member};
use palabre_protocol::{PresenceChange, User};
use std::borrow::Cow;

impl Worker {
    /// A socket has become a member.
    pub(super) fn enter(&self, group: &GroupName, socket: &Socket) {
        if let (Some(presence), Some(member)) = (&self.presence, socket.member.get()) {
            presence.enter(group, member);
        }
    }

    /// A socket that was a member is none any more.
    pub(super) fn depart(&self, group: &GroupName, socket: &Socket) {
        if let (Some(presence), Some(member)) = (&self.presence, socket.member.get()) {
            presence.leave(group, &member.key);
        }
    }

    /// Shows a change to a group's members.
    pub(super) fn show(&self, change: &Attendance) {
        let frame = change.rendered(rendered).clone();
        self.with_room(&change.group, |room| room.show(self, &frame));
    }
}

impl Room {
    /// Gives every member who keeps up a frame that stands nowhere. Who is being admitted is told with the snapshot.
    fn show(&self, worker: &Worker, frame: &Bytes) {
        for socket in self.members().filter(|socket| !socket.is_behind()) {
            worker.push(socket, frame.clone());
        }
    }
}

/// The WebSocket frame of a change: made once a node.
fn rendered(change: &Attendance) -> Bytes {
    let (joined, left) = (names(&change.joined), names(&change.left));
    palabre_protocol::encode(&PresenceChange {
        group: change.group.as_str(),
        occupancy: change.occupancy as u64,
        joined: &users(&change.joined, &joined),
        left: &users(&change.left, &left),
    })
}

/// What members are called. Whoever may write in the backend can call somebody what is no text.
pub(crate) fn names(members: &[Member]) -> Vec<Cow<'_, str>> {
    members.iter().map(|member| String::from_utf8_lossy(&member.info)).collect()
}

/// Members with their names, as the wire has them.
pub(crate) fn users<'a>(members: &'a [Member], names: &'a [Cow<'_, str>]) -> Vec<User<'a>> {
    members.iter().zip(names).map(|(member, name)| User { id: &member.key, name }).collect()
}
