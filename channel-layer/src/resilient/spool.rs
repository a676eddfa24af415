//! What this node was given to keep and has not seen back in the history: in the order of the calls, until it has (pure).
//!
//! A verdict of the backend tells a sender how far a message got; it is no reason to let go of it, for a backend that acknowledged
//! it can still lose it before anybody has read it. Only what comes back is in somebody's hands.
//!
//! What an outage leaves here is bounded. Beyond a bound the oldest goes, and in its place stands that it is lost.

use crate::{
    bounds::Kept,
    gap::Gap,
    history::GapReason,
    message::MessageId,
    name::{GroupMap, GroupName},
    position::{Epoch, Position},
    resilient::spooled::{Number, Spooled, Stage},
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// What was numbered comes back at once; what has not so long after its sender had an answer was lost on its way.
const UNSEEN_MAX: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Debug)]
pub(super) struct Spool {
    bounds: Kept,
    /// By number, without gaps; the first is there.
    entries: VecDeque<Option<Spooled>>,
    /// The number of the first.
    first: Number,
    /// How many there are of each group.
    groups: GroupMap<usize>,
    /// Everything before this number was due.
    due: Number,
    /// Those that may have come back.
    placed: Vec<Number>,
    /// Everything before this number has been numbered, or is gone.
    placed_to: Number,
    /// What counts against the bounds.
    kept: usize,
    kept_bytes: usize,
}

impl Spool {
    pub(super) fn new(bounds: Kept) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            first: 0,
            groups: GroupMap::default(),
            due: 0,
            placed: Vec::new(),
            placed_to: 0,
            kept: 0,
            kept_bytes: 0,
        }
    }

    pub(super) fn push(&mut self, spooled: Spooled) -> Number {
        *self.groups.entry(spooled.group.clone()).or_default() += 1;
        self.entries.push_back(Some(spooled));
        self.end() - 1
    }

    /// The number of the next one.
    pub(super) fn end(&self) -> Number {
        self.first + self.entries.len() as u64
    }

    pub(super) fn get(&mut self, number: Number) -> Option<&mut Spooled> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)?.as_mut()
    }

    /// Lets go of one: it has come back, or was given up.
    pub(super) fn remove(&mut self, number: Number) -> Option<Spooled> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let removed = self.entries.get_mut(index)?.take()?;
        self.uncount(&removed);
        if let Some(count) = self.groups.get_mut(&removed.group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&removed.group);
            }
        }
        while self.entries.pop_front_if(|entry| entry.is_none()).is_some() {
            self.first += 1;
        }
        Some(removed)
    }

    fn uncount(&mut self, spooled: &Spooled) {
        if let Some(bytes) = spooled.weight() {
            (self.kept, self.kept_bytes) = (self.kept - 1, self.kept_bytes - bytes);
        }
    }

    /// The members here have got one without a position.
    pub(super) fn shown(&mut self, number: Number) {
        let Some(spooled) = self.get(number).filter(|spooled| !spooled.is_shown) else { return };
        spooled.is_shown = true;
        if let Some(bytes) = spooled.weight() {
            (self.kept, self.kept_bytes) = (self.kept + 1, self.kept_bytes + bytes);
        }
    }

    /// The oldest message that waits, if it is over a bound. What has left may be in the history by now.
    pub(super) fn overflow(&self, now: Instant) -> Option<Number> {
        if self.kept == 0 {
            return None;
        }
        let waits = |spooled: &Spooled| spooled.stage == Stage::Waiting && spooled.weight().is_some();
        let mut kept =
            (self.first..).zip(&self.entries).filter(|(_, entry)| entry.as_ref().is_some_and(waits));
        let (number, oldest) = kept.next()?;
        let is_old = oldest.as_ref().is_some_and(|oldest| now.duration_since(oldest.due) > self.bounds.age);
        let is_over = self.kept > self.bounds.messages || self.kept_bytes > self.bounds.bytes;
        (is_over || is_old).then_some(number)
    }

    /// Gives up a message, in whose place stands from now on that it is lost; an earlier such word of its group takes it in, if it
    /// was not sent yet. Gives the message, and the number of the word.
    pub(super) fn give_up(
        &mut self,
        number: Number,
        reason: GapReason,
        id: MessageId,
    ) -> Option<(Spooled, Number)> {
        let group = self.get(number)?.group.clone();
        let is_word = |entry: &Option<Spooled>| {
            entry.as_ref().is_some_and(|word| {
                let is_same = word.gap.as_ref().is_some_and(|gap| gap.reason == reason);
                is_same && word.floor.is_none() && word.group == group
            })
        };
        let before = usize::try_from(number - self.first).ok()?;
        let word = self.entries.iter().take(before).position(is_word);
        if let Some(word) = word {
            if let Some(Spooled { gap: Some(gap), message, .. }) = &mut self.entries[word] {
                gap.lost += 1;
                *message = gap.message(message.id);
            }
            let at = self.first + word as u64;
            return self.remove(number).map(|lost| (lost, at));
        }
        let gap = Gap { reason, lost: 1, holes: Vec::new() };
        let spooled = self.get(number)?;
        let word = Spooled {
            group,
            message: gap.message(id),
            floor: None,
            stage: Stage::Waiting,
            due: spooled.due,
            is_shown: spooled.is_shown,
            answer: None,
            room: None,
            gap: Some(Box::new(gap)),
        };
        let lost = std::mem::replace(spooled, word);
        self.uncount(&lost);
        Some((lost, number))
    }

    /// The backend has numbered one.
    pub(super) fn place(&mut self, number: Number, position: Position) {
        if let Some(spooled) = self.get(number) {
            spooled.stage = Stage::Placed(position);
            self.placed.push(number);
        }
    }

    /// Whether everything before `number` has been numbered by the present backend, or is gone.
    pub(super) fn is_placed_to(&mut self, number: Number) -> bool {
        self.placed_to = self.placed_to.max(self.first);
        while self.placed_to < number.min(self.end()) {
            match self.get(self.placed_to) {
                None | Some(Spooled { stage: Stage::Placed(_), .. }) => self.placed_to += 1,
                Some(_) => return false,
            }
        }
        true
    }

    /// What was numbered may be lost with the backend: it is all to be sent again. Gives what there is, in order.
    pub(super) fn restart(&mut self) -> Vec<Number> {
        self.placed.clear();
        self.placed_to = self.first;
        let mut numbers = Vec::new();
        for (number, entry) in (self.first..).zip(&mut self.entries) {
            if let Some(spooled) = entry {
                spooled.stage = Stage::Waiting;
                numbers.push(number);
            }
        }
        numbers
    }

    /// A group has begun another epoch: what was numbered in one before and has not come back is to be sent again. Gives it, in
    /// order.
    pub(super) fn unplace(&mut self, group: &GroupName, epoch: Epoch) -> Vec<Number> {
        let mut unplaced = Vec::new();
        for number in std::mem::take(&mut self.placed) {
            let is_before = |spooled: &&mut Spooled| {
                spooled.group == *group
                    && matches!(spooled.stage, Stage::Placed(position) if position.epoch != epoch)
            };
            if let Some(spooled) = self.get(number).filter(is_before) {
                spooled.stage = Stage::Waiting;
                unplaced.push(number);
            } else {
                self.placed.push(number);
            }
        }
        unplaced.sort_unstable();
        self.placed_to = unplaced.first().map_or(self.placed_to, |first| self.placed_to.min(*first));
        unplaced
    }

    /// Groups of which something was numbered long ago and has not come back.
    pub(super) fn unseen(&mut self, now: Instant) -> Vec<GroupName> {
        let placed = std::mem::take(&mut self.placed);
        let is_late = |spooled: &Spooled| now.duration_since(spooled.due) > UNSEEN_MAX;
        let late =
            |number: &Number| Some(self.get(*number).filter(|spooled| is_late(spooled))?.group.clone());
        let mut late: Vec<GroupName> = placed.iter().filter_map(late).collect();
        self.placed = placed;
        late.sort_unstable();
        late.dedup();
        late
    }

    /// Lets go of those that have come back, by `is_seen`, and gives those of them that the members here had been handed out.
    pub(super) fn settle(&mut self, is_seen: impl Fn(&GroupName, Position) -> bool) -> Vec<Spooled> {
        let mut placed = std::mem::take(&mut self.placed);
        let mut shown = Vec::new();
        placed.retain(|number| match self.get(*number) {
            Some(Spooled { group, stage: Stage::Placed(position), .. }) => {
                let is_seen = is_seen(group, *position);
                if is_seen {
                    shown.extend(self.remove(*number).filter(|spooled| spooled.is_shown));
                }
                !is_seen
            }
            // It went otherwise, or is to be sent again.
            _ => false,
        });
        self.placed = placed;
        shown
    }

    /// The next one that is due, each once.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Number> {
        while let Some(due) = self.due_at() {
            if due > now {
                return None;
            }
            self.due += 1;
            let number = self.due - 1;
            if self.get(number).is_some_and(|spooled| !spooled.is_shown) {
                return Some(number);
            }
        }
        None
    }

    /// When the next one is due; earlier, perhaps, than anything is to be done.
    pub(super) fn due_at(&mut self) -> Option<Instant> {
        self.due = self.due.max(self.first);
        while self.due < self.end() {
            if let Some(spooled) = self.get(self.due) {
                return Some(spooled.due);
            }
            self.due += 1;
        }
        None
    }

    /// All that there are, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Number> + use<> {
        self.first..self.end()
    }

    pub(super) fn holds(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    const BOUNDS: Kept = Kept { messages: 3, bytes: 1 << 20, age: Duration::from_secs(60) };

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::from_u64(1).unwrap(), offset }
    }

    fn spooled(group: &str, id: u128, due: Instant) -> Spooled {
        Spooled {
            group: group.parse().unwrap(),
            message: Message::frame(MessageId::from_u128(id), "{}"),
            floor: None,
            stage: Stage::Waiting,
            due,
            is_shown: false,
            answer: None,
            room: None,
            gap: None,
        }
    }

    fn filled(groups: &[&str], now: Instant) -> Spool {
        let mut spool = Spool::new(BOUNDS);
        for (group, id) in groups.iter().zip(0..) {
            let number = spool.push(spooled(group, id, now));
            spool.shown(number);
        }
        spool
    }

    #[test]
    fn what_has_come_back_is_let_go_and_what_was_only_acknowledged_is_not() {
        let now = Instant::now();
        let mut spool = filled(&["a", "a", "b"], now);
        spool.place(0, at(1));
        spool.place(1, at(2));
        assert!(spool.is_placed_to(2) && !spool.is_placed_to(3));
        spool.settle(|_, position| position == at(1));
        assert_eq!(spool.groups().count(), 2);
        assert_eq!(spool.restart(), [1, 2]);
        spool.settle(|_, _| true);
        assert!(!spool.is_placed_to(2), "it is to be sent again");
    }

    #[test]
    fn each_is_due_once_in_its_turn() {
        let now = Instant::now();
        let mut spool = Spool::new(BOUNDS);
        for id in 0..4 {
            spool.push(spooled("a", id, now + Duration::from_millis(u64::try_from(id).unwrap())));
        }
        spool.remove(0);
        spool.shown(2);
        assert_eq!(spool.next_due(now), None);
        let later = now + Duration::from_millis(2);
        assert_eq!((spool.next_due(later), spool.next_due(later)), (Some(1), None));
        assert_eq!(spool.due_at(), Some(now + Duration::from_millis(3)));
        assert_eq!((spool.next_due(now + Duration::from_secs(1)), spool.due_at()), (Some(3), None));
    }

    #[test]
    fn the_oldest_over_a_bound_goes_and_a_word_stands_in_its_place() {
        let now = Instant::now();
        let id = MessageId::from_u128(99);
        let mut spool = filled(&["a", "b", "a", "a", "b"], now);
        let mut lost = Vec::new();
        while let Some(number) = spool.overflow(now) {
            let (message, word) = spool.give_up(number, GapReason::SpoolOverflow, id).unwrap();
            lost.push((message.message.id.as_u128(), word));
        }
        assert_eq!(lost, [(0, 0), (1, 1)]);
        assert_eq!(spool.kept, 3);
        // Another of a group that has a word: that takes it in, unless it may have been sent as it is.
        let (_, word) = spool.give_up(2, GapReason::SpoolOverflow, id).unwrap();
        let lost_of = |spool: &mut Spool, number| spool.get(number).unwrap().gap.as_ref().unwrap().lost;
        assert_eq!((word, lost_of(&mut spool, 0)), (0, 2));
        spool.get(0).unwrap().floor = Some(at(1));
        let (_, word) = spool.give_up(3, GapReason::SpoolOverflow, id).unwrap();
        assert_eq!((word, lost_of(&mut spool, 3)), (3, 1));
        assert_eq!(spool.overflow(now), None);
        assert_eq!(spool.overflow(now + Duration::from_secs(61)), Some(4), "it is too old");
    }
}
