//! This node's groups: which mailboxes are in each, its tail, and the fan-out to them.
//!
//! Sharded by group name, so that one busy room does not block the rest; a shard's lock is held for a hash look-up
//! and a push a mailbox, never across an await. Appending to the tail and the fan-out happen under one lock, so
//! whoever reads the tail and then its mailbox misses nothing. Knows nothing of other nodes.

mod ids;
pub(crate) mod tail;

use crate::{
    delivery::{Delivery, Posted},
    error::{Error, Result},
    mailbox::Mailbox,
    message::Message,
    name::{ChannelName, GroupName},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tail::Tail;
use tokio::{sync::broadcast, time::Instant};

const SHARDS: usize = 16;

/// Over all shards this bounds what a node remembers at about 130,000 groups; beyond it those without members
/// make room.
const GROUPS_PER_SHARD_MAX: usize = 8_192;

type Ring = broadcast::Sender<Delivery>;
type Shard = HashMap<GroupName, Group>;

pub(crate) struct Registry {
    /// The first part of the address of every mailbox here: this process, not this machine.
    node: String,
    /// Guards each shard's map; held for a few pushes.
    shards: [Mutex<Shard>; SHARDS],
    /// Guards the addresses; held for a look-up.
    rings: Mutex<HashMap<ChannelName, Ring>>,
    hasher: RandomState,
    mailboxes: AtomicU64,
    closed: AtomicBool,
}

/// One group on this node.
#[derive(Default)]
pub(crate) struct Group {
    members: Vec<(ChannelName, Ring)>,
    /// `None` until its history has been opened.
    pub(crate) tail: Option<Tail>,
    /// Whether what is sent into the group now arrives here: a layer with a backend sets it once the subscription
    /// is confirmed and the history read.
    pub(crate) synced: bool,
}

impl Group {
    pub(crate) fn fan_out(&self, delivery: &Delivery) {
        for (_, ring) in &self.members {
            // The only error is that nobody reads: a mailbox on its way out.
            let _gone = ring.send(delivery.clone());
        }
    }

    /// Appends to the tail and hands out: one step for whoever reads the tail.
    pub(crate) fn post(&mut self, posted: Arc<Posted>, digest: u64, now: Instant) {
        if let Some(tail) = &mut self.tail {
            tail.append(Arc::clone(&posted), digest, now);
        }
        self.fan_out(&Delivery::Message(posted));
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }
}

impl Registry {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            node: format!("{:016x}", crate::random_u64()),
            shards: Default::default(),
            rings: Mutex::default(),
            hasher: RandomState::new(),
            mailboxes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    pub(crate) fn new_channel(self: &Arc<Self>, capacity: usize) -> Mailbox {
        let number = self.mailboxes.fetch_add(1, Ordering::Relaxed);
        let channel: ChannelName =
            format!("{}.{number}", self.node).parse().expect("hexadecimal digits, a dot and a number");
        let (ring, reader) = broadcast::channel(capacity.max(1));
        if !self.closed.load(Ordering::Acquire) {
            self.rings().insert(channel.clone(), ring);
        }
        Mailbox::new(channel, reader, Arc::clone(self))
    }

    pub(crate) fn remove_mailbox(&self, channel: &ChannelName) {
        self.rings().remove(channel);
        for shard in &self.shards {
            for group in lock(shard).values_mut() {
                group.members.retain(|(member, _)| member != channel);
            }
        }
    }

    /// Adds a channel to a group and says whether the group is synced. Idempotent.
    pub(crate) fn add(&self, group: &GroupName, channel: &ChannelName) -> Result<bool> {
        let ring = self.rings().get(channel).cloned();
        let ring = ring.ok_or_else(|| Error::NoSuchChannel(channel.clone()))?;
        self.with(group, |group| {
            if !group.members.iter().any(|(member, _)| member == channel) {
                group.members.push((channel.clone(), ring));
            }
            group.synced
        })
    }

    pub(crate) fn discard(&self, group: &GroupName, channel: &ChannelName) {
        self.existing(group, |group| group.members.retain(|(member, _)| member != channel));
    }

    /// Hands a message to the mailbox of an address of this node.
    pub(crate) fn deliver(&self, to: ChannelName, message: Message) -> Result<()> {
        let ring =
            to.mailbox().parse().ok().and_then(|mailbox: ChannelName| self.rings().get(&mailbox).cloned());
        let ring = ring.ok_or_else(|| Error::NoSuchChannel(to.clone()))?;
        ring.send(Delivery::Direct { to: to.clone(), message }).map_err(|_| Error::NoSuchChannel(to))?;
        Ok(())
    }

    /// Runs `act` on a group, which is made if need be.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] when there are too many groups and all have members.
    pub(crate) fn with<T>(&self, name: &GroupName, act: impl FnOnce(&mut Group) -> T) -> Result<T> {
        let mut shard = self.shard(name);
        if shard.len() >= GROUPS_PER_SHARD_MAX && !shard.contains_key(name) {
            make_room(&mut shard)?;
        }
        Ok(act(shard.entry(name.clone()).or_default()))
    }

    /// Runs `act` on a group if it is known here.
    pub(crate) fn existing<T>(&self, name: &GroupName, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        self.shard(name).get_mut(name).map(act)
    }

    /// Forgets a group that has no members; says whether it is gone.
    pub(crate) fn remove_if_empty(&self, name: &GroupName) -> bool {
        match self.shard(name).entry(name.clone()) {
            Entry::Occupied(group) if group.get().has_members() => false,
            Entry::Occupied(group) => {
                group.remove();
                true
            }
            Entry::Vacant(_) => true,
        }
    }

    /// Ends every mailbox: its reader gets what waits, then [`Closed`](crate::Received::Closed).
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.rings().clear();
        for shard in &self.shards {
            lock(shard).clear();
        }
    }

    fn shard(&self, name: &GroupName) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(name);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).expect("below SHARDS")])
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<ChannelName, Ring>> {
        lock(&self.rings)
    }
}

/// A panic under one of these locks leaves the map as it was before or after one call, so it stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets the groups without members whose history has run out, or else one without members.
fn make_room(shard: &mut Shard) -> Result<()> {
    let now = Instant::now();
    let before = shard.len();
    shard
        .retain(|_, group| group.has_members() || !group.tail.as_mut().is_none_or(|tail| tail.is_spent(now)));
    if shard.len() < before {
        return Ok(());
    }
    let empty = shard.iter().find(|(_, group)| !group.has_members()).map(|(name, _)| name.clone());
    shard.remove(&empty.ok_or(Error::Overloaded)?);
    Ok(())
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("node", &self.node).finish_non_exhaustive()
    }
}
