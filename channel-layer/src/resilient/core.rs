//! What a layer decides, and in which order: the publisher, the subscriptions and what comes in, without a clock and without IO.
//!
//! Whoever drives it hands in what happened and when, makes the calls that it asks for, in their order, and wakes it when it says.
//! So the [`owner`](super::owner) runs it over a relay, and a simulation runs several over a backend that fails as it likes.
//! It connects, for ever; subscribes to every group with members, confirmed; opens them all, some at a time; and then says
//! `healthy`. Whatever goes wrong with the relay ends its link and begins that again. Without a link the state is `connecting`:
//! sends that wait, and those without a verdict, are `Unavailable`.

use crate::{
    error::{Error, Result},
    message::Message,
    name::{ChannelName, GroupName},
    position::Epoch,
    presence::table::Table,
    registry::{Registry, tail::TailBounds},
    relay::{Incoming, LinkError, Opened, Opening, Verdict},
    report::Census,
    resilient::{
        backoff::Backoff,
        calls::{Call, Done, ENTRIES_MAX, READS_MAX},
        inbound::{Inbound, Need},
        openings::Openings,
        publisher::{Pending, Publisher},
        repairs::Repairs,
        room::Taken,
        subscriptions::{Join, Subscriptions},
    },
    state::{Health, LayerState},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

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

/// What was started last of the two that are never under way together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Opening,
    Batch,
}

pub(super) struct Core {
    registry: Arc<Registry>,
    publisher: Publisher,
    subscriptions: Subscriptions,
    inbound: Inbound,
    /// What arrives for presence is handed on to it.
    presence: Arc<Table>,
    state: watch::Sender<LayerState>,
    /// Who shares the groups; empty without a link.
    census: watch::Sender<Census>,
    /// What is to be asked of the relay next, in this order.
    calls: Vec<Call>,
    /// An opening or a batch is under way.
    publishing: bool,
    /// A change of subscriptions is under way.
    subscribing: bool,
    /// Reads under way.
    reading: usize,
    /// Groups to be opened before their publishes, their readers, or their members can go on.
    openings: Openings,
    /// Whether an opening was started last, or a batch: they take turns.
    last: Last,
    /// Groups to be read.
    repairs: Repairs,
    generation: u64,
    /// Since when there is a link.
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
    /// Until when the next batch waits, for the last was answered too soon for it.
    batch_due: Option<Instant>,
    /// Draws what has to be random.
    random: Box<dyn FnMut() -> u64 + Send>,
}

impl Core {
    pub(super) fn new(
        registry: Arc<Registry>,
        copies: TailBounds,
        presence: Arc<Table>,
        state: watch::Sender<LayerState>,
        census: watch::Sender<Census>,
        random: Box<dyn FnMut() -> u64 + Send>,
        now: Instant,
    ) -> Self {
        Self {
            calls: Vec::new(),
            publishing: false,
            subscribing: false,
            reading: 0,
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
            linked_at: None,
            backoff: Backoff::default(),
            retry_at: None,
            ticks: 0,
            was_healthy: false,
            away_counted: now,
            batch_left: now,
            batch_due: None,
            random,
        }
    }

    /// Begins to connect.
    pub(super) fn connect(&mut self) {
        self.retry_at = None;
        self.calls.push(Call::Connect);
    }

    /// The calls to be made, in this order.
    pub(super) fn take_calls(&mut self) -> std::vec::Drain<'_, Call> {
        self.calls.drain(..)
    }

    /// When to [`wake`](Self::wake) it, if nothing happens before.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        [self.retry_at, self.batch_due].into_iter().flatten().min()
    }

    /// It is later.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.connect();
        }
        if self.batch_due.is_some_and(|at| at <= now) {
            self.batch_due = None;
        }
    }

    pub(super) fn has_link(&self) -> bool {
        self.linked_at.is_some()
    }

    /// Whether nothing waits to be published.
    pub(super) fn is_idle(&self) -> bool {
        self.publisher.is_idle()
    }

    /// Whether what is asked for can be begun, or is better left to wait for a batch.
    pub(super) fn takes_commands(&self) -> bool {
        let is_batch_under_way = self.last == Last::Batch && self.publishing;
        self.batch_due.is_none() && !is_batch_under_way
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Publish(pending) => self.publisher.push(pending, now),
            Command::Join(group, answer) => {
                // Heard or not, without its history in step there is nothing to be a member of.
                let synced = self.registry.existing(&group, |group| group.synced).unwrap_or(false);
                if self.subscriptions.join(group.clone(), answer, synced) == Join::NeedsOpening {
                    self.openings.want(group);
                }
            }
            Command::Send(to, message, answer, room) => {
                if self.has_link() {
                    self.calls.push(Call::Send(to, message, answer, room));
                } else {
                    let _gone = answer.send(Err(Error::Unavailable));
                }
            }
            Command::Open(group, answer) => self.openings.want_for(group, answer),
        }
    }

    /// Something has arrived over the link.
    pub(super) fn arrived(&mut self, arrived: Incoming, now: Instant) {
        match arrived {
            Incoming::Posted(posted) => {
                let group = posted.group.clone();
                let need = self.inbound.accept(posted);
                self.need(group, need);
            }
            Incoming::Presence { group, change } => self.presence.hear(&group, change, now),
            Incoming::Dropped => self.doubt_everything(),
            Incoming::Malformed => self.registry.counters.malformed.add(1),
            // The mailbox may be gone; its sender was promised nothing.
            Incoming::Direct { to, message } => drop(self.registry.deliver(to, message)),
            Incoming::Ended(why) => self.lose(&why, now),
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

    /// A call of this link has been answered.
    pub(super) fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Subscribed(..) | Done::Unsubscribed(_) => self.subscribing = false,
            Done::Opened(..) | Done::Published(_) => self.publishing = false,
            Done::Read(..) => self.reading -= 1,
            Done::Connected(_) | Done::Passed | Done::Announced(_) => {}
        }
        let failed = match done {
            Done::Connected(Ok(())) => return self.connected(now),
            Done::Connected(Err(_)) => {
                self.registry.counters.connect_failures.add(1);
                return self.retry(now);
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
            Done::Opened(generation, groups, Ok(opened)) => {
                return self.opened(generation, groups, opened, now);
            }
            Done::Published(Ok(verdicts)) => {
                // What came meanwhile is the next batch, at once if this one took its time.
                let due = self.batch_left + BATCH_EVERY;
                self.batch_due = (now < due).then_some(due);
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
        self.lose(&failed, now);
    }

    fn connected(&mut self, now: Instant) {
        self.registry.counters.connects.add(1);
        self.linked_at = Some(now);
        self.subscriptions.connect();
        self.calls.push(Call::Announce);
    }

    fn retry(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.next((self.random)()));
    }

    /// The link is of no use any more: everything that hangs on it goes, and it is made anew.
    fn lose(&mut self, why: &LinkError, now: Instant) {
        if self.linked_at.take().is_some_and(|since| now.duration_since(since) >= STABLE) {
            self.backoff.reset();
        }
        self.calls.clear();
        self.calls.push(Call::End);
        (self.publishing, self.subscribing, self.reading) = (false, false, 0);
        self.openings.lose();
        self.repairs.lose();
        self.publisher.lose();
        self.subscriptions.lose();
        self.inbound.lose();
        self.census.send_replace(Census::default());
        self.enter(Health::Connecting, Some(why), now);
        self.retry(now);
    }

    /// The group is heard; its answer serves as the read once it has been opened.
    fn confirmed(&mut self, group: GroupName) {
        let is_awaited = self.subscriptions.confirmed(&group)
            || self.publisher.awaits(&group)
            || self.openings.has_readers(&group);
        if is_awaited { self.openings.want(group) } else { self.openings.list(group) }
    }

    fn opened(&mut self, generation: u64, groups: Vec<GroupName>, opened: Vec<Opened>, now: Instant) {
        self.openings.answered(now);
        for (group, Opened { lineage, recovered }) in groups.into_iter().zip(opened) {
            self.publisher.opened(&group, generation, recovered.page().head, now);
            if self.subscriptions.is_heard(&group) {
                let need = self.inbound.opened(&group, &lineage, recovered);
                self.need(group.clone(), need);
                self.subscriptions.opened(&group);
            }
            self.openings.opened(&group);
        }
    }

    /// A second has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.publisher.expire(now);
        self.ticks = self.ticks.wrapping_add(1);
        self.note_away(now);
        if self.ticks.is_multiple_of(ANNOUNCE_S) && self.has_link() {
            self.calls.push(Call::Announce);
        }
        if self.subscribing {
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
        if !left.is_empty() && self.has_link() {
            self.subscribing = true;
            self.calls.push(Call::Unsubscribe(left));
        }
    }

    /// Starts what can be started: one change of subscriptions, one opening or batch, some reads.
    pub(super) fn pump(&mut self, now: Instant) {
        if !self.has_link() {
            return;
        }
        if !self.subscribing {
            let groups = self.subscriptions.wanted();
            if !groups.is_empty() {
                self.subscribing = true;
                self.calls.push(Call::Subscribe(groups));
            }
        }
        if !self.publishing {
            // Neither waits for all of the other. A batch may find groups to be opened first.
            let _started = (self.last == Last::Opening && self.publish(now))
                || self.open(now)
                || self.publish(now)
                || self.open(now);
        }
        while self.reading < READS_MAX && self.read() {}
        if self.state.borrow().health == Health::Connecting && self.subscriptions.is_settled() {
            self.enter(Health::Healthy, None, now);
        }
    }

    /// Starts a batch, if there is one that may leave.
    fn publish(&mut self, now: Instant) -> bool {
        if self.batch_due.is_some() {
            return false;
        }
        let (inbound, openings) = (&self.inbound, &mut self.openings);
        let want = |group| openings.want(group);
        let batch = self.publisher.next_batch(now, |group| inbound.head(group), want);
        if batch.is_empty() {
            return false;
        }
        self.batch_left = now;
        self.last = Last::Batch;
        self.publishing = true;
        self.calls.push(Call::Publish(batch));
        true
    }

    /// Starts an opening, if there are groups for one.
    fn open(&mut self, now: Instant) -> bool {
        // A group that is being subscribed to is opened once that is confirmed: then its answer serves as the read.
        let subscriptions = &self.subscriptions;
        let groups = self.openings.next(now, |group| subscriptions.is_pending(group));
        if groups.is_empty() {
            return false;
        }
        self.generation += 1;
        let generation = self.generation;
        let (inbound, random) = (&self.inbound, &mut self.random);
        let opening = |group: &GroupName| Opening {
            group: group.clone(),
            generation,
            epoch: Epoch::drawn(&mut *random),
            known: inbound.head(group),
            entries_max: ENTRIES_MAX,
        };
        let openings = groups.iter().map(opening).collect();
        self.last = Last::Opening;
        self.publishing = true;
        self.calls.push(Call::Open(generation, openings, groups));
        true
    }

    /// Starts a read, if a group needs one.
    fn read(&mut self) -> bool {
        let Some(group) = self.repairs.next(&mut self.inbound) else { return false };
        // A group without a head was left meanwhile.
        if let Some(head) = self.inbound.head(&group) {
            self.registry.counters.repairs.add(1);
            self.reading += 1;
            self.calls.push(Call::Read(group, head));
        }
        true
    }

    /// Counts the time since it was last counted, if it was spent without the others.
    fn note_away(&mut self, now: Instant) {
        let since = now.duration_since(std::mem::replace(&mut self.away_counted, now));
        if self.state.borrow().health != Health::Healthy {
            self.registry.counters.away_us.add(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn enter(&mut self, health: Health, why: Option<&LinkError>, now: Instant) {
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
        self.note_away(now);
        self.state.send_replace(LayerState::now(before.mode, health));
    }

    /// Nothing is published any more, and nobody hears anything.
    pub(super) fn end(&mut self) {
        self.publisher.lose();
        self.registry.close();
    }
}
