//! This node's groups: which mailboxes are in each, its tail, and the fan-out to them.
//!
//! Sharded by group name, so that one busy room does not block the rest; a shard's lock is held for a hash look-up
//! and a push a mailbox, never across an await. Appending to the tail and the fan-out happen under one lock, so
//! whoever reads the tail and then its mailbox misses nothing. Knows nothing of other nodes.

mod group;
mod ids;
mod loose;
mod shard;
pub(crate) mod tail;

use crate::{
    delivery::Delivery,
    error::{Error, Result},
    mailbox::Mailbox,
    message::Message,
    name::{ChannelName, GroupName},
    report::{Census, Counters, Gauge, Report},
};
pub(crate) use group::{Group, Shown};
use shard::{GROUPS_PER_SHARD_MAX, Shard};
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

type Ring = broadcast::Sender<Delivery>;

pub(crate) struct Registry {
    /// The first part of the address of every mailbox here: this process, not this machine.
    node: String,
    /// Guards each shard's map; held for a few pushes.
    shards: [Mutex<Shard>; SHARDS],
    /// Guards the addresses; held for a look-up, maybe under a shard's lock, never the other way round.
    rings: Mutex<HashMap<ChannelName, Ring>>,
    hasher: RandomState,
    /// What a shard may remember of histories, in bytes.
    shard_bytes_max: usize,
    mailboxes: AtomicU64,
    closed: AtomicBool,
    /// What has happened, for reports.
    pub(crate) counters: Counters,
    /// How long the last canary took.
    pub(crate) canary: Gauge,
}

impl Registry {
    /// Groups whose histories weigh at most `bytes_max` together.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            node: format!("{:016x}", crate::random_u64()),
            shards: Default::default(),
            rings: Mutex::default(),
            hasher: RandomState::new(),
            shard_bytes_max: bytes_max / SHARDS,
            mailboxes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
            canary: Gauge::default(),
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
        let mut rings = self.rings();
        // Looked at under the lock, so that a layer that ends meanwhile clears this one too, or is seen.
        if !self.closed.load(Ordering::Acquire) {
            rings.insert(channel.clone(), ring);
        }
        drop(rings);
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
        self.ring(channel)?;
        self.with(group, |group| {
            // Once more, under the group's lock: who drops a mailbox, or ends all, takes its address away before coming
            // for its groups. So what is added here without an address would stay for ever.
            let ring = self.ring(channel)?;
            if !group.members.iter().any(|(member, _)| member == channel) {
                group.members.push((channel.clone(), ring));
            }
            Ok(group.synced)
        })?
    }

    fn ring(&self, channel: &ChannelName) -> Result<Ring> {
        self.rings().get(channel).cloned().ok_or_else(|| Error::NoSuchChannel(channel.clone()))
    }

    pub(crate) fn discard(&self, group: &GroupName, channel: &ChannelName) {
        self.existing(group, |group| group.members.retain(|(member, _)| member != channel));
    }

    /// Hands a message to the mailbox of an address of this node.
    pub(crate) fn deliver(&self, to: ChannelName, message: Message) -> Result<()> {
        let ring =
            to.mailbox().parse().ok().and_then(|mailbox: ChannelName| self.rings().get(&mailbox).cloned());
        let ring = ring.ok_or_else(|| Error::NoSuchChannel(to.clone()))?;
        ring.send(Delivery::Direct { to: to.clone(), message: Box::new(message) })
            .map_err(|_| Error::NoSuchChannel(to))?;
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
        shard.keep_bound(self.shard_bytes_max, but, |number| self.hasher.hash_one(number));
    }

    /// Lets go of what is too old in a group, and says whether it has members. No use of it.
    pub(crate) fn tend(&self, name: &GroupName, now: Instant) -> bool {
        self.shard(name).tend(name, now)
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

    /// What is known here, with what others know.
    pub(crate) fn report(&self, census: Census) -> Report {
        let (mailboxes, counts, canary_us) = (self.rings().len(), self.counters.read(), self.canary.get());
        let node = self.node.clone();
        let mut report = Report { node, census, mailboxes, canary_us, counts, ..Report::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            report.groups += shard.groups.len();
            report.spooled += shard
                .groups
                .values()
                .filter_map(|group| group.loose.as_ref())
                .map(|loose| loose.len())
                .sum::<usize>();
            report.memberships += shard.groups.values().map(|group| group.members.len()).sum::<usize>();
            report.messages +=
                shard.groups.values().filter_map(|group| group.tail.as_ref()).map(Tail::len).sum::<usize>();
        }
        report
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
        lock(&self.shards[name.part(SHARDS)])
    }

    fn rings(&self) -> MutexGuard<'_, HashMap<ChannelName, Ring>> {
        lock(&self.rings)
    }
}

/// A panic under one of these locks leaves the map as it was before or after one call, so it stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        bounds::Bounds,
        delivery::Posted,
        history::{Lineage, Recovered, Span},
        message::MessageId,
        position::{Epoch, Position},
    };
    use tail::{Before, TailBounds, TailRead};

    const BYTES_MAX: usize = 256 << 20;

    fn post(registry: &Registry, group: usize, bytes: usize) -> Position {
        let name: GroupName = format!("g{group}").parse().unwrap();
        let mut posted = None;
        registry
            .with(&name, |group| {
                let begin = || {
                    Tail::new(
                        TailBounds::of_history(&Bounds::default()),
                        Lineage::of(Epoch::random()),
                        0,
                        Before::Forgotten,
                    )
                };
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
        let registry = Registry::new(BYTES_MAX);
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
        let registry = Registry::new(BYTES_MAX);
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
        assert!(matches!(read, Some(TailRead::Here(Recovered::All(_)))), "its members' positions stay good");
        assert_eq!(post(&registry, 0, 10), Position { offset: 2, ..first });
    }

    #[test]
    fn a_group_that_a_layer_hears_is_never_forgotten_whoever_makes_it_grow() {
        let registry = Registry::new(BYTES_MAX);
        let names: Vec<GroupName> = (0..3_000).map(|group| format!("g{group}").parse().unwrap()).collect();
        for (group, name) in names.iter().enumerate() {
            post(&registry, group, 10);
            registry.existing(name, |group| group.synced = true);
        }
        for name in &names {
            registry.existing(name, |group| {
                let head = group.tail.as_ref().unwrap().head();
                let position = Position { offset: head.offset + 1, ..head };
                let message = Message::frame(MessageId::random(), vec![0; 200_000]);
                group.post(Arc::new(Posted::new(name.clone(), message, Some(position))), 0, Instant::now());
            });
        }
        assert!(weight(&registry) <= BYTES_MAX + SHARDS * 400_000, "{}", weight(&registry));
        let known = names.iter().filter(|name| registry.existing(name, |group| group.synced) == Some(true));
        assert_eq!(known.count(), names.len());
    }
}
