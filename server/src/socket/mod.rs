//! One socket as its worker holds it.
//!
//! The connection's task reads it, the worker writes it; both live on one thread, so there is no lock. What is to be
//! written always passes the outbox: replies, fan-out and closes have one order.

pub(crate) mod groups;
pub(crate) mod outbox;
pub(crate) mod roll;
pub(crate) mod stream;
pub(crate) mod wake;

use crate::socket::{
    groups::Groups,
    outbox::{Flushed, Outbox},
    stream::Stream,
    wake::Wake,
};
use channel_layer::{ChannelName, Member, Posted};
use palabre_protocol::{CloseCode, frame};
use std::{
    cell::{Cell, OnceCell, Ref, RefCell},
    collections::VecDeque,
    fmt,
    sync::Arc,
};
use tokio::time::Instant;

/// Where a socket stands in its worker, and which of those that have stood there it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SocketId {
    pub(crate) place: usize,
    pub(crate) serial: u64,
}

impl SocketId {
    /// The id in an address's local part.
    pub(crate) fn read(local: &str) -> Option<Self> {
        let (place, serial) = local.split_once('-')?;
        Some(Self { place: place.parse().ok()?, serial: serial.parse().ok()? })
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.place, self.serial)
    }
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not said who it is.
    New,
    /// It has said who it is, and was told what it needs to know.
    Welcomed,
    /// It is sent back what it says, and nothing of the hub's own.
    Echo,
}

/// In this order, so that all that a delivery touches of a member is in one line of the processor's cache, with the counts of
/// its [`Rc`](std::rc::Rc): from a descriptor's number at the end of the stream to whether the hub has decided to end it. And what
/// a message of its client's touches is in the next two.
#[repr(C)]
pub(crate) struct Socket {
    pub(crate) stream: Stream,
    /// The worker's turn in which something was last written to it.
    pub(crate) written: Cell<u64>,
    /// The kernel takes no more for now; a task waits until it does.
    pub(crate) blocked: Cell<bool>,
    /// Nothing waits in the outbox, and something may.
    is_idle: Cell<bool>,
    /// It stands in the worker's queue of sockets to be written.
    pub(crate) touched: Cell<bool>,
    /// The hub does not read it for now, so that its silence says nothing.
    pub(crate) is_unread: Cell<bool>,
    /// It stands in the worker's list of those who are in the middle of a message.
    pub(crate) watched: Cell<bool>,
    pub(crate) stage: Cell<Stage>,
    /// The hub has decided to end this connection.
    pub(crate) closing: Cell<Option<CloseCode>>,
    /// Events wait in the inbox.
    has_events: Cell<bool>,
    /// Wakes the connection's task: an event, an outbox that has drained, a reply that it has to wait for, room for a request, a close.
    pub(crate) wake: Wake,
    /// When the client was last heard.
    pub(crate) heard: Cell<Instant>,
    /// Since when the client is in the middle of a message.
    pub(crate) begun: Cell<Option<Instant>>,
    outbox: RefCell<Outbox>,
    /// Events for the connection's consumer.
    inbox: RefCell<VecDeque<Arc<Posted>>>,
    /// The groups that it is in, or is about to be.
    pub(crate) groups: Arc<Groups>,
    pub(crate) id: SocketId,
    /// The address of whatever runs behind this socket.
    pub(crate) address: ChannelName,
    /// Who it is, to the other members of its groups; nobody until it has said hello.
    pub(crate) member: OnceCell<Member>,
}

/// Events that may wait for a connection's consumer; more means that it does not keep up.
const INBOX_MAX: usize = 256;

impl Socket {
    pub(crate) fn new(id: SocketId, address: ChannelName, stream: Stream, now: Instant) -> Self {
        Self {
            id,
            address,
            stream,
            outbox: RefCell::default(),
            is_idle: Cell::new(true),
            touched: Cell::new(false),
            blocked: Cell::new(false),
            inbox: RefCell::default(),
            has_events: Cell::new(false),
            wake: Wake::default(),
            closing: Cell::new(None),
            stage: Cell::new(Stage::New),
            member: OnceCell::new(),
            heard: Cell::new(now),
            is_unread: Cell::new(false),
            written: Cell::new(0),
            begun: Cell::new(None),
            watched: Cell::new(false),
            groups: Arc::default(),
        }
    }

    /// Whether its client has said who it is, and listens.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.stage.get() == Stage::Welcomed
    }

    /// Ends the connection with `code`, unless it is ending already.
    pub(crate) fn close(&self, code: CloseCode) {
        if self.closing.get().is_none() {
            self.closing.set(Some(code));
            self.wake.wake();
        }
    }

    /// The client is not read for a while, by no fault of its own: what it has begun cannot end, and its pongs wait.
    pub(crate) fn stop_reading(&self) {
        self.is_unread.set(true);
        self.begun.set(None);
    }

    /// The client is read again: from now on its silence counts.
    pub(crate) fn go_on_reading(&self) {
        if self.is_unread.replace(false) {
            self.heard.set(Instant::now());
        }
    }

    /// Offers the client what waits once more, and resets the connection unless it takes all of it. Nothing is queued any
    /// more.
    pub(crate) fn end(&self) {
        let flushed = self.with_outbox(|outbox| {
            outbox.end();
            outbox.flush(&self.stream)
        });
        if !matches!(flushed, Ok(Flushed::All)) {
            self.stream.abort();
        }
    }

    /// What waits to be written.
    pub(crate) fn outbox(&self) -> Ref<'_, Outbox> {
        self.outbox.borrow()
    }

    /// Changes what waits to be written.
    pub(crate) fn with_outbox<T>(&self, change: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut outbox = self.outbox.borrow_mut();
        let done = change(&mut outbox);
        self.is_idle.set(outbox.is_idle());
        done
    }

    /// Whether nothing waits, and something may be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.get()
    }

    /// Whether so much waits that the client's requests should wait too.
    pub(crate) fn is_half_full(&self) -> bool {
        !self.is_idle.get() && self.outbox.borrow().is_half_full()
    }

    /// Whether what may be skipped should be: it would have to wait.
    pub(crate) fn is_behind(&self) -> bool {
        self.blocked.get() || self.outbox.borrow().is_behind()
    }

    /// Ends the connection of a client that does not take what is sent to it: after all that waits comes the close frame,
    /// and whatever is sent from now on is dropped, so that it misses an end and nothing in the middle.
    pub(crate) fn cut(&self) {
        self.with_outbox(|outbox| outbox.end_with(frame::close(CloseCode::TooSlow)));
        self.close(CloseCode::TooSlow);
    }

    /// Whether events wait for the connection's consumer.
    pub(crate) fn has_events(&self) -> bool {
        self.has_events.get()
    }

    /// The next event for the connection's consumer.
    pub(crate) fn next_event(&self) -> Option<Arc<Posted>> {
        let mut inbox = self.inbox.borrow_mut();
        let event = inbox.pop_front();
        self.has_events.set(!inbox.is_empty());
        if inbox.is_empty() {
            // Most sockets never get an event, and a burst of them must not keep its room.
            *inbox = VecDeque::new();
        }
        event
    }

    /// Hands an event to the connection's consumer. One that falls behind is closed rather than skipped.
    pub(crate) fn tell(&self, event: Arc<Posted>) {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.len() >= INBOX_MAX {
            drop(inbox);
            self.close(CloseCode::TooSlow);
            return;
        }
        inbox.push_back(event);
        self.has_events.set(true);
        self.wake.wake();
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.id).finish_non_exhaustive()
    }
}
