//! One consumer of a connection: called in its time, where it runs.

use crate::consumer::{
    Context, Outcome,
    apart::Apart,
    careful::{HANDLER_MAX, caught, in_time, lost, overran},
    desk::Desk,
    mounted::{AnyConsumer, Slot},
    seat::{Seat, Unmade},
};
use channel_layer::{GroupName, Page, Posted};
use futures_util::future::{BoxFuture, FutureExt};
use palabre_protocol::{CloseCode, Request};
use std::{mem, rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long a connection that ends waits for a handler to come back that it does not wait for.
const RETURN_MAX: Duration = Duration::from_millis(100);

/// A consumer with its hands.
pub(crate) struct Seated {
    place: Place,
    cx: Context,
}

enum Place {
    /// It runs inline, where its connection has it at hand.
    Here(Here),
    Apart(Apart, Arc<Seat>),
}

enum Here {
    /// It knows nothing of its connection yet.
    Unmade(Unmade),
    There(Box<dyn AnyConsumer>),
    /// A handler of it runs. One that is found like this when the connection has ended has panicked.
    Busy(Box<dyn AnyConsumer>),
    /// It was never made.
    Gone,
}

impl Seated {
    pub(super) fn new(unmade: Unmade, cx: Context) -> Self {
        let place = match cx.apart() {
            None => Place::Here(Here::Unmade(unmade)),
            Some(apart) => Place::Apart(apart.clone(), Arc::new(Seat::new(unmade))),
        };
        Self { place, cx }
    }

    pub(crate) async fn connected(&mut self, desk: &Rc<Desk>) -> Result<Outcome, CloseCode> {
        match &mut self.place {
            Place::Here(here) => here.make()?,
            Place::Apart(apart, seat) => {
                let (made, cx) = (seat.make()?, self.cx.clone());
                return elsewhere(apart, desk, async move { made().connected(&cx).await }).await;
            }
        }
        self.call(desk, |consumer, cx| consumer.connected(cx)).await
    }

    pub(crate) async fn received(&mut self, request: Request, desk: &Rc<Desk>) -> Result<Outcome, CloseCode> {
        self.call(desk, |consumer, cx| consumer.received(request, cx)).await
    }

    pub(crate) async fn delivered(
        &mut self,
        event: Arc<Posted>,
        desk: &Rc<Desk>,
    ) -> Result<Outcome, CloseCode> {
        self.call(desk, |consumer, cx| async move { consumer.delivered(&event, cx).await }.boxed()).await
    }

    pub(crate) async fn joining(
        &mut self,
        group: GroupName,
        page: Page,
        desk: &Rc<Desk>,
    ) -> Result<Slot, CloseCode> {
        self.call(desk, |consumer, cx| async move { consumer.joining(&group, &page, cx).await }.boxed()).await
    }

    pub(crate) async fn reading(
        &mut self,
        group: GroupName,
        messages: Vec<Arc<Posted>>,
        desk: &Rc<Desk>,
    ) -> Result<Slot, CloseCode> {
        self.call(desk, |consumer, cx| async move { consumer.reading(&group, &messages, cx).await }.boxed())
            .await
    }

    /// Runs a handler in its time, where its consumer runs.
    async fn call<T: Send + 'static>(
        &mut self,
        desk: &Rc<Desk>,
        handler: impl for<'a> FnOnce(&'a mut dyn AnyConsumer, &'a Context) -> BoxFuture<'a, T> + Send + 'static,
    ) -> Result<T, CloseCode> {
        match &mut self.place {
            Place::Here(here) => {
                let done = in_time(desk.attending(handler(here.begin()?, &self.cx))).await;
                here.end();
                done
            }
            Place::Apart(apart, seat) => {
                let (mut consumer, cx) = (seat.lend()?, self.cx.clone());
                let handler = async move { handler(&mut *consumer, &cx).await };
                // Most of what a connection calls runs here, and has no room for it.
                Box::pin(elsewhere(apart, desk, handler)).await
            }
        }
    }

    /// Tells it of the end, if it was told of the beginning, in its time; whatever comes of that is in the log.
    pub(super) async fn disconnected(&mut self, why: CloseCode, desk: &Rc<Desk>) {
        match &mut self.place {
            Place::Here(here) => {
                if let Here::There(consumer) = here {
                    let told = in_time(desk.attending(consumer.disconnected(why, &self.cx)));
                    drop(caught(desk.tally(), told).await);
                }
            }
            Place::Apart(apart, seat) => {
                if !seat.is_alive() {
                    return;
                }
                let lent = seat.take();
                let is_back = lent.is_some();
                let (seat, cx) = (Arc::clone(seat), self.cx.clone());
                let (back, has_come_back) = oneshot::channel();
                let leaving = async move {
                    let lent = match lent {
                        None => seat.returned().await,
                        lent => lent,
                    };
                    // Nobody may wait for it any more.
                    back.send(()).ok();
                    if let Some(lent) = lent {
                        lent.leave(why, cx).await;
                    }
                };
                let told = apart.finish(leaving, desk.tally());
                // A handler that is not waited for any more comes back as soon as it pauses. If it computes, that may be much later, and
                // its consumer is told then.
                if !is_back && timeout(RETURN_MAX, has_come_back).await.is_err() {
                    return;
                }
                match timeout(HANDLER_MAX + RETURN_MAX, desk.attending(told)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => drop(lost(desk.tally(), why)),
                    Err(_) => drop(overran()),
                }
            }
        }
    }
}

impl Drop for Seated {
    /// One that was not told of its end, for the hub has ended with connections left, ends where it ran.
    fn drop(&mut self) {
        if let Place::Apart(apart, seat) = &self.place
            && let Some(lent) = seat.take()
        {
            drop(apart.finish(lent.end(), self.cx.tally()));
        }
    }
}

impl Here {
    fn make(&mut self) -> Result<(), CloseCode> {
        let Self::Unmade(unmade) = mem::replace(self, Self::Gone) else { return Err(CloseCode::Internal) };
        *self = Self::There(unmade.make());
        Ok(())
    }

    /// The consumer, for a handler.
    fn begin(&mut self) -> Result<&mut dyn AnyConsumer, CloseCode> {
        *self = match mem::replace(self, Self::Gone) {
            Self::There(consumer) => Self::Busy(consumer),
            other => other,
        };
        match self {
            Self::Busy(consumer) => Ok(&mut **consumer),
            _ => Err(CloseCode::Internal),
        }
    }

    /// It has come back from its handler.
    fn end(&mut self) {
        *self = match mem::replace(self, Self::Gone) {
            Self::Busy(consumer) => Self::There(consumer),
            other => other,
        };
    }
}

/// Runs a handler apart, in its time.
async fn elsewhere<T: Send + 'static>(
    apart: &Apart,
    desk: &Rc<Desk>,
    handler: impl Future<Output = T> + Send + 'static,
) -> Result<T, CloseCode> {
    desk.begin();
    let done = in_time(desk.attending(apart.run(handler))).await?;
    done.map_err(|why| lost(desk.tally(), why))
}
