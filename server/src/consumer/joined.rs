//! A join under way: admitted with a snapshot, or never there.

use crate::{
    consumer::{Failure, errands::Errand, hands::Hands},
    socket::Socket,
    worker::{
        Worker,
        enter::Head,
        held::Asked,
        texts::{self, Keep, Texts},
    },
};
use bytes::Bytes;
use channel_layer::{Delivery, Error, GroupName, Position, Recovered, Span};
use palabre_protocol::{ErrorCode, Refusal};
use serde::Serialize;
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::{Rc, Weak},
    sync::Arc,
};

/// What was read of the group, and the right to become its member. Dropped unadmitted, nobody ever joined.
pub struct Joined {
    /// The part of the history that was asked for.
    pub recovered: Recovered,
    hands: Arc<Hands>,
    /// Where the connection keeps the place; taken once.
    entry: Option<usize>,
}

impl Joined {
    pub(super) fn new(recovered: Recovered, hands: Arc<Hands>, entry: usize) -> Self {
        Self { recovered, hands, entry: Some(entry) }
    }

    /// The JSON texts of what was read, oldest first: what belongs on a screen, the newest of it if it is more than
    /// the 256 KiB of a snapshot.
    #[must_use]
    pub fn messages(&self) -> Texts {
        texts::texts(self.recovered.page(), Keep::Newest, usize::MAX, 0)
    }

    /// Makes the client a member: it gets `snapshot`, then everything newer than what was read.
    pub fn admit(mut self, snapshot: &impl Serialize) {
        // Made first: that is an application's code, and if it fails nobody has come in.
        let frame = palabre_protocol::encode(snapshot);
        if let Some(entry) = self.entry.take() {
            self.hands.ask(Errand::Admit(entry, frame));
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.hands.ask(Errand::LetGo(entry));
        }
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// A place in a group's room, held on the worker's thread; given back unless it is taken.
pub(crate) struct Hold {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
    group: GroupName,
    joins: Rc<Joins>,
    serial: u64,
    /// The worker hears the group already.
    is_heard: bool,
    /// Where the client is to stand: at the head of what was read.
    head: Option<Position>,
    /// What the members here have and the history does not.
    unplaced: Vec<Delivery>,
}

impl Hold {
    /// From now on nothing is missed.
    pub(super) fn take(
        worker: &Rc<Worker>,
        socket: &Rc<Socket>,
        joining: &Joining,
        group: &GroupName,
    ) -> Result<Self, Failure> {
        let Some(is_heard) = worker.hold(group, socket) else {
            return Err(Refusal::new(ErrorCode::Closed, "the connection has ended").into());
        };
        let joins = joining.joins();
        let serial = joins.begin(group);
        let (worker, socket) = (Rc::clone(worker), Rc::clone(socket));
        let group = group.clone();
        Ok(Self { worker, socket, group, joins, serial, is_heard, head: None, unplaced: Vec::new() })
    }

    /// Reads the history, which comes after the hold: so there is no hole between them. `None`: it cannot be read now, and the
    /// group's members are told when it can.
    pub(crate) async fn read(
        mut self,
        span: Span,
        messages_max: usize,
    ) -> Result<(Option<Recovered>, Self), Failure> {
        if !self.is_heard && !self.worker.hear(&self.group).await? {
            return Err(left());
        }
        let layer = &self.worker.layer;
        self.unplaced = layer.unplaced(&self.group);
        let recovered = match layer.history(self.group.clone(), span, messages_max).await {
            Err(Error::Unavailable) => None,
            read => Some(read?),
        };
        self.head = recovered.as_ref().map(|recovered| recovered.page().head);
        Ok((recovered, self))
    }

    /// Makes the client a member; `snapshot` is made once it is among them.
    ///
    /// # Errors
    ///
    /// Another join of the same connection holds this place, or it has left the group since.
    pub(crate) fn admit(self, snapshot: impl FnOnce() -> Bytes) -> Result<(), Failure> {
        match self.head {
            Some(head) => self.admit_at(Head::At(head), snapshot),
            None => Err(Error::Unavailable.into()),
        }
    }

    /// Makes the client a member that is answered later; `word` says so.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub(crate) fn wait(self, since: Option<Position>, word: impl FnOnce() -> Bytes) -> Result<(), Failure> {
        self.admit_at(Head::Pending(Asked { since }), word)
    }

    /// Makes the client a member of what comes from now on.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub(super) fn begin_here(self) -> Result<(), Failure> {
        self.admit_at(Head::Here, Bytes::new)
    }

    fn admit_at(self, head: Head, snapshot: impl FnOnce() -> Bytes) -> Result<(), Failure> {
        if !self.joins.is_latest(&self.group, self.serial) {
            return Err(
                Refusal::new(ErrorCode::Unavailable, "another join took the place of this one").into()
            );
        }
        let is_admitted = self.worker.admit_to(&self.group, &self.socket, head, &self.unplaced, snapshot);
        is_admitted.then_some(()).ok_or_else(left)
    }
}

fn left() -> Failure {
    Refusal::new(ErrorCode::Unavailable, "the group was left before the join was done").into()
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.joins.end(&self.group, self.serial) {
            self.worker.let_go(&self.group, &self.socket);
        }
    }
}

/// The joins of a connection that are under way, each of which holds this: most of a connection's life it joins nothing.
#[derive(Default)]
pub(super) struct Joining(RefCell<Weak<Joins>>);

impl Joining {
    /// How many there are.
    pub(super) fn under_way(&self) -> usize {
        self.0.borrow().strong_count()
    }

    fn joins(&self) -> Rc<Joins> {
        let mut joins = self.0.borrow_mut();
        joins.upgrade().unwrap_or_else(|| {
            let first = Rc::default();
            *joins = Rc::downgrade(&first);
            first
        })
    }
}

/// Which of the joins under way are the latest: in a room a connection has one place, which is that of the latest.
#[derive(Default)]
struct Joins {
    serial: Cell<u64>,
    latest: RefCell<Vec<(GroupName, u64)>>,
}

impl Joins {
    fn begin(&self, group: &GroupName) -> u64 {
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        let mut latest = self.latest.borrow_mut();
        latest.retain(|(held, _)| held != group);
        latest.push((group.clone(), serial));
        serial
    }

    fn is_latest(&self, group: &GroupName, serial: u64) -> bool {
        self.latest.borrow().iter().any(|(held, latest)| held == group && *latest == serial)
    }

    /// Whether it was the latest.
    fn end(&self, group: &GroupName, serial: u64) -> bool {
        let was_latest = self.is_latest(group, serial);
        if was_latest {
            self.latest.borrow_mut().retain(|(held, _)| held != group);
        }
        was_latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        consumer::{Identity, desk::Desk},
        worker::scene::Scene,
    };
    use channel_layer::ChannelLayer;
    use palabre_protocol::Limits;
    use serde::ser::Error;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use tokio::task::LocalSet;

    /// A snapshot that its application cannot write.
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("as it was made"))
        }
    }

    async fn desk(scene: &Scene, socket: &Rc<Socket>) -> Rc<Desk> {
        let identity = Identity { id: "ana".into(), name: "Ana".into() };
        Desk::new(Rc::clone(&scene.worker), Rc::clone(socket), identity, &Limits::default()).await
    }

    async fn occupancy(scene: &Scene) -> usize {
        scene.layer.presence().roster(&scene.group).await.occupancy
    }

    #[tokio::test]
    async fn who_cannot_be_given_a_snapshot_has_not_entered() {
        let story = async {
            let scene = Scene::new();
            let (socket, _client) = scene.socket().await;
            let desk = desk(&scene, &socket).await;
            let cx = desk.context(None);
            let joined = desk.attending(cx.join_since(&scene.group, Span::Latest, 1)).await.unwrap();
            let failed = catch_unwind(AssertUnwindSafe(|| joined.admit(&Unwritable)));
            assert!(failed.is_err());
            desk.run_errands();
            assert_eq!((scene.worker.members(&scene.group), socket.groups.len()), (0, 0));
            scene.worker.release(&socket);
            assert_eq!(occupancy(&scene).await, 0, "a ghost");
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn what_a_connection_was_about_to_join_when_it_ended_is_let_go() {
        let story = async {
            let scene = Scene::new();
            let (socket, _client) = scene.socket().await;
            let desk = desk(&scene, &socket).await;
            let cx = desk.context(None);
            let joined = desk.attending(cx.join_since(&scene.group, Span::Latest, 1)).await.unwrap();
            assert_eq!(scene.worker.members(&scene.group), 1);
            desk.end();
            assert_eq!(scene.worker.members(&scene.group), 0);
            joined.admit(&"too late");
            let refused = desk.attending(cx.join(&scene.group)).await.unwrap_err();
            assert_eq!(refused.0.code, ErrorCode::Closed);
            assert_eq!(occupancy(&scene).await, 0);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn a_socket_that_was_let_go_joins_nothing() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        scene.worker.release(&socket);
        let Err(Failure(refusal)) = desk(&scene, &socket).await.hold(&scene.group) else {
            panic!("it may join")
        };
        assert_eq!(refusal.code, ErrorCode::Closed);
        assert_eq!(scene.worker.members(&scene.group), 0);
        assert_eq!(occupancy(&scene).await, 0);
    }

    #[tokio::test]
    async fn of_two_joins_of_a_group_the_later_has_the_place() {
        let scene = Scene::new();
        let (socket, mut client) = scene.socket().await;
        let desk = desk(&scene, &socket).await;
        let mut read = Vec::new();
        for _ in 0..3 {
            read.push(desk.hold(&scene.group).unwrap().read(Span::Latest, 1).await.unwrap().1);
        }
        let [given_up, late, latest] = read.try_into().ok().unwrap();
        drop(given_up);
        let Err(Failure(refusal)) = late.admit(Bytes::new) else { panic!("it has the other's place") };
        assert_eq!(refusal.code, ErrorCode::Unavailable);
        latest.admit(Bytes::new).unwrap();
        scene.send_frames(1).await;
        let mut scene = scene;
        scene.deliver_all();
        assert_eq!(scene.got(&socket, &mut client).await.len(), 1);
        assert_eq!(occupancy(&scene).await, 1);
    }
}
