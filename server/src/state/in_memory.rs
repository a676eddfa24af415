//! The values of a node that stands alone.
//!
//! Bounded in all: what was changed longest ago makes room, and what is as old as a history gets is not there any more.

use crate::state::{
    reactions::{KINDS_MAX, MARKS_MAX, Mark, Reaction, Reactions, Seen, Tally},
    reads::{Reads, USERS_MAX},
};
use channel_layer::{Answer, Error, GroupName, MemoryLayer, MessageId, Owner, Position, Result};
use futures_util::future::{FutureExt, ready};
use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// Marks, or positions, that a node remembers of all groups: some 50 MB.
const VALUES_MAX: usize = 500_000;

/// What has a number of values in it.
trait Weigh: Default {
    fn weight(&self) -> usize;
}

/// Things by name, with the instant of their last change.
#[derive(Debug)]
struct Aging<K, V> {
    things: HashMap<K, (Instant, V)>,
    weight: usize,
    /// How long something stays after its last change: as long as a history keeps anything.
    age_max: Duration,
}

impl<K: Hash + Eq + Clone, V: Weigh> Aging<K, V> {
    fn new(age_max: Duration) -> Self {
        Self { things: HashMap::new(), weight: 0, age_max }
    }

    fn look(&self, name: &K, now: Instant) -> Option<&V> {
        let (changed, thing) = self.things.get(name)?;
        (now.duration_since(*changed) < self.age_max).then_some(thing)
    }

    fn change<T>(&mut self, name: K, now: Instant, act: impl FnOnce(&mut V) -> T) -> T {
        if self.look(&name, now).is_none() {
            self.remove(&name);
        }
        let before = self.things.get(&name).map_or(0, |(_, thing)| thing.weight());
        let (changed, thing) = self.things.entry(name).or_insert_with(|| (now, V::default()));
        let done = act(thing);
        *changed = now;
        self.weight = self.weight + thing.weight() - before;
        if self.weight > VALUES_MAX {
            self.make_room();
        }
        done
    }

    fn remove(&mut self, name: &K) {
        if let Some((_, thing)) = self.things.remove(name) {
            self.weight -= thing.weight();
        }
    }

    /// Drops an eighth at once, so that it is seldom done.
    fn make_room(&mut self) {
        let mut by_age: Vec<(Instant, K)> =
            self.things.iter().map(|(name, (changed, _))| (*changed, name.clone())).collect();
        by_age.sort_unstable_by_key(|(changed, _)| *changed);
        for (_, name) in by_age {
            if self.weight <= VALUES_MAX / 8 * 7 {
                break;
            }
            self.remove(&name);
        }
    }
}

/// One message's reactions.
#[derive(Debug, Default)]
struct Marks {
    marks: HashMap<(Owner, String), (u64, Mark)>,
    counts: BTreeMap<String, u64>,
    rev: u64,
}

impl Weigh for Marks {
    fn weight(&self) -> usize {
        1 + self.marks.len()
    }
}

impl Marks {
    fn take(&mut self, reaction: Reaction, now_ms: u64) -> Result<Option<Tally>> {
        let Reaction { user, kind, mark, version } = reaction;
        let was = self.marks.get(&(user, kind.clone())).copied();
        let next = was.map_or(0, |(before, _)| before + 1);
        let version = version.unwrap_or_else(|| now_ms.max(next));
        if version < next {
            return Ok(None);
        }
        let is_new_kind = mark == Mark::On && !self.counts.contains_key(&kind);
        if was.is_none() && self.marks.len() >= MARKS_MAX || is_new_kind && self.counts.len() >= KINDS_MAX {
            return Err(Error::TooLarge);
        }
        self.marks.insert((user, kind.clone()), (version, mark));
        match (was.map_or(Mark::Off, |(_, mark)| mark), mark) {
            (Mark::Off, Mark::On) => *self.counts.entry(kind).or_default() += 1,
            (Mark::On, Mark::Off) => {
                let left = self.counts.remove(&kind).unwrap_or_default().saturating_sub(1);
                if left > 0 {
                    self.counts.insert(kind, left);
                }
            }
            (Mark::On, Mark::On) | (Mark::Off, Mark::Off) => return Ok(None),
        }
        self.rev = now_ms.max(self.rev + 1);
        Ok(Some(self.tally()))
    }

    fn tally(&self) -> Tally {
        Tally { counts: self.counts.clone().into_iter().collect(), rev: self.rev }
    }

    fn seen_by(&self, user: Owner) -> Seen {
        let is_mine = |kind: &&String| {
            self.marks.get(&(user, (*kind).clone())).is_some_and(|(_, mark)| *mark == Mark::On)
        };
        Seen { tally: self.tally(), mine: self.counts.keys().filter(is_mine).cloned().collect() }
    }
}

/// Reactions in this process.
#[derive(Debug)]
pub(super) struct MemoryReactions {
    layer: Arc<MemoryLayer>,
    /// Held for one change or look.
    messages: Mutex<Aging<(GroupName, MessageId), Marks>>,
}

impl MemoryReactions {
    pub(super) fn new(layer: Arc<MemoryLayer>) -> Self {
        let messages = Mutex::new(Aging::new(layer.age_max()));
        Self { layer, messages }
    }
}

impl Reactions for MemoryReactions {
    fn react(&self, group: &GroupName, target: MessageId, reaction: Reaction) -> Answer<Option<Tally>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock: a deletion that comes after it has its reactions dropped after this one.
        let taken = if self.layer.holds(group, target) {
            let name = (group.clone(), target);
            messages.change(name, Instant::now(), |marks| marks.take(reaction, now_ms()))
        } else {
            Err(Error::NotFound)
        };
        ready(taken).boxed()
    }

    fn of(&self, group: &GroupName, targets: Vec<MessageId>, user: Owner) -> Answer<Vec<Seen>> {
        let (messages, now) = (self.messages.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let seen = |target| {
            let marks = messages.look(&(group.clone(), target), now);
            marks.map(|marks| marks.seen_by(user)).unwrap_or_default()
        };
        ready(Ok(targets.into_iter().map(seen).collect())).boxed()
    }

    fn forget(&self, group: &GroupName, target: MessageId) -> Answer<()> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.remove(&(group.clone(), target));
        ready(Ok(())).boxed()
    }
}

/// Where the users of one group have read to.
#[derive(Debug, Default)]
struct Users(HashMap<Owner, Position>);

impl Weigh for Users {
    fn weight(&self) -> usize {
        1 + self.0.len()
    }
}

impl Users {
    fn advance(&mut self, user: Owner, position: Position) -> Result<Position> {
        match self.0.get(&user) {
            Some(was) if was.epoch == position.epoch && was.offset >= position.offset => return Ok(*was),
            None if self.0.len() >= USERS_MAX => return Err(Error::TooLarge),
            _ => {}
        }
        self.0.insert(user, position);
        Ok(position)
    }
}

/// Read positions in this process.
#[derive(Debug)]
pub(super) struct MemoryReads {
    /// Held for one change or look.
    groups: Mutex<Aging<GroupName, Users>>,
}

impl MemoryReads {
    pub(super) fn new(layer: &MemoryLayer) -> Self {
        Self { groups: Mutex::new(Aging::new(layer.age_max())) }
    }
}

impl Reads for MemoryReads {
    fn advance(&self, group: &GroupName, user: Owner, position: Position) -> Answer<Position> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let read = groups.change(group.clone(), Instant::now(), |users| users.advance(user, position));
        ready(read).boxed()
    }

    fn of(&self, group: &GroupName, user: Owner) -> Answer<Option<Position>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let users = groups.look(group, Instant::now());
        ready(Ok(users.and_then(|users| users.0.get(&user).copied()))).boxed()
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE_MAX: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn what_was_changed_longest_ago_makes_room_and_what_is_too_old_is_gone() {
        let (mut aging, start) = (Aging::<u32, Marks>::new(AGE_MAX), Instant::now());
        let full = |marks: &mut Marks| {
            for user in 0..9_999 {
                marks.marks.insert((Owner::from_u64(user), "+".to_owned()), (1, Mark::On));
            }
        };
        for name in 0..50 {
            aging.change(name, start + Duration::from_secs(name.into()), full);
        }
        assert_eq!((aging.weight, aging.things.len()), (VALUES_MAX, 50));
        // One that is used again stays; of the others the oldest go, until an eighth is free.
        let later = start + Duration::from_secs(60);
        aging.change(0, later, full);
        aging.change(50, later, full);
        assert!(aging.weight <= VALUES_MAX / 8 * 7 && aging.things.len() < 45);
        for (name, stays) in [(0, true), (1, false), (5, false), (20, true), (50, true)] {
            assert_eq!(aging.look(&name, later).is_some(), stays, "{name}");
        }
        assert!(aging.look(&50, later + AGE_MAX).is_none());
        aging.change(50, later + AGE_MAX, |marks| assert!(marks.marks.is_empty()));
    }
}
