//! The one owner of a layer's order: a task that has the publisher, the subscriptions and what comes in.
//!
//! So nothing here needs a lock. It connects, for ever; subscribes to every group with members, confirmed; opens them all,
//! some at a time; and then says `healthy`. Whatever goes wrong with the relay ends its link and begins that again.
//! Without a link the state is `connecting`: sends that wait, and those without a verdict, are `Unavailable`.

use crate::{
    error::{Error, Result},
    message::Message,
    name::{ChannelName, GroupName},
    position::Epoch,
    presence::table::Table,
    registry::{Registry, tail::TailBounds},
    relay::{Incoming, Link, LinkError, Opened, Opening, Verdict},
    report::Census,
    resilient::{
        backoff::Backoff,
        calls::{Calls, Done, ENTRIES_MAX},
        inbound::{Inbound, Need},
        openings::Openings,
        publisher::{Pending, Publisher},
        repairs::Repairs,
        room::Taken,
        subscriptions::{Join, Subscriptions},
    },
    state::{Health, LayerState},
};
use futures_util::FutureExt;
use std::{future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, Sleep, interval, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Arrivals taken in one go, before the owner looks at anything else.
const ARRIVALS_A_TURN: usize = 256;

/// A batch leaves at once when none has left for so long and none is under way; otherwise what comes meanwhile keeps it company.
/// Under load a round trip, a wake of every thread on its way and a write of Redis to every node are shared by several messages;
/// without, nobody waits. Commands stay in their queue meanwhile, so that they wake nobody. A millisecond is the runtime's
/// shortest timer.
const BATCH_EVERY: Duration = Duration::from_millis(1);

/// A link that held this long is not part of the trouble before it.
const STABLE: Duration = Duration::from_secs(10);

/// Seconds between two announcements of this node.
const ANNOUNCE_S: u32 = 5;

/// What the layer asks of its owner.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Pending),
    Join(GroupName, oneshot::Sender<()>),
    Open(GroupName, oneshot::Sender<()>),
    Send(ChannelName, Message, oneshot::Sender<Result<()>>, Taken),
}

/// Whatever wakes the owner.
#[derive(Debug)]
enum Event {
    Stop,
    Command(Option<Command>),
    Arrived(Option<Incoming>),
    Done(Done),
    Retry,
    /// A batch that waited for company may leave.
    BatchDue,
    Tick,
}

/// What was started last of the two that are never under way together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Opening,
    Batch,
}

pub(super) struct Owner {
    registry: Arc<Registry>,
    publisher: Publisher,
    subscriptions: Subscriptions,
    inbound: Inbound,
    /// What arrives for presence is handed on to it.
    presence: Arc<Table>,
    state: watch::Sender<LayerState>,
    /// Who shares the groups; empty without a link.
    census: watch::Sender<Census>,
    calls: Calls,
    /// Groups to be opened before their publishes, their readers, or their members can go on.
    openings: Openings,
    /// Whether an opening was started last, or a batch: they take turns.
    last: Last,
    /// Groups to be read.
    repairs: Repairs,
    generation: u64,
    link: Option<Link>,
    linked_at: Option<Instant>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Seconds so far.
    ticks: u32,
    was_healthy: bool,
    /// Up to when the time without the others is counted.
    away_counted: Instant,
    /// When a batch last left.
    batch_left: Instant,
    /// The batch that left last was answered too soon for the next, which waits for `batch_due`.
    is_early: bool,
    /// One timer for all batches: to make one is to wake this thread.
    batch_due: Pin<Box<Sleep>>,
}

impl Owner {
    pub(super) fn new(
        calls: Calls,
        registry: Arc<Registry>,
        copies: TailBounds,
        presence: Arc<Table>,
        state: watch::Sender<LayerState>,
        census: watch::Sender<Census>,
    ) -> Self {
        Self {
            calls,
            publisher: Publisher::default(),
            subscriptions: Subscriptions::default(),
            inbound: Inbound::new(Arc::clone(&registry), copies),
            registry,
            presence,
            state,
            census,
            openings: Openings::default(),
            last: Last::Batch,
            repairs: Repairs::default(),
            generation: 0,
            link: None,
            linked_at: None,
            backoff: Backoff::default(),
            retry_at: None,
            ticks: 0,
            was_healthy: false,
            away_counted: Instant::now(),
            batch_left: Instant::now(),
            is_early: false,
            batch_due: Box::pin(sleep(BATCH_EVERY)),
        }
    }

    /// Runs until `stop`, and then for `grace` at most: what is queued may still go. The link is kept until presence has
    /// said its `farewell`.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        farewell: CancellationToken,
        grace: Duration,
    ) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends_at = None;
        self.connect();
        loop {
            let is_over = ends_at.is_some_and(|at| Instant::now() >= at || self.publisher.is_idle());
            if is_over && farewell.is_cancelled() {
                break;
            }
            let event = tokio::select! {
                () = stop.cancelled(), if ends_at.is_none() => Event::Stop,
                command = commands.recv(), if self.takes_commands() && (ends_at.is_none() || !commands.is_empty()) => Event::Command(command),
                arrived = arrival(&mut self.link) => Event::Arrived(arrived),
                Some(done) = self.calls.next() => Event::Done(done),
                () = at(self.retry_at) => Event::Retry,
                () = self.batch_due.as_mut(), if self.is_early => Event::BatchDue,
                () = at(ends_at), if !is_over => continue,
                () = farewell.cancelled(), if is_over => continue,
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Stop => {
                    // What is queued by now may still go; nothing new comes in.
                    commands.close();
                    ends_at = Some(Instant::now() + grace);
                    self.take(&mut commands);
                }
                // Nobody has the layer any more.
                Event::Command(None) => break,
                Event::Command(Some(first)) => self.command(first),
                Event::Arrived(arrived) => {
                    // What a batch came to and what it passed on come together: who sent a message is answered first, so
                    // that the answer can go with the message.
                    if let Some(Some(done)) = self.calls.next().now_or_never() {
                        self.done(done);
                    }
                    // With the link goes what came over it.
                    if self.link.is_some() {
                        self.arrived(arrived);
                    }
                }
                Event::Done(done) => self.done(done),
                Event::Retry => self.connect(),
                Event::BatchDue => self.is_early = false,
                Event::Tick => self.tick(),
            }
            if self.takes_commands() {
                self.take(&mut commands);
            }
            self.pump();
        }
        self.publisher.lose();
        self.registry.close();
        if self.link.is_some() {
            // Without it the others find out when the lease has run out.
            self.calls.withdraw(self.registry.node()).await;
        }
    }

    fn connect(&mut self) {
        self.retry_at = None;
        self.calls.connect(self.registry.node());
    }

    /// Whether what is asked for can be begun, or is better left to wait for a batch.
    fn takes_commands(&self) -> bool {
        let is_batch_under_way = self.last == Last::Batch && self.calls.is_publishing();
        !self.is_early && !is_batch_under_way
    }

    /// Takes all commands that wait.
    fn take(&mut self, commands: &mut mpsc::Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            self.command(command);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Publish(pending) => self.publisher.push(pending, Instant::now()),
            Command::Join(group, answer) => {
                // Heard or not, without its history in step there is nothing to be a member of.
                let synced = self.registry.existing(&group, |group| group.synced).unwrap_or(false);
                if self.subscriptions.join(group.clone(), answer, synced) == Join::NeedsOpening {
                    self.openings.want(group);
                }
            }
            Command::Send(to, message, answer, room) => {
                if self.link.is_some() {
                    self.calls.send(to, message, answer, room);
                } else {
                    let _gone = answer.send(Err(Error::Unavailable));
                }
            }
            Command::Open(group, answer) => self.openings.want_for(group, answer),
        }
    }

    fn arrived(&mut self, first: Option<Incoming>) {
        let mut next =
            first.or(Some(Incoming::Ended(LinkError::Closed("nothing comes in any more".to_owned()))));
        let mut taken = 0;
        while let Some(arrived) = next {
            match arrived {
                Incoming::Posted(posted) => {
                    let group = posted.group.clone();
                    let need = self.inbound.accept(posted);
                    self.need(group, need);
                }
                Incoming::Presence { group, change } => self.presence.hear(&group, change, Instant::now()),
                Incoming::Dropped => self.doubt_everything(),
                Incoming::Malformed => self.registry.counters.malformed.add(1),
                // The mailbox may be gone; its sender was promised nothing.
                Incoming::Direct { to, message } => drop(self.registry.deliver(to, message)),
                Incoming::Ended(why) => return self.lose(&why),
            }
            taken += 1;
            let more = self.link.as_mut().filter(|_| taken < ARRIVALS_A_TURN);
            next = more.and_then(|link| link.incoming.try_recv().ok());
        }
    }

    /// Some arrivals are gone, and nobody knows of which groups.
    fn doubt_everything(&mut self) {
        self.registry.counters.arrivals_dropped.add(1);
        tracing::warn!(event = "layer.arrivals_dropped", "reading what may have been missed");
        self.repairs.doubt(self.inbound.doubt());
    }

    fn need(&mut self, group: GroupName, need: Need) {
        match need {
            Need::Nothing => {}
            Need::Open => self.openings.want(group),
            Need::Read => self.repairs.want(group),
        }
    }

    fn done(&mut self, done: Done) {
        let failed = match done {
            Done::Connected(Ok(link)) => return self.connected(link),
            Done::Connected(Err(_)) => {
                self.registry.counters.connect_failures.add(1);
                return self.retry();
            }
            Done::Announced(Ok(census)) => return drop(self.census.send_replace(census)),
            // A backend that is away shows itself otherwise; one that refuses this can still join nodes.
            Done::Announced(Err(_)) => return,
            Done::Passed | Done::Unsubscribed(Ok(())) => return,
            Done::Subscribed(groups, Ok(())) => {
                for group in groups {
                    self.confirmed(group);
                }
                return;
            }
            Done::Opened(generation, groups, Ok(opened)) => return self.opened(generation, groups, opened),
            Done::Published(Ok(verdicts)) => {
                // What came meanwhile is the next batch, at once if this one took its time.
                let due = self.batch_left + BATCH_EVERY;
                self.is_early = Instant::now() < due;
                if self.is_early {
                    self.batch_due.as_mut().reset(due);
                }
                let is_acked = |verdict: &&std::result::Result<Verdict, _>| {
                    matches!(verdict, Ok(Verdict::Placed(_) | Verdict::Known(_) | Verdict::Sent))
                };
                self.registry.counters.sent_cluster.add(verdicts.iter().filter(is_acked).count() as u64);
                let settled = self.publisher.settle(verdicts);
                settled.reopen.into_iter().for_each(|group| self.openings.want(group));
                match settled.refused {
                    Some(why) => why,
                    None => return,
                }
            }
            Done::Read(group, Ok(recovered)) => {
                let need = self.inbound.read(&group, recovered);
                return self.need(group, need);
            }
            Done::Read(group, Err(LinkError::Unopened)) => {
                self.inbound.unsync(&group);
                return self.openings.want(group);
            }
            Done::Subscribed(_, Err(why))
            | Done::Unsubscribed(Err(why))
            | Done::Opened(_, _, Err(why))
            | Done::Published(Err(why))
            | Done::Read(_, Err(why)) => why,
        };
        self.lose(&failed);
    }

    fn connected(&mut self, link: Link) {
        self.registry.counters.connects.add(1);
        self.link = Some(link);
        self.linked_at = Some(Instant::now());
        self.subscriptions.connect();
        self.calls.announce(self.registry.node());
    }

    fn retry(&mut self) {
        self.retry_at = Some(Instant::now() + self.backoff.next(crate::random_u64()));
    }

    /// The link is of no use any more: everything that hangs on it goes, and it is made anew.
    fn lose(&mut self, why: &LinkError) {
        if self.linked_at.take().is_some_and(|since| since.elapsed() >= STABLE) {
            self.backoff.reset();
        }
        self.link = None;
        self.calls.drop_all();
        self.openings.lose();
        self.repairs.lose();
        self.publisher.lose();
        self.subscriptions.lose();
        self.inbound.lose();
        self.census.send_replace(Census::default());
        self.enter(Health::Connecting, Some(why));
        self.retry();
    }

    /// The group is heard; its answer serves as the read once it has been opened.
    fn confirmed(&mut self, group: GroupName) {
        let is_awaited = self.subscriptions.confirmed(&group)
            || self.publisher.awaits(&group)
            || self.openings.has_readers(&group);
        if is_awaited { self.openings.want(group) } else { self.openings.list(group) }
    }

    fn opened(&mut self, generation: u64, groups: Vec<GroupName>, opened: Vec<Opened>) {
        self.openings.answered(Instant::now());
        for (group, Opened { lineage, recovered }) in groups.into_iter().zip(opened) {
            self.publisher.opened(&group, generation, recovered.page().head, Instant::now());
            if self.subscriptions.is_heard(&group) {
                let need = self.inbound.opened(&group, &lineage, recovered);
                self.need(group.clone(), need);
                self.subscriptions.opened(&group);
            }
            self.openings.opened(&group);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.publisher.expire(now);
        self.ticks = self.ticks.wrapping_add(1);
        self.note_away();
        if self.ticks.is_multiple_of(ANNOUNCE_S) && self.link.is_some() {
            self.calls.announce(self.registry.node());
        }
        if self.calls.is_subscribing() {
            return;
        }
        let (registry, inbound) = (&self.registry, &mut self.inbound);
        let has_members = |group: &GroupName| registry.tend(group, now);
        let (publisher, openings) = (&self.publisher, &self.openings);
        // Whoever waits for a group that is not heard yet would wait in vain if it never were.
        let is_awaited = |group: &GroupName| publisher.awaits(group) || openings.has_readers(group);
        let release = |group: &GroupName| !is_awaited(group) && registry.remove_if_empty(group);
        let left = self.subscriptions.leave(now, has_members, release);
        for group in &left {
            inbound.forget(group);
        }
        if !left.is_empty() && self.link.is_some() {
            self.calls.unsubscribe(left);
        }
    }

    /// Starts what can be started: one change of subscriptions, one opening or batch, some reads.
    fn pump(&mut self) {
        if self.link.is_none() {
            return;
        }
        if !self.calls.is_subscribing() {
            let groups = self.subscriptions.wanted();
            if !groups.is_empty() {
                self.calls.subscribe(groups);
            }
        }
        if !self.calls.is_publishing() {
            // Neither waits for all of the other. A batch may find groups to be opened first.
            let _started = (self.last == Last::Opening && self.publish())
                || self.open()
                || self.publish()
                || self.open();
        }
        while self.calls.may_read() && self.read() {}
        if self.state.borrow().health == Health::Connecting && self.subscriptions.is_settled() {
            self.enter(Health::Healthy, None);
        }
    }

    /// Starts a batch, if there is one that may leave.
    fn publish(&mut self) -> bool {
        if self.is_early {
            return false;
        }
        let now = Instant::now();
        let (inbound, openings) = (&self.inbound, &mut self.openings);
        let want = |group| openings.want(group);
        let batch = self.publisher.next_batch(now, |group| inbound.head(group), want);
        if batch.is_empty() {
            return false;
        }
        self.batch_left = now;
        self.last = Last::Batch;
        self.calls.publish(batch);
        true
    }

    /// Starts an opening, if there are groups for one.
    fn open(&mut self) -> bool {
        // A group that is being subscribed to is opened once that is confirmed: then its answer serves as the read.
        let subscriptions = &self.subscriptions;
        let groups = self.openings.next(Instant::now(), |group| subscriptions.is_pending(group));
        if groups.is_empty() {
            return false;
        }
        self.generation += 1;
        let generation = self.generation;
        let opening = |group: &GroupName| Opening {
            group: group.clone(),
            generation,
            epoch: Epoch::random(),
            known: self.inbound.head(group),
            entries_max: ENTRIES_MAX,
        };
        self.last = Last::Opening;
        self.calls.open(generation, groups.iter().map(opening).collect(), groups);
        true
    }

    /// Starts a read, if a group needs one.
    fn read(&mut self) -> bool {
        let Some(group) = self.repairs.next(&mut self.inbound) else { return false };
        // A group without a head was left meanwhile.
        if let Some(head) = self.inbound.head(&group) {
            self.registry.counters.repairs.add(1);
            self.calls.read(group, head);
        }
        true
    }

    /// Counts the time since it was last counted, if it was spent without the others.
    fn note_away(&mut self) {
        let now = Instant::now();
        let since = now.duration_since(std::mem::replace(&mut self.away_counted, now));
        if self.state.borrow().health != Health::Healthy {
            self.registry.counters.away_us.add(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn enter(&mut self, health: Health, why: Option<&LinkError>) {
        let before = *self.state.borrow();
        if before.health == health {
            return;
        }
        match why {
            Some(why) => tracing::warn!(
                event = "layer.connecting",
                %why,
                "the link to the backend is lost; sends are refused until it is back"
            ),
            None => {
                tracing::info!(event = "layer.healthy", mode = before.mode.as_str(), "the nodes are joined");
            }
        }
        if health == Health::Healthy {
            // The first time there was nothing to heal.
            self.registry.counters.heals.add(u64::from(self.was_healthy));
            self.was_healthy = true;
        }
        self.note_away();
        self.state.send_replace(LayerState::now(before.mode, health));
    }
}

/// The next arrival; never, without a link.
async fn arrival(link: &mut Option<Link>) -> Option<Incoming> {
    match link {
        Some(link) => link.incoming.recv().await,
        None => future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
