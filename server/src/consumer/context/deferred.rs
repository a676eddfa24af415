//! Replies that are still being made while the client's next requests are handled.

use crate::{
    consumer::{Context, Failure, careful, context::Desk},
    worker::awaited::Answering,
};
use bytes::Bytes;
use channel_layer::MessageId;
use futures_util::future::{FutureExt, LocalBoxFuture};
use palabre_protocol::{CloseCode, ErrorCode, Refusal};
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};
use tokio::task::unconstrained;

/// Work that a connection may have put off.
const DEFERRED_MAX: usize = 64;

/// A reply that is still being made; `None` when there turned out to be none.
pub(crate) type Deferred = LocalBoxFuture<'static, Option<Bytes>>;

/// What a connection has put off. Work holds the context that holds it here, so the connection's end has to let go of it.
#[derive(Default)]
pub(super) struct PutOff {
    /// For its task, which has not taken it over yet.
    waiting: RefCell<Vec<Deferred>>,
    /// What is looked at when a message is handed out.
    awaiting: RefCell<Vec<(MessageId, Deferred)>>,
    /// How much is under way.
    open: Cell<usize>,
    is_over: Cell<bool>,
}

impl Context {
    /// Lets `work` go on while the client's next requests are handled; the frame that it makes is its reply. For an
    /// ack behind a slow layer, above all. While 16 are under way the client is not read.
    ///
    /// # Errors
    ///
    /// `overloaded` when 64 are under way.
    pub fn defer(&self, work: impl Future<Output = Option<Bytes>> + 'static) -> Result<(), Failure> {
        let mut work = work.boxed_local();
        self.0.put_off.begin()?;
        // Without a backend most answers are there at once, and need not be kept for later.
        match (&mut work).now_or_never() {
            Some(frame) => {
                frame.into_iter().for_each(|frame| self.write(frame));
                self.deferred_ended();
            }
            None => self.0.put_off.keep(work),
        }
        Ok(())
    }

    /// The same for the reply to a send that is not answered yet: it is looked for when the message is handed out here, so
    /// that both are one write, and waited for by the connection's task when that does not happen soon.
    pub(crate) fn defer_with_message(
        &self,
        id: MessageId,
        work: impl Future<Output = Option<Bytes>> + 'static,
    ) -> Result<(), Failure> {
        self.0.put_off.begin()?;
        if !self.0.put_off.is_over.get() {
            self.0.put_off.awaiting.borrow_mut().push((id, work.boxed_local()));
            let desk: Weak<Desk> = Rc::downgrade(&self.0);
            self.0.worker.await_message(id, desk);
        }
        Ok(())
    }

    /// What was put off since this was last asked; `with_all`, what waits for a message as well.
    pub(crate) fn take_deferred(&self, with_all: bool) -> Vec<Deferred> {
        let mut taken = self.0.put_off.waiting.take();
        if with_all {
            taken.extend(self.0.put_off.awaiting.take().into_iter().map(|(_, work)| work));
        }
        taken
    }

    /// How much is under way.
    pub(crate) fn open(&self) -> usize {
        self.0.put_off.open.get()
    }

    pub(crate) fn deferred_ended(&self) {
        self.0.put_off.ended();
    }

    /// The connection has ended: whatever it has put off is nobody's any more.
    pub(crate) fn end(&self) {
        self.0.put_off.is_over.set(true);
        drop(self.take_deferred(true));
    }
}

impl PutOff {
    fn begin(&self) -> Result<(), Failure> {
        if self.open.get() >= DEFERRED_MAX {
            return Err(Refusal::new(ErrorCode::Overloaded, "too much is under way").into());
        }
        self.open.set(self.open.get() + 1);
        Ok(())
    }

    fn keep(&self, work: Deferred) {
        if !self.is_over.get() {
            self.waiting.borrow_mut().push(work);
        }
    }

    fn ended(&self) {
        self.open.set(self.open.get() - 1);
    }

    fn take_awaiting(&self, id: MessageId) -> Option<Deferred> {
        let mut awaiting = self.awaiting.borrow_mut();
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
                self.put_off.ended();
                // There may have been too much under way to read on.
                if self.socket.is_unread.get() {
                    self.socket.wake.wake();
                }
            }
            Some(Err(careful::Panicked)) => self.socket.close(CloseCode::Internal),
        }
    }
}
