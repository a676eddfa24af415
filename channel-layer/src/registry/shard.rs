//! Some of a node's groups, weighed: what is remembered of all of them has a bound.

use crate::{
    error::{Error, Result},
    name::{GroupHasher, GroupName},
    registry::{Group, tail::Tail},
};
use indexmap::IndexMap;
use std::hash::BuildHasherDefault;
use tokio::time::Instant;

/// Over all shards this bounds what a node remembers at about 130,000 groups; beyond it those without members
/// make room.
pub(super) const GROUPS_PER_SHARD_MAX: usize = 8_192;

/// Groups looked at for the one to let go: the longer ago it was used and the more it weighs, the sooner. Among so few it
/// is rarely the very best, and never a busy one while there are others; a list in order of use would be written at every
/// message.
const SAMPLE: usize = 8;

/// Some of the groups.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) groups: IndexMap<GroupName, Group, BuildHasherDefault<GroupHasher>>,
    /// What the tails of these groups weigh.
    pub(super) bytes: usize,
    /// Counts uses, and so orders them.
    clock: u64,
}

/// A use that makes a shard too heavy lets go of as many groups at most; the next use goes on.
const EVICTIONS_MAX: usize = 16;

impl Shard {
    /// Lets go of groups until this shard weighs no more than `bytes_max`; `but` is in use.
    pub(super) fn keep_bound(&mut self, bytes_max: usize, but: &GroupName, random: impl Fn(u64) -> u64) {
        for _ in 0..EVICTIONS_MAX {
            if self.bytes <= bytes_max {
                return;
            }
            self.evict(but, &random);
        }
    }

    /// Lets go of what is too old in a group, and says whether it has members. No use of it.
    pub(super) fn tend(&mut self, name: &GroupName, now: Instant) -> bool {
        let Some(group) = self.groups.get_mut(name) else { return false };
        let before = group.weight();
        // Out of step with the backend nobody else may have what is here.
        if let Some(tail) = group.tail.as_mut().filter(|_| group.synced) {
            tail.expire(now);
        }
        self.bytes = self.bytes - before + group.weight();
        group.has_members()
    }

    /// Runs `act` on the group at an index of the map, and weighs it.
    pub(super) fn act<T>(&mut self, index: usize, act: impl FnOnce(&mut Group) -> T) -> T {
        let group = &mut self.groups[index];
        self.clock += 1;
        group.used = self.clock;
        let before = group.weight();
        let done = act(group);
        self.bytes = self.bytes - before + group.weight();
        done
    }

    pub(super) fn remove(&mut self, name: &GroupName) {
        if let Some(group) = self.groups.swap_remove(name) {
            self.bytes -= group.weight();
        }
    }

    /// Forgets the groups without members whose history has run out, or else one without members.
    pub(super) fn make_room(&mut self) -> Result<()> {
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

    /// Forgets what one group remembers; `but` is in use.
    fn evict(&mut self, but: &GroupName, random: impl Fn(u64) -> u64) {
        let count = self.groups.len();
        let Some(first) = random(self.clock).checked_rem(count as u64) else { return };
        let first = usize::try_from(first).expect("an index");
        // Evenly spaced, so that none is looked at twice and of a few groups all are: a busy one is never the only candidate.
        let step = (count / SAMPLE).max(1);
        let idlest = (0..SAMPLE.min(count))
            .map(|number| (first + number * step) % count)
            .filter(|index| self.groups.get_index(*index).is_some_and(|(name, _)| name != but))
            .max_by_key(|index| {
                let group = &self.groups[*index];
                u128::from(self.clock - group.used) * group.weight() as u128
            });
        let Some(idlest) = idlest else { return };
        // Who holds it has positions in it, so it goes on where it stands; else it is gone.
        self.act(idlest, |group| group.tail.as_mut().map(Tail::forget));
        if !self.groups[idlest].is_held() {
            self.groups.swap_remove_index(idlest);
        }
    }
}
