//! All groups' rooms on one node, and the turn in which what has changed is told and written.
//!
//! Sharded, so that a join waits for no more than a fraction of a turn's work; a lock is held for a few look-ups in a map,
//! or for one shard's turn, never across an await.

use crate::{
    member::{Attendance, Member},
    name::GroupName,
    presence::{
        PresenceRules,
        lease::{RowStored, RowWrite},
        room::{Room, Sight, Turn, Writes},
        row::{Change, decode_change},
    },
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::time::Instant;

const SHARDS: usize = 64;

type Shard = HashMap<GroupName, Room>;

pub(crate) struct Table {
    /// Guards each shard's rooms.
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// The name under which this node writes its rows.
    node: Box<str>,
    rules: PresenceRules,
    /// What a new room knows of other nodes.
    first: Sight,
    /// Turns so far.
    turns: AtomicU32,
}

/// What a turn comes to.
#[derive(Debug, Default)]
pub(crate) struct Turned {
    /// For the mailboxes of each group.
    pub(crate) told: Vec<Arc<Attendance>>,
    /// For the backend.
    pub(crate) writes: Vec<(GroupName, RowWrite)>,
    /// Groups whose rows have to be read.
    pub(crate) unread: Vec<GroupName>,
}

impl Table {
    /// Of a node that is the whole hub.
    pub(crate) fn alone(rules: PresenceRules) -> Self {
        Self::new("", rules, Sight::Whole)
    }

    /// Of one node among others.
    pub(crate) fn among_others(node: &str, rules: PresenceRules) -> Self {
        Self::new(node, rules, Sight::None)
    }

    fn new(node: &str, rules: PresenceRules, first: Sight) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new(), node: node.into(), rules, first, turns: AtomicU32::new(0) }
    }

    pub(crate) fn rules(&self) -> &PresenceRules {
        &self.rules
    }

    pub(crate) fn enter(&self, group: &GroupName, member: &Member) {
        self.room(group, |room| room.enter(member));
    }

    pub(crate) fn leave(&self, group: &GroupName, key: &str) {
        let turn = self.turns.load(Ordering::Relaxed);
        self.existing(group, |room| room.leave(key, turn));
    }

    /// What is known of the group; `None` when that is nothing.
    pub(crate) fn known<T>(
        &self,
        group: &GroupName,
        look: impl FnOnce(&Room, &PresenceRules) -> T,
    ) -> Option<T> {
        let shard = self.shard(group);
        shard.get(group).filter(|room| room.sight != Sight::None).map(|room| look(room, &self.rules))
    }

    /// Who is in the group as far as this node knows.
    pub(crate) fn look<T>(&self, group: &GroupName, look: impl FnOnce(&Room, &PresenceRules) -> T) -> T {
        let shard = self.shard(group);
        match shard.get(group) {
            Some(room) => look(room, &self.rules),
            None => look(&Room::new(self.first, 0), &self.rules),
        }
    }

    /// Takes what arrived from the backend about a group; what cannot be read is passed over.
    pub(crate) fn hear(&self, group: &GroupName, change: Bytes, now: Instant) {
        match decode_change(change) {
            Some(Change { node, .. }) if node == self.node => {}
            Some(change) => drop(self.existing(group, |room| room.hear(change, now + self.rules.lease))),
            None => {
                tracing::warn!(
                    event = "layer.presence.malformed",
                    "passed over a change that is none of ours"
                );
            }
        }
    }

    /// Takes what the backend has of the other nodes' rows.
    pub(crate) fn learn(&self, group: &GroupName, rows: Vec<RowStored>, now: Instant) {
        let rows = rows.into_iter().filter(|row| row.node != self.node).collect();
        self.room(group, |room| room.learn(rows, now));
    }

    /// The backend does not have this node's row of a group.
    pub(crate) fn lose_own(&self, group: &GroupName) {
        let turn = self.turns.load(Ordering::Relaxed);
        self.existing(group, |room| room.lose_own(turn, &self.rules));
    }

    /// Runs `act` on a room, if there is one.
    pub(crate) fn existing<T>(&self, group: &GroupName, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        self.shard(group).get_mut(group).map(act)
    }

    fn room<T>(&self, group: &GroupName, act: impl FnOnce(&mut Room) -> T) -> T {
        let turn = self.turns.load(Ordering::Relaxed);
        let mut shard = self.shard(group);
        act(shard.entry(group.clone()).or_insert_with(|| Room::new(self.first, turn)))
    }

    /// Goes through all rooms once.
    pub(crate) fn turn(&self, now: Instant, writes: Writes) -> Turned {
        let number = self.turns.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let random = crate::random_u64();
        let mut turned = Turned::default();
        let mut nth = 0_u64;
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|group, room| {
                nth += 1;
                let random = u32::try_from(random.wrapping_mul(nth | 1) >> 32).expect("half of 64 bits");
                let turn = Turn { number, now, writes, rules: &self.rules, node: &self.node, random };
                let (told, write) = room.turn(group, &turn);
                turned.told.extend(told.map(Arc::new));
                turned.writes.extend(write.map(|write| (group.clone(), write)));
                if room.sight != Sight::Whole {
                    turned.unread.push(group.clone());
                }
                !room.is_spent(number)
            });
            if shard.is_empty() {
                // What a storm of joins needed once is not kept for ever.
                shard.shrink_to_fit();
            }
        }
        turned
    }

    /// Takes away every row of this node that stands at the backend, for good.
    pub(crate) fn withdraw(&self) -> Vec<(GroupName, RowWrite)> {
        let number = self.turns.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut writes = Vec::new();
        for shard in &self.shards {
            for (group, room) in &mut *lock(shard) {
                writes.extend(room.withdraw(&self.node, number).map(|write| (group.clone(), write)));
            }
        }
        writes
    }

    fn shard(&self, group: &GroupName) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(group);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).expect("below SHARDS")])
    }
}

/// A panic under one of these locks leaves a count that is off by one at worst, until the room is empty.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("node", &self.node).finish_non_exhaustive()
    }
}
