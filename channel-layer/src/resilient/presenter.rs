//! The task behind presence over a backend: what each turn has changed is told here and written there, in one round trip a
//! batch.
//!
//! It stands apart from the owner of the order: a list of who is there must never hold up a message. It has one call under
//! way at a time. While there is no link it only turns: the rows of others are shown as they were last known until their
//! leases end, and once the link is back every row is written whole.

use crate::{
    delivery::Delivery,
    name::GroupName,
    presence::{Presented, RowStored, RowWrite, room::Writes, table::Table},
    registry::Registry,
    relay::{LinkError, Relay},
    resilient::presence::{ASKS_MAX, Ask},
    state::{Health, LayerState},
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{collections::VecDeque, future, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

/// Rows that are written, and groups that are read, in one round trip.
const BATCH_MAX: usize = 256;

/// How long one call may take before it counts as failed.
const CALL_MAX: Duration = Duration::from_secs(2);

/// How long a node that ends takes to withdraw its rows; the rest run out.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// A call that has been answered.
#[derive(Debug)]
enum Done {
    Presented(Vec<GroupName>, Result<Vec<Presented>, LinkError>),
    Read(Vec<GroupName>, Result<Vec<Vec<RowStored>>, LinkError>),
}

/// Which call is under way, or was last: they take turns, so that neither questions nor leases have to wait for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Read,
    Write,
}

/// Whatever wakes the task.
enum Event {
    Stop,
    Asked(Option<Ask>),
    Done(Done),
    Tick,
}

/// The task's side.
pub(super) struct Presenter {
    relay: Arc<dyn Relay>,
    table: Arc<Table>,
    registry: Arc<Registry>,
    asks: mpsc::Receiver<Ask>,
    status: watch::Receiver<LayerState>,
    call: Option<BoxFuture<'static, Done>>,
    last: Last,
    /// What is to be written.
    writes: VecDeque<(GroupName, RowWrite)>,
    /// What is to be read.
    unread: Vec<GroupName>,
    /// Who waits for what is read.
    waiting: Vec<Ask>,
    /// When the state of the layer began that this task has seen last.
    seen_ms: Option<u64>,
    /// What is at the backend may not be what this node believes.
    lost: bool,
}

impl Presenter {
    pub(super) fn new(
        relay: Arc<dyn Relay>,
        table: Arc<Table>,
        registry: Arc<Registry>,
        asks: mpsc::Receiver<Ask>,
        status: watch::Receiver<LayerState>,
    ) -> Self {
        Self {
            relay,
            table,
            registry,
            asks,
            status,
            call: None,
            last: Last::Write,
            writes: VecDeque::new(),
            unread: Vec::new(),
            waiting: Vec::new(),
            seen_ms: None,
            lost: false,
        }
    }

    /// Runs until `stop`, or until nobody has the layer; then takes this node's rows away, and says `farewell`.
    pub(super) async fn run(mut self, stop: CancellationToken, farewell: CancellationToken) {
        let _said = farewell.drop_guard();
        let mut ticks = interval(self.table.rules().turn);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start();
            let may_ask = self.waiting.len() < ASKS_MAX;
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                done = answered(&mut self.call) => Event::Done(done),
                ask = self.asks.recv(), if may_ask => Event::Asked(ask),
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Stop => break,
                // Nobody has the layer any more.
                Event::Asked(None) => return,
                Event::Asked(Some(ask)) => self.waiting.push(ask),
                Event::Done(done) => self.done(done),
                Event::Tick => self.turn(),
            }
        }
        // Nothing is left to be said by those who are at a loss for time: the rows run out.
        drop(timeout(FAREWELL_MAX, self.withdraw()).await);
    }

    fn is_linked(&self) -> bool {
        self.status.borrow().health == Health::Healthy
    }

    fn turn(&mut self) {
        let LayerState { health, since_ms, .. } = *self.status.borrow();
        let is_new = self.seen_ms.replace(since_ms) != Some(since_ms);
        let writes = if is_new || health != Health::Healthy || std::mem::take(&mut self.lost) {
            // A link that has changed since: who knows what stands there now.
            self.writes.clear();
            Writes::Away
        } else if self.writes.is_empty() && (self.call.is_none() || self.last == Last::Read) {
            Writes::Take
        } else {
            Writes::Later
        };
        let turned = self.table.turn(Instant::now(), writes);
        for told in turned.told {
            self.registry
                .existing(&told.group, |group| group.fan_out(&Delivery::Presence(Arc::clone(&told))));
        }
        self.writes.extend(turned.writes);
        self.unread = turned.unread;
    }

    /// Starts the next call, if none is under way.
    fn start(&mut self) {
        if self.call.is_some() {
            return;
        }
        if !self.is_linked() {
            self.waiting.clear();
            return;
        }
        let may_read = !self.waiting.is_empty() || !self.unread.is_empty();
        if may_read && (self.last == Last::Write || self.writes.is_empty()) {
            self.last = Last::Read;
            self.call = Some(self.read());
        } else if !self.writes.is_empty() {
            self.last = Last::Write;
            self.call = Some(self.write());
        }
    }

    fn read(&mut self) -> BoxFuture<'static, Done> {
        let mut groups: Vec<GroupName> = self.waiting.iter().map(|ask| ask.group.clone()).collect();
        groups.append(&mut self.unread);
        groups.sort_unstable();
        groups.dedup();
        self.unread = groups.split_off(groups.len().min(BATCH_MAX));
        let relay = Arc::clone(&self.relay);
        async move {
            let rows = timed(relay.rows(groups.clone())).await;
            Done::Read(groups, rows)
        }
        .boxed()
    }

    fn write(&mut self) -> BoxFuture<'static, Done> {
        let batch: Vec<_> = self.writes.drain(..self.writes.len().min(BATCH_MAX)).collect();
        let (relay, lease) = (Arc::clone(&self.relay), self.table.rules().lease);
        async move {
            let groups = batch.iter().map(|(group, _)| group.clone()).collect();
            Done::Presented(groups, timed(relay.present(lease, batch)).await)
        }
        .boxed()
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Read(groups, Ok(rows)) => {
                for (group, rows) in groups.iter().zip(rows) {
                    self.table.learn(group, rows, now);
                }
                self.answer(&groups);
            }
            Done::Read(groups, Err(why)) => {
                // Whoever waits is told what this node knows; the next turn asks again.
                self.answer(&groups);
                self.fail(&why);
            }
            Done::Presented(groups, Ok(presented)) => {
                for (group, Presented { is_there, others }) in groups.iter().zip(presented) {
                    if !is_there {
                        self.table.lose_own(group);
                    }
                    self.table.existing(group, |room| {
                        for other in others {
                            room.confirm(&other.node, other.version, now + other.left);
                        }
                    });
                }
            }
            Done::Presented(_, Err(why)) => {
                // What was written is unknown: all of it is written again, whole.
                self.lost = true;
                self.fail(&why);
            }
        }
    }

    fn answer(&mut self, groups: &[GroupName]) {
        for ask in self.waiting.extract_if(.., |ask| groups.binary_search(&ask.group).is_ok()) {
            // It may have stopped waiting.
            ask.answer.send(()).ok();
        }
    }

    /// Says it once: the layer itself says more of a link that is lost.
    fn fail(&self, why: &LinkError) {
        if self.is_linked() {
            tracing::warn!(event = "layer.presence.failed", %why, "presence could not be exchanged; trying again");
        }
    }

    async fn withdraw(&mut self) {
        if let Some(call) = self.call.take() {
            call.await;
        }
        if !self.is_linked() {
            return;
        }
        let withdrawals = self.table.withdraw();
        for batch in withdrawals.chunks(BATCH_MAX) {
            if self.relay.present(self.table.rules().lease, batch.to_vec()).await.is_err() {
                return;
            }
        }
    }
}

async fn timed<T>(call: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(CALL_MAX, call).await.unwrap_or(Err(LinkError::TimedOut))
}

/// The answer of the call that is under way; never, without one. Cancel safe.
async fn answered(call: &mut Option<BoxFuture<'static, Done>>) -> Done {
    match call {
        Some(under_way) => {
            let done = under_way.await;
            *call = None;
            done
        }
        None => future::pending().await,
    }
}
