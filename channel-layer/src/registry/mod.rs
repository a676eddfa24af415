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
use indexmap::IndexMap;
use std::{
    collections::HashMap,
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

/// What a node remembers of its groups' histories, over all shards; beyond it the groups that were used longest ago make
/// room.
const BYTES_MAX: usize = 256 << 20;
const SHARD_BYTES_MAX: usize = BYTES_MAX / SHARDS;

/// Groups looked at for the one that was used longest ago. Among so few it is rarely the very oldest, and never a busy
/// one while there are others; a list in order of use would be written at every message.
const SAMPLE: u64 = 8;

type Ring = broadcast::Sender<Delivery>;

/// Some of the groups.
#[derive(Default)]
struct Shard {
    groups: IndexMap<GroupName, Group>,
    /// What the tails of these groups weigh.
    bytes: usize,
    /// Counts uses, and so orders them.
    clock: u64,
}

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
    /// When it was used last, by its shard's clock.
    used: u64,
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
            // What members are given is rendered and then forgotten; the tail's own is rendered if somebody reads it.
            tail.append(Arc::new(posted.again()), digest, now);
        }
        self.fan_out(&Delivery::Message(posted));
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether somebody counts on it: its members, or a layer that hears it and goes on where it stands.
    fn is_held(&self) -> bool {
        self.has_members() || self.synced
    }

    fn weight(&self) -> usize {
        self.tail.as_ref().map_or(0, Tail::weight)
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
            for group in lock(shard).groups.values_mut() {
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
        let index = match shard.groups.get_index_of(name) {
            Some(index) => index,
            None => {
                if shard.groups.len() >= GROUPS_PER_SHARD_MAX {
                    shard.make_room()?;
                }
                shard.groups.insert_full(name.clone(), Group::default()).0
            }
        };
        let done = shard.act(index, act);
        self.keep_bound(&mut shard, name);
        Ok(done)
    }

    fn keep_bound(&self, shard: &mut Shard, but: &GroupName) {
        for _ in 0..EVICTIONS_MAX {
            if shard.bytes <= SHARD_BYTES_MAX {
                return;
            }
            shard.evict(but, |number| self.hasher.hash_one(number));
        }
    }

    /// Lets go of what is too old in a group, and says whether it has members. No use of it.
    pub(crate) fn tend(&self, name: &GroupName, now: Instant) -> bool {
        let mut shard = self.shard(name);
        let Some(group) = shard.groups.get_mut(name) else { return false };
        let before = group.weight();
        if let Some(tail) = &mut group.tail {
            tail.expire(now);
        }
        let (after, has_members) = (group.weight(), group.has_members());
        shard.bytes = shard.bytes - before + after;
        has_members
    }

    /// Runs `act` on a group if it is known here.
    pub(crate) fn existing<T>(&self, name: &GroupName, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let mut shard = self.shard(name);
        let index = shard.groups.get_index_of(name)?;
        let done = shard.act(index, act);
        self.keep_bound(&mut shard, name);
        Some(done)
    }

    /// Forgets a group that has no members; says whether it is gone.
    pub(crate) fn remove_if_empty(&self, name: &GroupName) -> bool {
        let mut shard = self.shard(name);
        let has_members = shard.groups.get(name).is_some_and(Group::has_members);
        if !has_members {
            shard.remove(name);
        }
        !has_members
    }

    /// Ends every mailbox: its reader gets what waits, then [`Closed`](crate::Received::Closed).
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.rings().clear();
        for shard in &self.shards {
            *lock(shard) = Shard::default();
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

/// A use that makes a shard too heavy lets go of as many groups at most; the next use goes on.
const EVICTIONS_MAX: usize = 4;

impl Shard {
    /// Runs `act` on the group at an index of the map, and weighs it.
    fn act<T>(&mut self, index: usize, act: impl FnOnce(&mut Group) -> T) -> T {
        let group = &mut self.groups[index];
        self.clock += 1;
        group.used = self.clock;
        let before = group.weight();
        let done = act(group);
        self.bytes = self.bytes - before + group.weight();
        done
    }

    fn remove(&mut self, name: &GroupName) {
        if let Some(group) = self.groups.swap_remove(name) {
            self.bytes -= group.weight();
        }
    }

    /// Forgets the groups without members whose history has run out, or else one without members.
    fn make_room(&mut self) -> Result<()> {
        let now = Instant::now();
        let before = self.groups.len();
        self.groups.retain(|_, group| {
            let weight = group.weight();
            let is_spent = group.tail.as_mut().is_none_or(|tail| tail.is_spent(now));
            self.bytes = self.bytes - weight + group.weight();
            group.is_held() || !is_spent
        });
        if self.groups.len() < before {
            return Ok(());
        }
        let empty = self.groups.iter().find(|(_, group)| !group.is_held()).map(|(name, _)| name.clone());
        self.remove(&empty.ok_or(Error::Overloaded)?);
        Ok(())
    }

    /// Forgets what one group remembers that was used long ago; `but` is in use.
    fn evict(&mut self, but: &GroupName, random: impl Fn(u64) -> u64) {
        let count = self.groups.len() as u64;
        let index = |number| usize::try_from(random(self.clock + number) % count).expect("an index");
        let oldest = (0..SAMPLE)
            .map(index)
            .filter(|index| self.groups.get_index(*index).is_some_and(|(name, _)| name != but))
            .filter(|index| self.groups[*index].weight() > 0)
            .min_by_key(|index| self.groups[*index].used);
        let Some(oldest) = oldest else { return };
        // Who holds it has positions in it, so it goes on where it stands; else it is gone.
        self.act(oldest, |group| group.tail.as_mut().map(Tail::forget));
        if !self.groups[oldest].is_held() {
            self.groups.swap_remove_index(oldest);
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{Lineage, Span},
        message::MessageId,
        position::{Epoch, Position},
    };
    use tail::{Before, Bounds, TailRead};

    const BOUNDS: Bounds =
        Bounds { messages: 1_000, bytes: 1 << 20, age: std::time::Duration::from_secs(60), ids: 1_000 };

    fn post(registry: &Registry, group: usize, bytes: usize) -> Position {
        let name: GroupName = format!("g{group}").parse().unwrap();
        let mut posted = None;
        registry
            .with(&name, |group| {
                let begin = || Tail::new(BOUNDS, Lineage::of(Epoch::random()), 0, Before::Forgotten);
                let head = group.tail.get_or_insert_with(begin).head();
                let position = Position { epoch: head.epoch, offset: head.offset + 1 };
                let message = Message::frame(MessageId::random(), vec![0; bytes]);
                group.post(Arc::new(Posted::new(name.clone(), message, Some(position))), 0, Instant::now());
                posted = Some(position);
            })
            .unwrap();
        posted.unwrap()
    }

    fn weight(registry: &Registry) -> usize {
        registry.shards.iter().map(|shard| lock(shard).bytes).sum()
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_what_is_in_use_stays() {
        let registry = Registry::new();
        let busy = post(&registry, 0, 10);
        for group in 1..3_000 {
            post(&registry, group, 200_000);
            assert_eq!(post(&registry, 0, 10).epoch, busy.epoch, "a group in use is not forgotten");
        }
        assert!(weight(&registry) <= BYTES_MAX + SHARDS * 400_000, "{}", weight(&registry));
        let known: usize = registry.shards.iter().map(|shard| lock(shard).groups.len()).sum();
        assert!(known < 1_000, "{known} of 3,000 groups are left");
    }

    #[test]
    fn a_group_with_members_is_emptied_rather_than_forgotten() {
        let registry = Registry::new();
        let mailbox = registry.new_channel(8);
        let name: GroupName = "g0".parse().unwrap();
        registry.add(&name, mailbox.channel()).unwrap();
        let first = post(&registry, 0, 100_000);
        for group in 1..5_000 {
            post(&registry, group, 200_000);
        }
        let read = registry.existing(&name, |group| {
            let tail = group.tail.as_mut().unwrap();
            assert_eq!(tail.head(), first);
            tail.read(Span::After(first), 10, Instant::now())
        });
        assert!(
            matches!(read, Some(TailRead::Here(crate::Recovered::All(_)))),
            "its members' positions stay good"
        );
        assert_eq!(post(&registry, 0, 10), Position { offset: 2, ..first });
    }
}
