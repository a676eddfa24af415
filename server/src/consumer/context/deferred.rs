//! Replies that are still being made while the client's next requests are handled.

use crate::consumer::{Context, Failure, careful};
use bytes::Bytes;
use channel_layer::MessageId;
use futures_util::future::{FutureExt, LocalBoxFuture};
use palabre_protocol::{CloseCode, ErrorCode, Refusal};
use std::cell::{Cell, RefCell};

/// Work that a connection may have put off.
const DEFERRED_MAX: usize = 64;

/// A reply that is still being made; `None` when there turned out to be none.
pub(crate) type Deferred = LocalBoxFuture<'static, Option<Bytes>>;

/// What a connection has put off.
#[derive(Default)]
pub(super) struct PutOff {
    /// What its task has not taken over yet.
    waiting: RefCell<Vec<Deferred>>,
    /// How much is under way.
    open: Cell<usize>,
    /// It has ended: nobody takes over any more, and work holds the context that would hold it.
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
        if let Some(work) = self.begin(work.boxed_local())? {
            self.keep(work);
        }
        Ok(())
    }

    /// The same for the reply to a send: what it comes to is looked for when the message comes back to this worker, so that both
    /// are one write, and only then is it the connection's to wait for.
    pub(crate) fn defer_until(
        &self,
        id: MessageId,
        work: impl Future<Output = Option<Bytes>> + 'static,
    ) -> Result<(), Failure> {
        if let Some(work) = self.begin(work.boxed_local())? {
            let cx = self.clone();
            self.0.worker.await_message(id, Box::new(move || cx.look(work)));
        }
        Ok(())
    }

    /// What is left of `work` once it has been looked at; it is under way then.
    fn begin(&self, mut work: Deferred) -> Result<Option<Deferred>, Failure> {
        if self.0.put_off.open.get() >= DEFERRED_MAX {
            return Err(Refusal::new(ErrorCode::Overloaded, "too much is under way").into());
        }
        // Without a backend most answers are there at once, and need not be kept for later.
        match (&mut work).now_or_never() {
            Some(frame) => {
                frame.into_iter().for_each(|frame| self.write(frame));
                Ok(None)
            }
            None => {
                self.0.put_off.open.set(self.open() + 1);
                Ok(Some(work))
            }
        }
    }

    /// Looks at work that is under way; if it is not done, its connection's task waits for it.
    fn look(&self, mut work: Deferred) {
        match careful::caught(self.tally(), &mut work).now_or_never() {
            None => {
                self.keep(work);
                self.0.socket.wake.wake();
            }
            Some(Ok(frame)) => {
                frame.into_iter().for_each(|frame| self.write(frame));
                self.deferred_ended();
                // There may have been too much under way to read on.
                if self.0.socket.is_unread.get() {
                    self.0.socket.wake.wake();
                }
            }
            Some(Err(careful::Panicked)) => self.close(CloseCode::Internal),
        }
    }

    fn keep(&self, work: Deferred) {
        if !self.0.put_off.is_over.get() {
            self.0.put_off.waiting.borrow_mut().push(work);
        }
    }

    /// What was put off since this was last asked.
    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        self.0.put_off.waiting.take()
    }

    /// How much is under way.
    pub(crate) fn open(&self) -> usize {
        self.0.put_off.open.get()
    }

    pub(crate) fn deferred_ended(&self) {
        self.0.put_off.open.set(self.open() - 1);
    }

    /// The connection has ended: whatever it has put off is nobody's any more.
    pub(crate) fn end(&self) {
        self.0.put_off.is_over.set(true);
        drop(self.take_deferred());
    }
}
