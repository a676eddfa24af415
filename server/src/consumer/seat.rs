//! Where a consumer is that runs apart: one handler has it at a time, and it comes back however that ends, but for a panic.
//!
//! A handler that is not waited for any more still has its consumer, until it next pauses and is dropped: if it computes, that
//! may be much later, on another thread.

use crate::{
    consumer::{
        Context,
        careful::{HANDLER_MAX, overran},
        mounted::AnyConsumer,
    },
    listen::handshake::Handshake,
};
use palabre_protocol::CloseCode;
use std::{
    future::poll_fn,
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
};
use tokio::time::timeout;

/// Makes a consumer for a connection.
pub(super) type Factory = dyn Fn(&Handshake) -> Box<dyn AnyConsumer> + Send + Sync;

/// A consumer that knows nothing of its connection yet.
pub(super) struct Unmade {
    pub(super) make: Arc<Factory>,
    pub(super) handshake: Arc<Handshake>,
}

impl Unmade {
    pub(super) fn make(self) -> Box<dyn AnyConsumer> {
        (self.make)(&self.handshake)
    }
}

/// The place of one consumer that runs apart.
pub(super) struct Seat {
    /// Held for a look.
    state: Mutex<State>,
}

enum State {
    Unmade(Unmade),
    There(Box<dyn AnyConsumer>),
    /// A handler has it; somebody may wait for it.
    Lent(Option<Waker>),
    /// It has panicked, and is nobody's any more: its end may panic as well, and has to wait for that.
    Failed(Box<dyn AnyConsumer>),
    /// It has ended, or was never made.
    Gone,
}

/// A consumer that a handler has.
pub(super) struct Lent {
    /// There until it ends.
    consumer: Option<Box<dyn AnyConsumer>>,
    /// It has panicked before.
    has_failed: bool,
    seat: Arc<Seat>,
}

impl Seat {
    pub(super) fn new(unmade: Unmade) -> Self {
        Self { state: Mutex::new(State::Unmade(unmade)) }
    }

    /// What makes the consumer, where its handlers run.
    pub(super) fn make(self: &Arc<Self>) -> Result<impl FnOnce() -> Lent + Send + use<>, CloseCode> {
        let State::Unmade(unmade) = mem::replace(&mut *self.state(), State::Lent(None)) else {
            return Err(CloseCode::Internal);
        };
        let mut lent = Lent { consumer: None, has_failed: false, seat: Arc::clone(self) };
        Ok(move || {
            lent.consumer = Some(unmade.make());
            lent
        })
    }

    /// The consumer, for a handler. One that is not there has ended its connection.
    pub(super) fn lend(self: &Arc<Self>) -> Result<Lent, CloseCode> {
        self.take().filter(|lent| !lent.has_failed).ok_or(CloseCode::Internal)
    }

    /// The consumer if no handler has it.
    pub(super) fn take(self: &Arc<Self>) -> Option<Lent> {
        self.take_from(&mut self.state())
    }

    fn take_from(self: &Arc<Self>, state: &mut State) -> Option<Lent> {
        let (consumer, has_failed) = match mem::replace(state, State::Lent(None)) {
            State::There(consumer) => (consumer, false),
            State::Failed(consumer) => (consumer, true),
            other => {
                *state = other;
                return None;
            }
        };
        Some(Lent { consumer: Some(consumer), has_failed, seat: Arc::clone(self) })
    }

    /// Whether it was made and has not ended, wherever it is: a handler may bring it back at any moment.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(*self.state(), State::Unmade(_) | State::Gone)
    }

    /// Waits until no handler has it any more; `None` if it is gone, or was never made: nobody has to be told of an end
    /// that comes before the beginning. One waits at a time.
    pub(super) async fn returned(self: Arc<Self>) -> Option<Lent> {
        poll_fn(|cx| {
            let mut state = self.state();
            let before = match &mut *state {
                State::Lent(waiter) => waiter.replace(cx.waker().clone()),
                state => return Poll::Ready(self.take_from(state)),
            };
            // What wakes a task may be the last of it.
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    /// Tells the consumer of the end of its connection, in its time, and ends it, which is application code as well.
    pub(super) async fn leave(mut self, why: CloseCode, cx: Context) {
        if !self.has_failed && timeout(HANDLER_MAX, self.disconnected(why, &cx)).await.is_err() {
            overran();
        }
        self.end().await;
    }

    /// Ends the consumer where this is awaited.
    pub(super) fn end(mut self) -> impl Future<Output = ()> + Send + use<> {
        let consumer = self.consumer.take();
        async { drop(consumer) }
    }
}

impl Deref for Lent {
    type Target = dyn AnyConsumer;

    fn deref(&self) -> &Self::Target {
        self.consumer.as_deref().expect("it is there until it ends")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.consumer.as_deref_mut().expect("it is there until it ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let has_failed = self.has_failed || thread::panicking();
        let back = match self.consumer.take() {
            Some(consumer) if has_failed => State::Failed(consumer),
            Some(consumer) => State::There(consumer),
            None => State::Gone,
        };
        let before = mem::replace(&mut *self.seat.state(), back);
        if let State::Lent(Some(waiter)) = before {
            waiter.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::{Consumer, Outcome};
    use futures_util::FutureExt;
    use palabre_protocol::Request;
    use std::{hint, sync::Barrier};

    struct Idle;

    impl Consumer for Idle {
        async fn received(&mut self, _: Request, _: &Context) -> Outcome {
            Ok(())
        }
    }

    #[test]
    fn a_consumer_that_comes_back_while_somebody_looks_is_not_taken_for_gone() {
        for round in 0..2_000 {
            let seat = Arc::new(Seat { state: Mutex::new(State::There(Box::new(Idle))) });
            let lent = seat.lend().unwrap();
            let start = Barrier::new(2);
            let looked = thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    // So that they meet at every point of the look.
                    (0..round % 200).for_each(|_| hint::spin_loop());
                    drop(lent);
                });
                start.wait();
                Arc::clone(&seat).returned().now_or_never()
            });
            assert!(!matches!(looked, Some(None)), "in round {round}");
        }
    }
}
