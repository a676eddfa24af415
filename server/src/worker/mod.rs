//! One thread of the node: its sockets, the groups they are in, and the loop that writes to them.
//!
//! Whatever wakes it is an [`Event`]. Nothing here awaits a client, a consumer or Redis, so the next write is never
//! further off than the writes before it. What is said is decided elsewhere; here, to whom and in which order.

pub(crate) mod awaited;
pub(crate) mod enter;
pub(crate) mod fanout;
mod flush;
pub(crate) mod follow;
pub(crate) mod heartbeat;
pub(crate) mod held;
mod leave;
pub(crate) mod presence;
mod repair;
pub(crate) mod rooms;
#[cfg(test)]
pub(crate) mod scene;
pub(crate) mod shore;
pub(crate) mod tally;
pub(crate) mod texts;

use crate::socket::{Socket, SocketId, stream::Stream, wake::Wake};
use awaited::{Awaited, Patience};
use bytes::Bytes;
use channel_layer::{ChannelLayer, Mailbox, Posted, Presence, Received, Scope};
use flush::{Left, Turn};
use follow::Follow;
use heartbeat::Beats;
use leave::{GRACE, Leaving, due};
use palabre_protocol::{ErrorCode, ErrorFrame, RateLimited};
use rooms::Rooms;
use shore::Shore;
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    convert::Infallible,
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tally::Tally;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_tungstenite::tungstenite::protocol::WebSocketContext;
use tokio_util::task::TaskTracker;

/// Deliveries that may wait for a worker. At a thousand sockets a delivery that is about 16 s of writing; a worker
/// further behind repairs from the history.
pub(crate) const MAILBOX_MAX: usize = 4_096;

/// Deliveries taken before the next write: they are joined into fewer, larger ones.
const DELIVERIES_A_TURN: usize = 1_024;

pub(crate) struct Worker {
    pub(crate) layer: Arc<dyn ChannelLayer>,
    /// Who is in which group; `None` when nobody is to be told.
    pub(crate) presence: Option<Arc<dyn Presence>>,
    /// The worker's own address, which its rooms are joined by.
    channel: channel_layer::ChannelName,
    sockets: RefCell<Slab<Rc<Socket>>>,
    serial: Cell<u64>,
    rooms: RefCell<Rooms>,
    /// Room for the neighbours of one group that are handed out together; empty between turns.
    pieced: Cell<Vec<Arc<Posted>>>,
    /// Sockets with something to write, each once, in order of arrival: nobody waits for more than one write of
    /// everybody else.
    touched: RefCell<VecDeque<Rc<Socket>>>,
    /// Replies that go out with a message.
    awaited: Awaited,
    /// Where a socket is read of which nothing is begun.
    pub(crate) reading: RefCell<Vec<u8>>,
    /// What reads messages, while no connection is in the middle of one.
    pub(crate) spare_context: Cell<Option<Box<WebSocketContext>>>,
    /// Wakes the loop that writes, and whether that is needed.
    written: Wake,
    awake: Cell<bool>,
    /// A draining worker has no sockets left.
    emptied: Wake,
    pub(crate) shore: Arc<Shore>,
    /// Sockets that have not said hello, oldest first.
    newcomers: RefCell<VecDeque<(Instant, SocketId)>>,
    /// Sockets whose client was in the middle of a message when it was last read, each once.
    midway: RefCell<Vec<SocketId>>,
    /// Whatever runs on this thread beside the loop: connections, repairs, drains of blocked sockets.
    pub(crate) tasks: TaskTracker,
    draining: Cell<bool>,
    /// Whether clients are sent away while this node is without the others.
    pub(crate) sheds: Cell<bool>,
    beats: Beats,
    pub(crate) tally: Arc<Tally>,
    pub(crate) follow: Follow,
    /// How far what is handed out reaches: the layer's, kept here for every delivery.
    scope: Cell<Scope>,
}

/// The rare things that wake a worker.
enum Event {
    /// The node ends; its clients leave over so long.
    Drain(Duration),
    /// It is time for some of them.
    Leave,
    /// The last socket of a draining worker is gone.
    Empty,
    /// The loop that delivers has panicked.
    Failed,
    LayerChanged,
    Second,
}

impl Worker {
    /// A worker without sockets, and its mailbox. It counts in `tally`.
    pub(crate) fn new(
        layer: Arc<dyn ChannelLayer>,
        presence: Option<Arc<dyn Presence>>,
        tally: Arc<Tally>,
    ) -> (Rc<Self>, Mailbox) {
        let mailbox = layer.new_channel(MAILBOX_MAX);
        let scope = layer.status().borrow().scope();
        let follow = Follow::default();
        let shore = Shore::new(&layer, presence.as_ref(), &tally, &follow);
        let worker = Self {
            channel: mailbox.channel().clone(),
            layer,
            presence,
            sockets: RefCell::default(),
            serial: Cell::new(0),
            rooms: RefCell::default(),
            pieced: Cell::default(),
            touched: RefCell::default(),
            awaited: Awaited::default(),
            reading: RefCell::default(),
            spare_context: Cell::default(),
            written: Wake::default(),
            awake: Cell::new(false),
            emptied: Wake::default(),
            newcomers: RefCell::default(),
            midway: RefCell::default(),
            tasks: tally.tasks.clone(),
            draining: Cell::new(false),
            sheds: Cell::new(false),
            beats: Beats::default(),
            tally,
            follow,
            shore: Arc::new(shore),
            scope: Cell::new(scope),
        };
        (Rc::new(worker), mailbox)
    }

    /// Runs until drained: every connection has ended, or its time is over.
    ///
    /// What is rare is attended to here, and mail and writes by a loop of their own: a look at the rare ones costs
    /// more than a delivery.
    pub(crate) async fn run(
        self: Rc<Self>,
        mailbox: Mailbox,
        mut draining: watch::Receiver<Option<Duration>>,
    ) {
        let mut delivering = self.tasks.spawn_local(Rc::clone(&self).deliver_and_write(mailbox));
        let mut status = self.layer.status();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends_at = None;
        let mut leaving = Leaving::new();
        loop {
            let event = tokio::select! {
                Ok(spread) = draining.wait_for(Option::is_some), if ends_at.is_none() => {
                    Event::Drain(spread.unwrap_or_default())
                }
                () = due(leaving.front()) => Event::Leave,
                () = self.emptied.woken(), if ends_at.is_some() => Event::Empty,
                Ok(()) = status.changed() => Event::LayerChanged,
                Err(_) = &mut delivering => Event::Failed,
                _ = seconds.tick() => Event::Second,
            };
            match event {
                Event::Drain(spread) => {
                    let now = Instant::now();
                    ends_at = Some(now + spread + GRACE);
                    leaving = self.begin_drain(spread, now);
                }
                Event::Leave => self.let_leave(&mut leaving, Instant::now()),
                Event::Empty => return,
                Event::Failed => return self.give_up(),
                Event::LayerChanged => self.layer_changed(*status.borrow_and_update()),
                Event::Second => self.heartbeat(Instant::now()),
            }
            if ends_at.is_some_and(|at| Instant::now() >= at) {
                return;
            }
        }
    }

    /// The loop on the way of a message: takes what waits, writes for a turn, and sleeps when there is neither.
    async fn deliver_and_write(self: Rc<Self>, mut mailbox: Mailbox) -> Infallible {
        let mut is_open = true;
        let mut patience = Patience::new(Rc::clone(&self));
        loop {
            self.awake.set(false);
            let received = if self.touched.borrow().is_empty() {
                tokio::select! {
                    biased;
                    received = mailbox.recv(), if is_open => Some(received),
                    () = self.written.woken() => None,
                    () = patience.over() => None,
                }
            } else {
                mailbox.try_recv()
            };
            self.awake.set(true);
            let mut turn = Turn::begin(&self);
            match received {
                // Its layer was shut down. Clients still get answers, and their closes.
                Some(Received::Closed) => is_open = false,
                Some(first) => self.deliver(first, &mut mailbox, DELIVERIES_A_TURN, &mut turn),
                None => {}
            }
            patience.look(turn.begun);
            if self.flush(&mut turn) == Left::Some {
                // There is more to write: first, whoever is ready may read.
                tokio::task::yield_now().await;
            } else {
                self.follow.written(&self.tally);
            }
        }
    }

    /// Takes a socket in.
    pub(crate) fn admit(&self, stream: Stream) -> Option<Rc<Socket>> {
        if self.draining.get() {
            return None;
        }
        let mut sockets = self.sockets.borrow_mut();
        let entry = sockets.vacant_entry();
        let id = SocketId { place: entry.key(), serial: self.serial.replace(self.serial.get() + 1) };
        let address = self.channel.at(&id.to_string()).ok()?;
        let now = Instant::now();
        stream.bound();
        self.tally.roll.enter(stream.descriptor());
        let socket = Rc::new(Socket::new(id, address, stream, now));
        socket.written.set(self.beats.turns.get());
        entry.insert(Rc::clone(&socket));
        self.tally.sockets.set(sockets.len() as u64);
        Some(socket)
    }

    /// Gives a socket its time to say hello.
    pub(crate) fn await_hello(&self, socket: &Socket) {
        self.newcomers.borrow_mut().push_back((Instant::now(), socket.id));
    }

    /// Lets a socket go: it leaves its groups, and its place is free. What waits is offered to the client once more, and
    /// one that does not take it all is reset: whoever has no place keeps no connection either.
    pub(crate) fn release(&self, socket: &Rc<Socket>) {
        for group in socket.groups.take() {
            self.leave_room(&group, socket);
        }
        socket.end();
        self.tally.roll.strike_off(socket.stream.descriptor());
        let mut sockets = self.sockets.borrow_mut();
        if sockets.get(socket.id.place).is_some_and(|held| held.id == socket.id) {
            sockets.remove(socket.id.place);
            self.tally.sockets.set(sockets.len() as u64);
        }
        if self.draining.get() && sockets.is_empty() {
            self.emptied.wake();
        }
    }

    pub(crate) fn socket(&self, id: SocketId) -> Option<Rc<Socket>> {
        self.sockets.borrow().get(id.place).filter(|socket| socket.id == id).cloned()
    }

    /// The frame of an error, counted.
    pub(crate) fn error(&self, error: &ErrorFrame<'_>) -> Bytes {
        self.tally.refused(error.code);
        palabre_protocol::encode(error)
    }

    /// The frame of an error that says when to come back, counted.
    pub(crate) fn rate_limited(&self, error: &RateLimited<'_>) -> Bytes {
        self.tally.refused(ErrorCode::RateLimited);
        palabre_protocol::encode(error)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palabre_protocol::{CloseCode, frame};
    use scene::Scene;
    use tokio::{io::AsyncReadExt, task::LocalSet, time::timeout};

    #[tokio::test]
    async fn a_connection_stands_on_the_roll_for_as_long_as_it_has_a_place() {
        let scene = Scene::new();
        let roll = Arc::clone(&scene.worker.tally.roll);
        let (socket, _client) = scene.socket().await;
        assert_eq!(roll.len(), 1);
        scene.worker.release(&socket);
        assert_eq!(roll.len(), 0);
    }

    #[tokio::test]
    #[expect(clippy::await_holding_refcell_ref, reason = "that is the fault which delivering is to find")]
    async fn a_worker_that_cannot_deliver_any_more_closes_its_connections_and_ends() {
        let story = async {
            let scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            scene.join(&socket).await;
            let (_drain, draining) = watch::channel(None);
            scene.send_frames(1).await;
            let Scene { worker, mailbox, .. } = scene;
            let rooms = worker.rooms.borrow_mut();
            let ended = timeout(Duration::from_secs(10), Rc::clone(&worker).run(mailbox, draining)).await;
            assert!(ended.is_ok(), "it goes on, and delivers nothing");
            drop(rooms);
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, frame::close(CloseCode::Internal));
        };
        LocalSet::new().run_until(story).await;
    }
}
