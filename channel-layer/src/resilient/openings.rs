//! Which groups are to be opened, in which order, and how many in one round trip (pure but for the answers).
//!
//! After an outage they are all of a node's, and one opening of all of them would keep what is behind it waiting for
//! longer than any deadline. So some are opened at a time, first those that somebody waits for; how many is learned from
//! how long the backend takes.

use crate::name::{GroupMap, GroupName};
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// Groups in one round trip at most: some 10 ms of a backend that has little to tell of each.
const TOGETHER_MAX: usize = 256;

/// A round trip that takes longer was too much at once, and one that takes a quarter of it could have been more. A link
/// without an answer for a second is given up.
const TAKES_MAX: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Somebody waits: a publish, a join, a reader, members that cannot go on.
    Awaited,
    /// It was open before, and is not needed just now.
    Known,
}

#[derive(Debug)]
pub(super) struct Openings {
    /// What is to be opened. A queue may name a group that is not here any more, or with another rank: it is passed over.
    ranks: GroupMap<Rank>,
    awaited: VecDeque<GroupName>,
    known: VecDeque<GroupName>,
    /// Readers to be told.
    readers: Vec<(GroupName, oneshot::Sender<()>)>,
    together: usize,
    /// When the opening that is under way began.
    begun: Option<Instant>,
}

impl Default for Openings {
    fn default() -> Self {
        Self {
            ranks: GroupMap::default(),
            awaited: VecDeque::new(),
            known: VecDeque::new(),
            readers: Vec::new(),
            together: TOGETHER_MAX,
            begun: None,
        }
    }
}

impl Openings {
    /// A group that somebody waits for.
    pub(super) fn want(&mut self, group: GroupName) {
        if self.ranks.insert(group.clone(), Rank::Awaited) != Some(Rank::Awaited) {
            self.awaited.push_back(group);
        }
    }

    /// A group that can wait.
    pub(super) fn list(&mut self, group: GroupName) {
        if !self.ranks.contains_key(&group) {
            self.ranks.insert(group.clone(), Rank::Known);
            self.known.push_back(group);
        }
    }

    /// A reader that waits for a group.
    pub(super) fn want_for(&mut self, group: GroupName, reader: oneshot::Sender<()>) {
        // Those who stopped waiting ask again, and would pile up during an outage.
        self.readers.retain(|(_, reader)| !reader.is_closed());
        self.readers.push((group.clone(), reader));
        self.want(group);
    }

    pub(super) fn has_readers(&self, group: &GroupName) -> bool {
        self.readers.iter().any(|(wanted, _)| wanted == group)
    }

    /// The groups to be opened now, in one round trip, which is then under way. What `waits` for something else is left
    /// out: it comes again.
    pub(super) fn next(&mut self, now: Instant, waits: impl Fn(&GroupName) -> bool) -> Vec<GroupName> {
        let mut groups = Vec::new();
        while groups.len() < self.together {
            let (rank, next) = match self.awaited.pop_front() {
                Some(group) => (Rank::Awaited, group),
                None => match self.known.pop_front() {
                    Some(group) => (Rank::Known, group),
                    None => break,
                },
            };
            if self.ranks.get(&next) == Some(&rank) {
                self.ranks.remove(&next);
                if !waits(&next) {
                    groups.push(next);
                }
            }
        }
        self.begun = (!groups.is_empty()).then_some(now);
        groups
    }

    /// The round trip has ended.
    pub(super) fn answered(&mut self, now: Instant) {
        let Some(took) = self.begun.take().map(|begun| now.duration_since(begun)) else { return };
        if took > TAKES_MAX {
            self.together = (self.together / 2).max(1);
        } else if took < TAKES_MAX / 4 {
            self.together = (self.together * 2).min(TOGETHER_MAX);
        }
    }

    /// A group is open.
    pub(super) fn opened(&mut self, group: &GroupName) {
        for (_, reader) in self.readers.extract_if(.., |(opened, _)| opened == group) {
            let _gone = reader.send(());
        }
    }

    /// The link is lost. If an opening was under way, that may be why: the next one asks for less.
    pub(super) fn lose(&mut self) {
        let together = if self.begun.is_some() { (self.together / 4).max(1) } else { self.together };
        *self = Self { together, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> GroupName {
        format!("g{number}").parse().unwrap()
    }

    fn next(openings: &mut Openings) -> Vec<GroupName> {
        openings.next(Instant::now(), |_| false)
    }

    #[test]
    fn those_that_somebody_waits_for_come_first_and_each_comes_once() {
        let mut openings = Openings::default();
        for number in 0..600 {
            openings.list(name(number));
        }
        for number in [599, 700, 599] {
            openings.want(name(number));
        }
        openings.list(name(700));
        let first = next(&mut openings);
        assert_eq!(first.len(), TOGETHER_MAX);
        assert_eq!(first[..3], [name(599), name(700), name(0)]);
        openings.want(name(0));
        let second = next(&mut openings);
        assert_eq!(second[0], name(0), "wanted again since");
        let third = next(&mut openings);
        let mut all: Vec<GroupName> = [&first[..], &second[1..], &third].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), first.len() + second.len() + third.len()), (601, 602));
        assert!(next(&mut openings).is_empty());
    }

    #[test]
    fn what_waits_for_its_subscription_is_left_out_and_can_come_again() {
        let mut openings = Openings::default();
        openings.want(name(1));
        openings.want(name(2));
        assert_eq!(openings.next(Instant::now(), |group| *group == name(1)), [name(2)]);
        assert!(next(&mut openings).is_empty());
        openings.list(name(1));
        assert_eq!(next(&mut openings), [name(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_backend_is_asked_for_less_and_a_quick_one_for_more() {
        let mut openings = Openings::default();
        let mut asked = async |takes_ms: u64| {
            (0..1_000).for_each(|number| openings.list(name(number)));
            let count = next(&mut openings).len();
            tokio::time::advance(Duration::from_millis(takes_ms)).await;
            if takes_ms < 1_000 {
                openings.answered(Instant::now());
            } else {
                openings.lose();
            }
            count
        };
        assert_eq!(asked(300).await, 256);
        assert_eq!(asked(100).await, 128);
        assert_eq!(asked(1_000).await, 128);
        assert_eq!(asked(10).await, 32);
        assert_eq!(asked(10).await, 64);
        for _ in 0..9 {
            asked(1_000).await;
        }
        assert_eq!(asked(10).await, 1);
        for _ in 0..9 {
            asked(10).await;
        }
        assert_eq!(asked(10).await, TOGETHER_MAX);
    }
}
