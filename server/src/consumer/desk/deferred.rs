//! Replies that are still being made while the client's next requests are handled.

use crate::{
    consumer::{
        apart::Apart,
        careful::{self, Panicked},
        desk::Desk,
    },
    worker::awaited::Answering,
};
use bytes::Bytes;
use channel_layer::MessageId;
use futures_util::future::{BoxFuture, FutureExt, LocalBoxFuture};
use palabre_protocol::CloseCode;
use std::{
    cell::RefCell,
    mem,
    rc::{Rc, Weak},
    sync::Arc,
};
use tokio::task::unconstrained;

/// A reply that is still being made; `None` when there turned out to be none.
pub(in crate::consumer) type Deferred = BoxFuture<'static, Option<Bytes>>;

/// The same on the worker's thread, which may only wait for it.
type Local = LocalBoxFuture<'static, Option<Bytes>>;

/// What a connection has put off; nothing, where answers are there at once.
#[derive(Default)]
pub(super) struct PutOff(RefCell<Option<Box<Lists>>>);

#[derive(Default)]
struct Lists {
    /// For its task, which has not taken it over yet.
    waiting: Vec<Local>,
    /// What is looked at when a message is handed out.
    awaiting: Vec<(MessageId, Deferred)>,
}

impl Desk {
    /// Work that goes on apart.
    pub(super) fn from(&self, apart: &Apart, work: Deferred) -> Local {
        let (done, tally, socket) =
            (apart.run(work), Arc::clone(&self.worker.tally), Rc::clone(&self.socket));
        let told = async move {
            done.await.unwrap_or_else(|lost| {
                socket.close(careful::lost(&tally, lost));
                None
            })
        };
        told.boxed_local()
    }

    /// Has a reply looked for when this message is handed out.
    pub(super) fn await_message(self: &Rc<Self>, id: MessageId, work: Deferred) {
        self.put_off.0.borrow_mut().get_or_insert_default().awaiting.push((id, work));
        let desk: Weak<Self> = Rc::downgrade(self);
        self.worker.await_message(id, desk);
    }

    /// What was put off since this was last asked; `with_all`, what waits for a message as well.
    pub(crate) fn take_deferred(&self, with_all: bool) -> Vec<Local> {
        let Some(lists) = &mut *self.put_off.0.borrow_mut() else { return Vec::new() };
        let mut taken = mem::take(&mut lists.waiting);
        if with_all {
            taken.extend(lists.awaiting.drain(..).map(|(_, work)| work as Local));
        }
        taken
    }

    /// How much is under way.
    pub(crate) fn open(&self) -> usize {
        self.hands.open()
    }
}

impl PutOff {
    pub(super) fn keep(&self, work: Local) {
        self.0.borrow_mut().get_or_insert_default().waiting.push(work);
    }

    /// Lets go of all of it.
    pub(super) fn end(&self) {
        // Dropped when nothing is borrowed any more, for it is other people's code.
        drop(self.0.take());
    }

    fn take_awaiting(&self, id: MessageId) -> Option<Deferred> {
        let mut lists = self.0.borrow_mut();
        let awaiting = &mut lists.as_mut()?.awaiting;
        let place = awaiting.iter().position(|(awaited, _)| *awaited == id)?;
        Some(awaiting.swap_remove(place).1)
    }
}

impl Answering for Desk {
    fn try_answer(&self, id: MessageId) {
        let Some(mut work) = self.put_off.take_awaiting(id) else { return };
        // Many messages are handed out in one turn, and the runtime's budget for one would have the rest not be ready.
        let look = unconstrained(careful::caught(&self.worker.tally, &mut work)).now_or_never();
        match look {
            None => {
                self.put_off.keep(work);
                self.socket.wake.wake();
            }
            Some(Ok(frame)) => {
                frame.into_iter().for_each(|frame| self.worker.push(&self.socket, frame));
                // There may have been too much under way to read on.
                if self.socket.is_unread.get() {
                    self.socket.wake.wake();
                }
            }
            Some(Err(Panicked)) => self.socket.close(CloseCode::Internal),
        }
    }
}
