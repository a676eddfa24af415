//! What a layer decides, and in which order: the publisher, the subscriptions and what comes in, without a clock and without IO.
//!
//! Whoever drives it hands in what happened and when, makes the calls that it asks for, in their order, and wakes it when it says.
//! So the [`owner`](super::owner) runs it over a relay, and a simulation runs several over a backend that fails as it likes.
//! It connects, for ever; subscribes to every group that is used here, confirmed; opens them all, some at a time; sends again what
//! has not come back; and then says `healthy`. Whatever goes wrong with the relay ends its link and begins that again. Meanwhile
//! this node is on its own: what is sent is handed out here at once and kept for the others.

use crate::{
    bounds::Bounds,
    delivery::{Delivery, Posted},
    error::{Error, Result},
    history::GapReason,
    message::{Message, MessageId, Retention},
    name::{ChannelName, GroupMap, GroupName},
    position::{Epoch, Position, Scope},
    presence::table::Table,
    registry::{
        Group, Registry, Shown,
        tail::{Tail, TailBounds},
    },
    relay::{Incoming, LinkError, Opened, Opening, Verdict},
    report::Census,
    resilient::{
        backoff::Backoff,
        calls::{Call, Done, ENTRIES_MAX, READS_MAX},
        canary::{Act, Canary},
        inbound::{Inbound, Need},
        openings::Openings,
        pending::Pending,
        publisher::Publisher,
        repairs::Repairs,
        room::Taken,
        spooled::{Number, Spooled},
        subscriptions::{Join, Subscriptions},
    },
    state::{CaughtUp, Health, LayerState},
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

/// A batch that takes longer keeps nobody waiting: what is asked meanwhile is taken, and has deadlines of its own.
const BATCH_TAKES: Duration = Duration::from_millis(20);

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
    /// Somebody waits for an answer from the group's history.
    Owe(GroupName),
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
    /// What had been exchanged with the others when they were lost.
    exchanged: u64,
    /// Up to when the time without the others is counted.
    away_counted: Instant,
    /// When a batch last left.
    batch_left: Instant,
    /// Until when the next batch waits, for the last was answered too soon for it.
    batch_due: Option<Instant>,
    /// The batch under way takes so long that those who ask wait for it no more.
    is_batch_late: bool,
    /// Whether what is published comes back.
    canary: Option<Canary>,
    /// A group was opened on this link.
    has_opened: bool,
    /// Groups of which this node has put back on this link what the backend had lost, and into which epoch.
    put_back: GroupMap<Epoch>,
    /// Up to which number the spool is to be in the history before this node is healthy.
    replayed_to: Number,
    /// Draws what has to be random.
    random: Box<dyn FnMut() -> u64 + Send>,
}

impl Core {
    pub(super) fn new(
        registry: Arc<Registry>,
        bounds: &Bounds,
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
            publisher: Publisher::new(bounds.spool),
            subscriptions: Subscriptions::default(),
            inbound: Inbound::new(Arc::clone(&registry), TailBounds::of_copy(bounds)),
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
            exchanged: 0,
            away_counted: now,
            batch_left: now,
            batch_due: None,
            is_batch_late: false,
            canary: None,
            has_opened: false,
            put_back: GroupMap::default(),
            replayed_to: 0,
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
    pub(super) fn wakes_at(&mut self) -> Option<Instant> {
        let canary = self.canary.as_ref().filter(|_| self.has_link()).map(Canary::wakes_at);
        let due = self.publisher.spool.due_at();
        [self.retry_at, self.batch_due, self.batch_late_at(), due, canary].into_iter().flatten().min()
    }

    /// It is later.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.connect();
        }
        if self.batch_due.is_some_and(|at| at <= now) {
            self.batch_due = None;
        }
        if self.batch_late_at().is_some_and(|at| at <= now) {
            self.is_batch_late = true;
        }
        let mut is_late = false;
        while let Some(late) = self.publisher.spool.next_due(now) {
            is_late = true;
            self.show(late);
        }
        if is_late {
            self.suspect(now);
        }
        self.wake_canary(now);
    }

    fn wake_canary(&mut self, now: Instant) {
        let has_link = self.has_link();
        let Some(canary) = self.canary.as_mut().filter(|_| has_link) else { return };
        match canary.wake(now, &mut self.random) {
            Act::Nothing => {}
            Act::Send(number) => self.calls.push(Call::Probe(number)),
            Act::Suspect => {
                self.registry.canary.set(None);
                self.suspect(now);
            }
            Act::GiveUp => self.lose(&LinkError::Silent, now),
        }
    }

    /// Something is late. One is no outage; the next canaries tell.
    fn suspect(&mut self, now: Instant) {
        if let Some(canary) = &mut self.canary {
            canary.doubt();
        }
        if self.state.borrow().health == Health::Healthy {
            self.enter(Health::Suspect, None, now);
        }
    }

    /// When the batch that is under way has kept those who ask waiting for long enough.
    fn batch_late_at(&self) -> Option<Instant> {
        let is_awaited = self.last == Last::Batch && self.publishing && !self.is_batch_late;
        is_awaited.then_some(self.batch_left + BATCH_TAKES)
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
        let is_batch_under_way = self.last == Last::Batch && self.publishing && !self.is_batch_late;
        self.batch_due.is_none() && !is_batch_under_way
    }

    /// Whether this node is on its own, and hands out at once what is sent here.
    fn is_alone(&self) -> bool {
        matches!(self.state.borrow().health, Health::Degraded | Health::Healing)
    }

    fn publish_for(&mut self, pending: Pending, now: Instant) {
        match pending.retention {
            Retention::Ephemeral if self.is_alone() => self.pass_on_here(pending),
            Retention::Ephemeral => self.publisher.pass_on(pending),
            Retention::Kept => {
                let number = self.publisher.push(pending);
                if self.is_alone() {
                    self.show(number);
                    self.bound_spool(now);
                }
            }
        }
    }

    /// Hands an ephemeral message to the members here.
    fn pass_on_here(&mut self, pending: Pending) {
        let posted = Arc::new(Posted::new(pending.group.clone(), pending.message.clone(), None));
        self.registry.existing(&pending.group, |group| group.fan_out(Delivery::Message(posted)));
        self.registry.counters.sent_node.add(1);
        pending.answer(Ok(Scope::Node));
    }

    /// Hands a message of the spool to the members here, before it has a position, and tells its sender how far it got.
    fn show(&mut self, number: Number) {
        let spool = &mut self.publisher.spool;
        let Some(spooled) = spool.get(number).filter(|spooled| !spooled.is_shown) else { return };
        let (group, message) = (&spooled.group, &spooled.message);
        let shown = self.registry.with(group, |known| known.show(group, message)).flatten();
        let is_sent = spooled.floor.is_some();
        let (answer, is_done) = match shown {
            Ok(Shown::Now | Shown::Before) => {
                self.registry.counters.sent_node.add(u64::from(!spooled.is_answered()));
                (Ok((None, Scope::Node)), false)
            }
            // It is in the history, and who sent it was not told so.
            Ok(Shown::Numbered(position)) => (Ok((Some(position), Scope::Cluster)), true),
            // What it amends is not here, so it cannot be said whether it may. If it went already, it goes on.
            Err(Error::NotFound) => (Err(Error::Unavailable), !is_sent),
            Err(refused) => (Err(refused), !is_sent),
        };
        let is_shown = matches!(answer, Ok((None, _)));
        spooled.answer(answer);
        if is_shown {
            spool.shown(number);
        }
        if is_done {
            spool.remove(number);
        }
    }

    /// Lets go of what is over the bounds of the spool, for `reason`.
    fn drop_from_spool(&mut self, number: Number, reason: GapReason) {
        let id = MessageId::from_u128(u128::from((self.random)()) << 64 | u128::from((self.random)()));
        let Some((lost, word)) = self.publisher.spool.give_up(number, reason, id) else { return };
        let Some(word) = self.publisher.spool.get(word) else { return };
        self.registry.counters.spool_dropped.add(1);
        if lost.is_shown {
            // Those who have seen it need no word of it, those who come later do.
            let note = |group: &mut Group| group.note_lost(&lost.group, lost.message.id, &word.message);
            self.registry.existing(&lost.group, note);
        }
    }

    /// Keeps to the bounds of the spool.
    fn bound_spool(&mut self, now: Instant) {
        while let Some(oldest) = self.publisher.spool.overflow(now) {
            self.drop_from_spool(oldest, GapReason::SpoolOverflow);
        }
    }

    /// What the members here were shown is not, and will not be, in the history.
    fn give_up(&mut self, mut spooled: Spooled, why: Error) {
        if spooled.is_shown {
            let id = spooled.message.id;
            self.registry.existing(&spooled.group, |group| group.take_loose(id));
            tracing::warn!(
                event = "layer.replay.refused",
                group = %spooled.group,
                %why,
                "what this node handed out by itself is not in the history"
            );
        }
        spooled.answer(Err(why));
    }

    pub(super) fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Publish(pending) => self.publish_for(pending, now),
            Command::Join(group, answer) if self.is_alone() => {
                // A member of what is sent here; the rest comes once there is somebody to hear.
                self.subscriptions.hear(&group);
                let _gone = answer.send(());
            }
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
            Command::Owe(group) => {
                self.subscriptions.hear(&group);
                self.openings.want(group);
            }
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
            Incoming::Probe(number) => {
                let took = self.canary.as_mut().and_then(|canary| canary.came_back(number, now));
                if took.is_some() {
                    self.registry.canary.set(took);
                }
            }
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
            Done::Connected(_) | Done::Passed | Done::Announced(_) | Done::Probed(_) | Done::PutBack(..) => {}
        }
        let failed = match done {
            Done::Connected(Ok(())) => return self.connected(now),
            Done::Connected(Err(why)) => {
                self.registry.counters.connect_failures.add(1);
                self.be_alone(&why, now);
                return self.retry(now);
            }
            Done::Announced(Ok(census)) => return drop(self.census.send_replace(census)),
            // A backend that is away shows itself otherwise; one that refuses this can still join nodes.
            Done::Announced(Err(_)) => return,
            Done::Passed | Done::Probed(Ok(())) | Done::Unsubscribed(Ok(())) => return,
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
                self.registry.counters.replayed.add(settled.replayed);
                settled.reopen.into_iter().for_each(|group| self.openings.want(group));
                settled.gone.into_iter().for_each(|(spooled, why)| self.give_up(spooled, why));
                for number in settled.undecided {
                    self.drop_from_spool(number, GapReason::Undecided);
                    self.publisher.resend(number);
                }
                match settled.refused {
                    Some(why) => why,
                    None => return,
                }
            }
            Done::PutBack(group, Ok(())) => return self.openings.want(group),
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
            | Done::Probed(Err(why))
            | Done::PutBack(_, Err(why))
            | Done::Opened(_, _, Err(why))
            | Done::Published(Err(why))
            | Done::Read(_, Err(why)) => why,
        };
        self.lose(&failed, now);
    }

    fn connected(&mut self, now: Instant) {
        self.registry.counters.connects.add(1);
        self.linked_at = Some(now);
        self.publisher.spool.groups().for_each(|group| self.subscriptions.hear(group));
        self.subscriptions.connect();
        self.calls.push(Call::Announce);
        self.replayed_to = self.publisher.spool.end();
        self.has_opened = false;
        self.put_back.clear();
        self.canary = Some(Canary::new(now, self.canary.as_ref()));
        self.wake_canary(now);
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
        self.subscriptions.lose();
        self.inbound.lose();
        self.census.send_replace(Census::default());
        self.registry.canary.set(None);
        self.be_alone(why, now);
        self.retry(now);
    }

    /// Without the backend: whatever waits for it is handed out here, in its order, and so is what comes from now on.
    fn be_alone(&mut self, why: &LinkError, now: Instant) {
        let unsent = self.publisher.lose();
        self.enter(Health::Degraded, Some(why), now);
        self.subscriptions.answer_joins();
        unsent.into_iter().for_each(|pending| self.pass_on_here(pending));
        for number in self.publisher.spool.numbers() {
            self.show(number);
        }
        self.bound_spool(now);
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
        self.has_opened = true;
        for (group, Opened { lineage, recovered }) in groups.into_iter().zip(opened) {
            let lost = self.inbound.lost(&group, &lineage);
            if !lost.is_empty() && self.put_back.insert(group.clone(), lineage.epoch) != Some(lineage.epoch) {
                // It is opened again after that: then the history has what this node has, or never will.
                self.registry.counters.put_back.add(lost.len() as u64);
                self.calls.push(Call::PutBack(group, lineage.epoch, lost));
                continue;
            }
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
        self.bound_spool(now);
        for group in self.publisher.spool.unseen(now) {
            let need = self.inbound.miss(&group);
            self.need(group, need);
        }
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
        let is_awaited = |group: &GroupName| publisher.uses(group) || openings.has_readers(group);
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
        let registry = &self.registry;
        let is_seen = |group: &GroupName, position: Position| {
            let has_seen = |tail: &Tail| tail.has_seen(position);
            registry.existing(group, |group| group.tail.as_ref().is_some_and(has_seen)).unwrap_or(false)
        };
        for Spooled { group, message, .. } in self.publisher.spool.settle(is_seen) {
            // It came back with a history that was taken as a whole.
            self.registry.existing(&group, |group| group.take_loose(message.id));
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
        self.recover(now);
    }

    /// What comes back leads back to health, step by step.
    fn recover(&mut self, now: Instant) {
        let Some(canary) = &self.canary else { return };
        let (is_back, is_steady) = (canary.is_back(), canary.is_steady());
        let is_settled = self.subscriptions.is_settled();
        let health = self.state.borrow().health;
        let is_whole = is_settled && self.publisher.spool.is_placed_to(self.replayed_to);
        match health {
            Health::Connecting if is_back && is_whole => self.enter(Health::Healthy, None, now),
            // A backend that answers and takes nothing is not back: a group has to be open, or there is none.
            Health::Degraded if is_back && (self.has_opened || is_settled) => {
                self.enter(Health::Healing, None, now);
            }
            Health::Healing if is_steady && is_whole => self.enter(Health::Healthy, None, now),
            Health::Suspect if is_steady => self.enter(Health::Healthy, None, now),
            _ => {}
        }
    }

    /// Starts a batch, if there is one that may leave.
    fn publish(&mut self, now: Instant) -> bool {
        if self.batch_due.is_some() {
            return false;
        }
        let (inbound, openings, subscriptions) = (&self.inbound, &mut self.openings, &mut self.subscriptions);
        let want = |group| {
            // What is sent has to be seen to come back.
            subscriptions.hear(&group);
            openings.want(group);
        };
        let batch = self.publisher.next_batch(now, |group| inbound.head(group), want);
        if batch.is_empty() {
            return false;
        }
        self.batch_left = now;
        self.last = Last::Batch;
        (self.publishing, self.is_batch_late) = (true, false);
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
        let mode = before.mode.as_str();
        let mut next = before.then(health);
        let exchanged = self.registry.counters.read().replayed + self.inbound.news;
        match (health, why) {
            (Health::Healthy, _) if before.health == Health::Healing => {
                let messages = exchanged - self.exchanged;
                next.caught_up = Some(CaughtUp { messages });
                self.registry.counters.heals.add(1);
                let apart_ms = before.apart_since_ms.map(|since| next.since_ms.saturating_sub(since));
                tracing::info!(
                    event = "layer.healthy",
                    mode,
                    messages,
                    apart_ms,
                    "the nodes are joined again"
                );
            }
            // The first time there was nothing to heal.
            (Health::Healthy, _) => tracing::info!(event = "layer.healthy", mode, "the nodes are joined"),
            (_, Some(why)) => tracing::warn!(
                event = "layer.degraded",
                mode,
                %why,
                "this node is on its own: what is sent here reaches its members at once, and the other nodes later"
            ),
            (Health::Suspect, _) => tracing::info!(event = "layer.suspect", mode, "the backend is late"),
            _ => tracing::info!(event = "layer.healing", mode, "the backend is back"),
        }
        if before.health != Health::Healing && health == Health::Degraded {
            self.exchanged = exchanged;
        }
        self.note_away(now);
        self.state.send_replace(next);
    }

    /// Whether a message is kept here until it comes back.
    #[cfg(test)]
    pub(super) fn keeps(&mut self, id: MessageId) -> bool {
        let spool = &mut self.publisher.spool;
        spool.numbers().any(|number| spool.get(number).is_some_and(|spooled| spooled.message.id == id))
    }

    /// Nothing is published any more, and nobody hears anything.
    pub(super) fn end(&mut self) {
        self.registry.close();
    }
}
