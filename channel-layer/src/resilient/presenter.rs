//! The task behind presence over a backend: what each turn has changed is told here and written there, in one round trip a
//! batch.
//!
//! It stands apart from the owner of the order: a list of who is there must never hold up a message. It has one call under
//! way at a time. While there is no link it only turns: the rows of others are shown as they were last known until their
//! leases end, and once the link is back every row is written whole.

use crate::{
    delivery::Delivery,
    name::GroupName,
    presence::{
        Presented, RowStored,
        room::Writes,
        table::{PARTS, Table},
    },
    registry::Registry,
    relay::{LinkError, Relay},
    resilient::{
        presence::{ASKS_MAX, Ask},
        rows::{RowWrites, Rows},
    },
    state::{Health, LayerState},
};
use futures_util::{FutureExt, future::BoxFuture};
use std::{collections::BTreeSet, future, sync::Arc, time::Duration};
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
    Presented(Rows, Result<Vec<Presented>, LinkError>),
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
    /// The part of the table whose turn is next.
    part: usize,
    writes: RowWrites,
    /// What is to be read.
    unread: BTreeSet<GroupName>,
    /// Who waits for what is read.
    waiting: Vec<Ask>,
    /// When the state of the layer began that this task has seen last.
    seen_ms: Option<u64>,
    /// Parts whose next turn has to assume that nothing of this node stands at the backend as it believes.
    away: usize,
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
            part: 0,
            writes: RowWrites::new(),
            unread: BTreeSet::new(),
            waiting: Vec::new(),
            seen_ms: None,
            away: 0,
        }
    }

    /// Runs until `stop`, or until nobody has the layer; then takes this node's rows away, and says `farewell`.
    pub(super) async fn run(mut self, stop: CancellationToken, farewell: CancellationToken) {
        let _said = farewell.drop_guard();
        let mut ticks = interval(self.table.step());
        // A turn is not to grow by what each of its steps is late.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
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
        let LayerState { since_ms, .. } = *self.status.borrow();
        if self.seen_ms.replace(since_ms) != Some(since_ms) {
            // A link that has changed since: who knows what stands there now.
            self.forget();
        }
        let (part, is_linked) = (self.part, self.is_linked());
        self.part = (part + 1) % PARTS;
        let writes = if !is_linked || self.away > 0 {
            self.away = self.away.saturating_sub(1);
            Writes::Away
        } else if self.writes.is_through(part) {
            Writes::Take
        } else {
            Writes::Later
        };
        let turned = self.table.turn(part, Instant::now(), writes);
        for told in turned.told {
            self.registry.existing(&told.group, |group| group.fan_out(Delivery::Presence(Arc::clone(&told))));
        }
        self.writes.push(part, turned.writes);
        if is_linked {
            self.unread.extend(turned.unread);
        }
    }

    /// Nobody knows what stands at the backend: every part writes its rows whole.
    fn forget(&mut self) {
        self.away = PARTS;
        self.unread.clear();
        self.writes.clear();
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
        // Those whom somebody waits for, and as many more as fit.
        let mut groups: BTreeSet<GroupName> =
            self.waiting.iter().map(|ask| ask.group.clone()).take(BATCH_MAX).collect();
        while groups.len() < BATCH_MAX {
            let Some(group) = self.unread.pop_first() else { break };
            groups.insert(group);
        }
        let groups: Vec<GroupName> = groups.into_iter().collect();
        let relay = Arc::clone(&self.relay);
        async move {
            let rows = timed(relay.rows(groups.clone())).await;
            Done::Read(groups, rows)
        }
        .boxed()
    }

    fn write(&mut self) -> BoxFuture<'static, Done> {
        let (rows, batch) = self.writes.next(BATCH_MAX);
        let (relay, lease) = (Arc::clone(&self.relay), self.table.rules().lease);
        async move { Done::Presented(rows, timed(relay.present(lease, batch)).await) }.boxed()
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
            Done::Presented(rows, presented) => {
                self.writes.done(&rows);
                let presented = match presented {
                    Ok(presented) => presented,
                    Err(why) => {
                        // What was written is unknown: all of it is written again, whole.
                        self.forget();
                        return self.fail(&why);
                    }
                };
                for ((_, group), Presented { is_there, others }) in rows.iter().zip(presented) {
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
        for batch in self.table.withdraw().chunks(BATCH_MAX) {
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
