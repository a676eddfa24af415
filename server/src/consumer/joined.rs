//! A join under way: admitted with a snapshot, or never there.

use crate::{
    consumer::Failure,
    socket::Socket,
    worker::{
        Worker,
        texts::{self, Keep, Texts},
    },
};
use bytes::Bytes;
use channel_layer::{GroupName, Recovered, Span};
use serde::Serialize;
use std::{fmt, rc::Rc};

/// What was read of the group, and the right to become its member. Dropped unadmitted, nobody ever joined.
pub struct Joined {
    /// The part of the history that was asked for.
    pub recovered: Recovered,
    hold: Hold,
}

/// A place in a group's room that is given back unless it was taken.
struct Hold {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
    group: GroupName,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.worker.let_go(&self.group, &self.socket);
    }
}

impl Joined {
    pub(crate) async fn read(
        worker: &Rc<Worker>,
        socket: &Rc<Socket>,
        group: &GroupName,
        span: Span,
        messages_max: usize,
    ) -> Result<Self, Failure> {
        // From the hold on nothing is missed; so the history is read after it.
        let heard = worker.hold(group, socket);
        let hold = Hold { worker: Rc::clone(worker), socket: Rc::clone(socket), group: group.clone() };
        if !heard {
            worker.hear(group).await?;
        }
        let recovered = worker.layer.history(group.clone(), span, messages_max).await?;
        Ok(Self { recovered, hold })
    }

    /// The JSON texts of what was read, oldest first: what belongs on a screen, the newest of it if it is more than
    /// the 256 KiB of a snapshot.
    #[must_use]
    pub fn messages(&self) -> Texts {
        self.texts(Keep::Newest, usize::MAX, 0)
    }

    /// At most `messages_max` texts, beside `other_bytes` of the same frame.
    pub(crate) fn texts(&self, keep: Keep, messages_max: usize, other_bytes: usize) -> Texts {
        texts::texts(self.recovered.page(), keep, messages_max, other_bytes)
    }

    /// Makes the client a member: it gets `snapshot`, then everything newer than what was read.
    pub fn admit(self, snapshot: &impl Serialize) {
        self.admit_with(|| palabre_protocol::encode(snapshot));
    }

    /// [`Joined::admit`] with a frame that is made once the client is among the members.
    pub(crate) fn admit_with(self, snapshot: impl FnOnce() -> Bytes) {
        let Hold { worker, socket, group } = &self.hold;
        worker.admit_to(group, socket, self.recovered.page().head, snapshot);
    }

    /// Makes the client a member that gets everything newer than what was read, and nothing for a start.
    pub(crate) fn admit_silently(self) {
        self.admit_with(Bytes::new);
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("group", &self.hold.group).finish_non_exhaustive()
    }
}
