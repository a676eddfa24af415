//! All groups' rooms on one node, and the turn in which what has changed is told and written.
//!
//! In parts, each of which has its turn at another moment: so that what thousands of groups have to tell does not come at
//! once upon who hears them, and a join waits for no more than a fraction of a turn's work. A lock is held for a few
//! look-ups in a map, or for one part's turn, never across an await.

use crate::{
    member::{Attendance, Member},
    name::{GroupMap, GroupName},
    presence::{
        PresenceRules,
        lease::{RowStored, RowWrite},
        room::{Room, Sight, Turn, Writes},
        row::{Change, decode_change},
    },
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Of as many groups as a layer remembers, all of which have changed, some 2,000 have their turn at once: half of what
/// waits in a worker's mailbox.
pub(crate) const PARTS: usize = 64;

#[derive(Default)]
struct Part {
    rooms: GroupMap<Room>,
    /// Turns so far.
    turns: u32,
}

pub(crate) struct Table {
    /// Guards each part's rooms.
    parts: [Mutex<Part>; PARTS],
    /// A bit for each part in which something waits for a turn; changed under the part's lock.
    restless: AtomicU64,
    /// There is one again.
    stirred: Notify,
    /// The name under which this node writes its rows.
    node: Box<str>,
    rules: PresenceRules,
    /// What a new room knows of other nodes.
    first: Sight,
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
        let parts = std::array::from_fn(|_| Mutex::default());
        let (restless, stirred) = Default::default();
        Self { parts, restless, stirred, node: node.into(), rules, first }
    }

    pub(crate) fn rules(&self) -> &PresenceRules {
        &self.rules
    }

    /// Between the turns of two parts.
    pub(crate) fn step(&self) -> Duration {
        let parts = u32::try_from(PARTS).expect("few");
        (self.rules.turn / parts).max(Duration::from_millis(1))
    }

    pub(crate) fn enter(&self, group: &GroupName, member: &Member) {
        self.room(group, |room| room.enter(member));
    }

    pub(crate) fn leave(&self, group: &GroupName, key: &str) {
        let mut part = self.part(group);
        let turn = part.turns;
        if let Some(room) = part.rooms.get_mut(group) {
            room.leave(key, turn);
            self.stir(group.part(PARTS));
        }
    }

    /// Waits until something waits for a turn, in a table to which no other node adds anything. Cancel safe.
    pub(crate) async fn restless(&self) {
        while self.restless.load(Ordering::Relaxed) == 0 {
            self.stirred.notified().await;
        }
    }

    fn stir(&self, part: usize) {
        if self.restless.fetch_or(1 << part, Ordering::Relaxed) == 0 {
            self.stirred.notify_one();
        }
    }

    /// What is known of the group; `None` when that is nothing.
    pub(crate) fn known<T>(
        &self,
        group: &GroupName,
        look: impl FnOnce(&Room, &PresenceRules) -> T,
    ) -> Option<T> {
        let part = self.part(group);
        part.rooms.get(group).filter(|room| room.sight != Sight::None).map(|room| look(room, &self.rules))
    }

    /// Who is in the group as far as this node knows.
    pub(crate) fn look<T>(&self, group: &GroupName, look: impl FnOnce(&Room, &PresenceRules) -> T) -> T {
        let part = self.part(group);
        match part.rooms.get(group) {
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
        let mut part = self.part(group);
        let turn = part.turns;
        if let Some(room) = part.rooms.get_mut(group) {
            room.lose_own(turn, &self.rules);
        }
    }

    /// Runs `act` on a room, if there is one.
    pub(crate) fn existing<T>(&self, group: &GroupName, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        self.part(group).rooms.get_mut(group).map(act)
    }

    fn room<T>(&self, group: &GroupName, act: impl FnOnce(&mut Room) -> T) -> T {
        let mut part = self.part(group);
        let turn = part.turns;
        let done = act(part.rooms.entry(group.clone()).or_insert_with(|| Room::new(self.first, turn)));
        self.stir(group.part(PARTS));
        done
    }

    /// Goes once through all rooms of a part; parts are numbered up to [`PARTS`].
    pub(crate) fn turn(&self, index: usize, now: Instant, writes: Writes) -> Turned {
        let random = crate::random_u64();
        let mut turned = Turned::default();
        let mut nth = 0_u64;
        let mut is_restless = false;
        let part = &mut *lock(&self.parts[index]);
        part.turns = part.turns.saturating_add(1);
        let number = part.turns;
        part.rooms.retain(|group, room| {
            nth += 1;
            let random = u32::try_from(random.wrapping_mul(nth | 1) >> 32).expect("half of 64 bits");
            let turn = Turn { number, now, writes, rules: &self.rules, node: &self.node, random };
            let (told, write) = room.turn(group, &turn);
            turned.told.extend(told.map(Arc::new));
            turned.writes.extend(write.map(|write| (group.clone(), write)));
            if room.sight != Sight::Whole {
                turned.unread.push(group.clone());
            }
            let is_spent = room.is_spent(number);
            is_restless |= !is_spent && !room.is_settled();
            !is_spent
        });
        if !is_restless {
            self.restless.fetch_and(!(1 << index), Ordering::Relaxed);
        }
        if part.rooms.is_empty() {
            // What a storm of joins needed once is not kept for ever.
            part.rooms.shrink_to_fit();
        }
        turned
    }

    /// Takes away every row of this node that stands at the backend, for good.
    pub(crate) fn withdraw(&self) -> Vec<(GroupName, RowWrite)> {
        let mut writes = Vec::new();
        for part in &self.parts {
            let part = &mut *lock(part);
            part.turns = part.turns.saturating_add(1);
            let number = part.turns;
            for (group, room) in &mut part.rooms {
                writes.extend(room.withdraw(&self.node, number).map(|write| (group.clone(), write)));
            }
        }
        writes
    }

    fn part(&self, group: &GroupName) -> MutexGuard<'_, Part> {
        lock(&self.parts[group.part(PARTS)])
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_table_is_restless_until_nothing_is_left_to_tell() {
        let table = Table::alone(PresenceRules::default());
        let group: GroupName = "room".parse().unwrap();
        let is_restless = || table.restless().now_or_never().is_some();
        let turn = || table.turn(group.part(PARTS), Instant::now(), Writes::Away).told.len();
        assert!(!is_restless());
        table.enter(&group, &Member { key: "ana".into(), info: (*b"Ana").into() });
        assert!(is_restless());
        assert_eq!(turn(), 1);
        assert!(!is_restless());
        table.leave(&group, "ana");
        let turns = std::iter::repeat_with(turn).take_while(|_| is_restless()).count();
        assert!((2..10).contains(&turns), "{turns}: she was waited for, and the room was kept a while");
        assert!(table.existing(&group, |_| ()).is_none(), "and then let go");
    }
}
