//! What a consumer asks of its connection: it may run on any thread, and a socket is its worker's alone.
//!
//! So whatever a consumer does to its client is put down here, in order, and done by the connection's task on the worker's
//! thread: after each step of a handler that runs there, at once for one that runs elsewhere.

use crate::consumer::{Failure, apart::Apart, desk::deferred::Deferred, joined::Joined};
use bytes::Bytes;
use channel_layer::{GroupName, MessageId, Span};
use palabre_protocol::CloseCode;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};
use tokio::sync::oneshot;

/// Errands that may wait, and what they may weigh: as much as an outbox holds, which is where most of them go.
const ERRANDS_MAX: u32 = 4_096;
const BYTES_MAX: usize = 1 << 20;

/// How many are done before others have their turn.
pub(super) const ERRANDS_A_TURN: usize = 64;

/// One thing to be done on the worker's thread.
pub(super) enum Errand {
    /// A frame for the client.
    Write(Bytes),
    Close(CloseCode),
    Join(Box<Join>),
    /// The join that has this entry is admitted, with a snapshot.
    Admit(usize, Bytes),
    /// It comes to nothing.
    LetGo(usize),
    Leave(GroupName),
    /// How many sockets of the worker are in the group.
    Count(GroupName, oneshot::Sender<usize>),
    /// A reply that is still being made, by code that runs where its consumer does.
    Defer(Option<Apart>, Deferred),
    /// One that is looked for when this message is handed out.
    Await(MessageId, Deferred),
}

/// A group to be joined, of which so many messages are to be read.
pub(super) struct Join {
    pub(super) group: GroupName,
    pub(super) span: Span,
    pub(super) messages_max: usize,
    pub(super) answer: Answer,
}

/// Who waits for a join.
pub(super) enum Answer {
    /// It is to be admitted, once this is known, with a snapshot of its consumer's.
    Read(oneshot::Sender<Result<Joined, Failure>>),
    /// It is admitted at once, with nothing for a start.
    Admitted(oneshot::Sender<Result<(), Failure>>),
}

impl Answer {
    /// Waits until nobody waits for it any more.
    pub(super) async fn given_up(&mut self) {
        match self {
            Self::Read(answer) => answer.closed().await,
            Self::Admitted(answer) => answer.closed().await,
        }
    }
}

/// The errands of one connection.
#[repr(C)]
pub(super) struct Errands {
    /// Something waits there. With `is_attended` it is what two sides ask of each other, each after it has said its own: so
    /// one of them sees the other.
    is_due: AtomicBool,
    /// The connection's task looks here next by itself.
    is_attended: AtomicBool,
    /// Held for a look.
    list: Mutex<List>,
    /// The connection's task, which is one for all of its life.
    task: OnceLock<Waker>,
}

#[repr(C)]
struct List {
    stage: Stage,
    /// How many wait.
    count: u32,
    bytes: usize,
    /// One is what most handlers ask for; it needs no memory.
    next: Option<Errand>,
    /// Those behind it, which most connections never have.
    #[expect(clippy::box_collection, reason = "a word in each connection instead of four")]
    more: Option<Box<VecDeque<Errand>>>,
}

/// More was asked for than is done, and lost; so the connection has to end.
#[derive(Debug)]
pub(super) struct Overflown;

/// How far a connection has come with its errands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// There were too many: what came after the last of them is lost.
    Overflown,
    /// The connection has ended, or is about to.
    Over,
}

impl Errands {
    pub(super) fn new() -> Self {
        let list = List { stage: Stage::Open, count: 0, bytes: 0, next: None, more: None };
        let (is_due, is_attended, task) = Default::default();
        Self { list: Mutex::new(list), is_due, is_attended, task }
    }

    /// Asks for something to be done, unless the connection has ended or is about to, for more is asked than it can do.
    pub(super) fn ask(&self, errand: Errand) {
        let mut list = self.list();
        if list.stage != Stage::Open {
            // Errands hold code of the application's, whose end may ask for something here.
            drop(list);
            return drop(errand);
        }
        // One frame may be as long as it is.
        let bytes = list.bytes + errand.bytes();
        let mut refused = None;
        if list.count == 0 {
            list.next = Some(errand);
        } else if list.count < ERRANDS_MAX && bytes <= BYTES_MAX {
            list.more.get_or_insert_default().push_back(errand);
        } else {
            list.stage = Stage::Overflown;
            refused = Some(errand);
        }
        list.bytes = bytes;
        list.count += u32::from(refused.is_none());
        self.is_due.store(true, Ordering::SeqCst);
        drop(list);
        if !self.is_attended.load(Ordering::SeqCst) {
            self.wake();
        }
        drop(refused);
    }

    /// Has the task look again what it may do, unless it does by itself.
    pub(super) fn look_again(&self) {
        // Held, so that who has seen the list empty sees what was done before this, or this.
        let list = self.list();
        self.is_due.store(true, Ordering::SeqCst);
        drop(list);
        if !self.is_attended.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// A handler goes on within the connection's task, which looks here as soon as it pauses: who asks need not wake it.
    pub(super) fn attend(&self) {
        self.is_attended.store(true, Ordering::Relaxed);
    }

    /// Takes what was asked for first. That there was too much is said once, after all the rest.
    pub(super) fn next(&self) -> Option<Result<Errand, Overflown>> {
        if !self.is_due.load(Ordering::Relaxed) {
            return None;
        }
        let mut list = self.list();
        let next = list.next.take();
        if let Some(errand) = &next {
            list.bytes -= errand.bytes();
            list.count -= 1;
        }
        if list.count > 0 {
            list.next = list.more.as_mut().and_then(|more| more.pop_front());
            if list.count == 1 {
                // What grew in a burst is given back.
                list.more = None;
            }
        } else {
            self.is_due.store(list.stage == Stage::Overflown && next.is_some(), Ordering::Relaxed);
        }
        if next.is_none() && list.stage == Stage::Overflown {
            list.stage = Stage::Over;
            return Some(Err(Overflown));
        }
        next.map(Ok)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.list().count as usize
    }

    /// Whose task the connection is; said before anybody asks for anything.
    pub(super) fn are_of(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    /// Whether something waits; if nothing does, the task may sleep, and is woken by what comes.
    pub(super) fn are_due(&self) -> bool {
        self.is_attended.store(false, Ordering::SeqCst);
        self.is_due.load(Ordering::SeqCst)
    }

    /// The connection has ended: nothing is done any more. What was not done is for the caller to drop.
    pub(super) fn end(&self) -> impl Iterator<Item = Errand> + use<> {
        let mut list = self.list();
        list.stage = Stage::Over;
        list.count = 0;
        list.next.take().into_iter().chain(list.more.take().into_iter().flat_map(|more| *more))
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errand {
    fn bytes(&self) -> usize {
        match self {
            Self::Write(frame) | Self::Admit(_, frame) => frame.len(),
            _ => 0,
        }
    }
}
