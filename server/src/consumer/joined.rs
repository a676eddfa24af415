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
use palabre_protocol::{ErrorCode, Refusal};
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
        let Some(heard) = worker.hold(group, socket) else {
            return Err(Refusal::new(ErrorCode::Closed, "the connection has ended").into());
        };
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
        // Made first: that is an application's code, and if it fails nobody has come in.
        let frame = palabre_protocol::encode(snapshot);
        self.admit_with(|| frame);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::scene::Scene;
    use channel_layer::ChannelLayer;
    use serde::ser::Error;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// A snapshot that its application cannot write.
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("as it was made"))
        }
    }

    #[tokio::test]
    async fn who_cannot_be_given_a_snapshot_has_not_entered() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        let read = Joined::read(&scene.worker, &socket, &scene.group, Span::Latest, 1).await;
        let joined = read.unwrap();
        let failed = catch_unwind(AssertUnwindSafe(|| joined.admit(&Unwritable)));
        assert!(failed.is_err());
        scene.worker.release(&socket);
        assert_eq!(scene.layer.presence().roster(&scene.group).await.occupancy, 0, "a ghost");
    }

    #[tokio::test]
    async fn a_socket_that_was_let_go_joins_nothing() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        scene.worker.release(&socket);
        let read = Joined::read(&scene.worker, &socket, &scene.group, Span::Latest, 1).await;
        let Err(Failure(refusal)) = read else { panic!("it may join") };
        assert_eq!(refusal.code, ErrorCode::Closed);
        assert_eq!(scene.worker.members(&scene.group), 0);
        assert_eq!(scene.layer.presence().roster(&scene.group).await.occupancy, 0);
    }
}
