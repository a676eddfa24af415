//! The whole layer for one node: groups, order, history and deduplication without any backend.
//!
//! A hub that needs one node needs nothing else. Everything happens at the call, under one lock a group, so the
//! order of the calls is the order of the history.

mod presence;

use crate::{
    amend::{Amendment, Amends, Version},
    bounds::Bounds,
    delivery::{Delivery, Posted},
    error::{Error, Result},
    history::{Lineage, Recovered, Span},
    layer::{Answer, ChannelLayer, Sent},
    mailbox::Mailbox,
    message::{Message, MessageId, Retention},
    name::{ChannelName, GroupName},
    position::{Epoch, Position, Scope},
    presence::{Presence, PresenceRules},
    registry::{
        Group, Registry,
        tail::{Before, Tail, TailBounds, TailRead},
    },
    report::{Census, Peer, Report},
    state::{Health, LayerState, Mode},
};
use futures_util::future::{FutureExt, ready};
use presence::LocalPresence;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// A [`ChannelLayer`] in this process alone.
#[derive(Debug)]
pub struct MemoryLayer {
    registry: Arc<Registry>,
    bounds: TailBounds,
    status: watch::Sender<LayerState>,
    presence: Arc<LocalPresence>,
    closed: AtomicBool,
}

impl MemoryLayer {
    /// A layer with no groups.
    #[must_use]
    pub fn new() -> Self {
        Self::with_bounds(Bounds::default())
    }

    /// A layer with no groups, which keeps this much of those that come; `tail` is nothing to it.
    #[must_use]
    pub fn with_bounds(bounds: Bounds) -> Self {
        Self::with_presence(bounds, PresenceRules::default())
    }

    /// The same, with presence by these rules. What has changed is told by a task on the runtime that this is called on,
    /// or else on that of the first who enters a group.
    #[must_use]
    pub fn with_presence(bounds: Bounds, rules: PresenceRules) -> Self {
        let bounds = bounds.fitted();
        let registry = Registry::new(bounds.node_bytes);
        Self {
            presence: Arc::new(LocalPresence::new(Arc::clone(&registry), rules)),
            registry,
            bounds: TailBounds::of_history(&bounds),
            status: watch::Sender::new(LayerState::now(Mode::Memory, Health::Healthy)),
            closed: AtomicBool::new(false),
        }
    }

    /// How old a message gets.
    #[must_use]
    pub fn age_max(&self) -> Duration {
        self.bounds.kept.age
    }

    /// Whether a message is kept, and was not deleted: for whoever keeps values beside a history.
    #[must_use]
    pub fn holds(&self, group: &GroupName, id: MessageId) -> bool {
        self.registry.with(group, |group| tail_of(group, self.bounds).holds(id)).unwrap_or(false)
    }

    fn send_now(&self, name: &GroupName, message: Message, retention: Retention) -> Result<Sent> {
        self.open().and_then(|()| message.check())?;
        let id = message.id;
        let position = self.registry.with(name, |group| match retention {
            Retention::Kept => post(name, group, message, self.bounds).map(Some),
            Retention::Ephemeral => {
                let posted = Posted::new(name.clone(), message, None);
                group.fan_out(Delivery::Message(Arc::new(posted)));
                Ok(None)
            }
        })??;
        self.registry.counters.sent_node.add(1);
        Ok(Sent { id, position, scope: Scope::Node })
    }

    fn open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }
}

/// Numbers a message, keeps it in the place of what it amends, and hands it out; or gives the position that it has.
fn post(name: &GroupName, group: &mut Group, message: Message, bounds: TailBounds) -> Result<Position> {
    let tail = tail_of(group, bounds);
    if let Some((position, digest)) = tail.find(message.id) {
        return if message.repeats(digest) { Ok(position) } else { Err(Error::Conflict) };
    }
    if message.floor.is_some_and(|floor| tail.forgets_after(floor)) {
        return Err(Error::Undecided);
    }
    let version = match message.amends() {
        Some(Amends { target, amendment }) => {
            let present = tail.newest(target).ok_or(Error::NotFound)?;
            Some((target, Version::after(present, &message, amendment)?))
        }
        None => None,
    };
    let Position { epoch, offset } = tail.head();
    let position = Position { epoch, offset: offset + 1 };
    let digest = message.digest();
    let mut posted = Posted::new(name.clone(), message, Some(position));
    if let Some((target, version)) = version {
        posted.id = target;
        posted = posted.with_version(version);
    }
    group.post(Arc::new(posted), digest, Instant::now());
    Ok(position)
}

/// The history of a group. One that was forgotten begins anew, in an epoch of its own: no position is given twice.
fn tail_of(group: &mut Group, bounds: TailBounds) -> &mut Tail {
    let begin = || Tail::new(bounds, Lineage::of(Epoch::random()), 0, Before::Forgotten);
    group.tail.get_or_insert_with(begin)
}

impl Default for MemoryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl ChannelLayer for MemoryLayer {
    fn new_channel(&self, capacity: usize) -> Mailbox {
        self.registry.new_channel(capacity)
    }

    fn send(&self, to: ChannelName, message: Message) -> Answer<()> {
        let sent = self.open().and_then(|()| message.check());
        ready(sent.and_then(|()| self.registry.deliver(to, message))).boxed()
    }

    fn group_add(&self, group: GroupName, channel: ChannelName) -> Answer<()> {
        ready(self.open().and_then(|()| self.registry.add(&group, &channel)).map(|_| ())).boxed()
    }

    fn group_discard(&self, group: &GroupName, channel: &ChannelName) {
        self.registry.discard(group, channel);
    }

    fn group_send(&self, group: GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        ready(self.send_now(&group, message, retention)).boxed()
    }

    fn amend(
        &self,
        group: GroupName,
        target: MessageId,
        message: Message,
        amendment: Amendment,
    ) -> Answer<Sent> {
        self.group_send(group, message.amending(Amends { target, amendment }), Retention::Kept)
    }

    fn history(&self, group: GroupName, span: Span, messages_max: usize) -> Answer<Recovered> {
        let bounds = self.bounds;
        let read = self.registry.with(&group, |group| {
            let tail = tail_of(group, bounds);
            match tail.read(span, messages_max, Instant::now()) {
                TailRead::Here(recovered) => recovered,
                TailRead::Elsewhere => unreachable!("there is nothing behind a tail that is the history"),
            }
        });
        ready(self.open().and(read)).boxed()
    }

    fn presence(&self) -> Arc<dyn Presence> {
        Arc::clone(&self.presence) as Arc<dyn Presence>
    }

    fn status(&self) -> watch::Receiver<LayerState> {
        self.status.subscribe()
    }

    fn report(&self) -> Report {
        let alone = Peer { node: self.registry.node().to_owned(), name: None };
        self.registry.report(Census { nodes: Some(vec![alone]), backend: None })
    }

    fn shutdown(&self) -> Answer<()> {
        self.closed.store(true, Ordering::Release);
        self.registry.close();
        let turns = self.presence.shutdown();
        async move {
            turns.wait().await;
            Ok(())
        }
        .boxed()
    }
}
