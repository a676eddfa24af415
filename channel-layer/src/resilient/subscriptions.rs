//! Which groups this node hears: confirmed before a join is answered, left late (pure but for the answers).

use crate::name::{GroupHasher, GroupMap, GroupName};
use std::{collections::HashSet, hash::BuildHasherDefault, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long after its last member a group is still heard: a reload of a page costs the backend nothing.
const LINGER: Duration = Duration::from_secs(30);

/// Groups that are subscribed to in one round trip.
const TOGETHER_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Wanted,
    Subscribing,
    /// The backend has confirmed; the group has yet to be opened and read.
    Confirmed,
    Open,
}

#[derive(Debug)]
struct Subscription {
    stage: Stage,
    /// Joins to be answered once the group is open.
    joins: Vec<oneshot::Sender<()>>,
    empty_since: Option<Instant>,
}

/// What a join asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// Nothing: it was answered, or will be by what is under way.
    Taken,
    /// An opening of the group.
    NeedsOpening,
}

#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    groups: GroupMap<Subscription>,
    /// Groups that became [`Stage::Wanted`], the next one last: nobody looks through all of them for each message.
    wanted: Vec<GroupName>,
    /// Groups that were there when the link was made, and are not open yet; those that come later are waited for by nobody
    /// but who joins them.
    unsettled: HashSet<GroupName, BuildHasherDefault<GroupHasher>>,
}

impl Subscriptions {
    /// Somebody here wants to hear `group`; answered when everything sent from then on arrives: at once if the group
    /// is heard and `synced`.
    pub(crate) fn join(&mut self, group: GroupName, answer: oneshot::Sender<()>, synced: bool) -> Join {
        let wanted = &mut self.wanted;
        let subscription = self.groups.entry(group).or_insert_with_key(|group| {
            wanted.push(group.clone());
            Subscription { stage: Stage::Wanted, joins: Vec::new(), empty_since: None }
        });
        subscription.empty_since = None;
        if subscription.stage == Stage::Open && synced {
            let _gone = answer.send(());
        } else {
            // Those who stopped waiting ask again, and would pile up during an outage.
            subscription.joins.retain(|join| !join.is_closed());
            subscription.joins.push(answer);
            if subscription.stage == Stage::Open {
                subscription.stage = Stage::Confirmed;
                return Join::NeedsOpening;
            }
        }
        Join::Taken
    }

    /// This node needs to hear a group, if only to see what it sends there come back.
    pub(crate) fn hear(&mut self, group: &GroupName) {
        if !self.groups.contains_key(group) {
            let wanted = Subscription { stage: Stage::Wanted, joins: Vec::new(), empty_since: None };
            self.groups.insert(group.clone(), wanted);
            self.wanted.push(group.clone());
        }
    }

    /// Nobody waits any more: they are members of what is sent here.
    pub(crate) fn answer_joins(&mut self) {
        for join in self.groups.values_mut().flat_map(|subscription| subscription.joins.drain(..)) {
            let _gone = join.send(());
        }
    }

    /// The groups to subscribe to now, in one round trip; they count as being subscribed to.
    pub(crate) fn wanted(&mut self) -> Vec<GroupName> {
        let mut wanted = self.wanted.split_off(self.wanted.len().saturating_sub(TOGETHER_MAX));
        // Some were left meanwhile, and perhaps wanted again.
        wanted.retain(|group| match self.groups.get_mut(group) {
            Some(subscription) if subscription.stage == Stage::Wanted => {
                subscription.stage = Stage::Subscribing;
                true
            }
            _ => false,
        });
        wanted
    }

    /// The group is heard. Says whether a join waits for it to be opened.
    pub(crate) fn confirmed(&mut self, group: &GroupName) -> bool {
        self.set(group, Stage::Confirmed);
        self.groups.get(group).is_some_and(|subscription| !subscription.joins.is_empty())
    }

    /// The group is open and read: its joins are answered.
    pub(crate) fn opened(&mut self, group: &GroupName) {
        self.set(group, Stage::Open);
        self.unsettled.remove(group);
        if let Some(subscription) = self.groups.get_mut(group) {
            for join in subscription.joins.drain(..) {
                let _gone = join.send(());
            }
        }
    }

    fn set(&mut self, group: &GroupName, stage: Stage) {
        if let Some(subscription) = self.groups.get_mut(group) {
            subscription.stage = stage;
        }
    }

    /// Whether the group's own messages come in: only then may its copy be trusted.
    pub(crate) fn is_heard(&self, group: &GroupName) -> bool {
        self.groups
            .get(group)
            .is_some_and(|subscription| matches!(subscription.stage, Stage::Confirmed | Stage::Open))
    }

    /// Whether an opening of this group has to wait for its subscription.
    pub(crate) fn is_pending(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group) && !self.is_heard(group)
    }

    /// Whether every group is open that was there when the link was made.
    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// There is a link.
    pub(crate) fn connect(&mut self) {
        self.unsettled = self.groups.keys().cloned().collect();
    }

    /// The link is lost: every group has to be subscribed to again, those with members first.
    pub(crate) fn lose(&mut self) {
        for subscription in self.groups.values_mut() {
            subscription.stage = Stage::Wanted;
        }
        let by_members = |has_members: bool| {
            let wanted = self.groups.iter();
            wanted.filter(move |(_, subscription)| subscription.empty_since.is_none() == has_members)
        };
        self.wanted = by_members(false).chain(by_members(true)).map(|(group, _)| group.clone()).collect();
    }

    /// The groups that have been empty for long, which `release` agrees to let go. Called every second or so.
    pub(crate) fn leave(
        &mut self,
        now: Instant,
        has_members: impl Fn(&GroupName) -> bool,
        release: impl Fn(&GroupName) -> bool,
    ) -> Vec<GroupName> {
        let mut left = Vec::new();
        self.groups.retain(|group, subscription| {
            if has_members(group) {
                subscription.empty_since = None;
                return true;
            }
            let empty_since = *subscription.empty_since.get_or_insert(now);
            let in_between = subscription.stage == Stage::Subscribing;
            if in_between || now.duration_since(empty_since) < LINGER || !release(group) {
                return true;
            }
            left.push(group.clone());
            false
        });
        for group in &left {
            self.unsettled.remove(group);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_join_is_answered_when_the_group_is_open_and_a_quick_return_costs_nothing() {
        let mut subscriptions = Subscriptions::default();
        let group: GroupName = "a".parse().unwrap();
        let (answer, mut answered) = oneshot::channel();
        assert_eq!(subscriptions.join(group.clone(), answer, false), Join::Taken);
        assert_eq!(subscriptions.wanted(), std::slice::from_ref(&group));
        assert!(subscriptions.wanted().is_empty());
        subscriptions.confirmed(&group);
        assert!(answered.try_recv().is_err());
        subscriptions.opened(&group);
        assert!(answered.try_recv().is_ok());

        let leave = |subscriptions: &mut Subscriptions, members: bool| {
            subscriptions.leave(Instant::now(), |_| members, |_| true)
        };
        assert!(leave(&mut subscriptions, false).is_empty());
        tokio::time::advance(LINGER - Duration::from_secs(1)).await;
        assert!(leave(&mut subscriptions, true).is_empty(), "a member came back");
        tokio::time::advance(LINGER).await;
        assert!(leave(&mut subscriptions, false).is_empty(), "the time begins anew");
        tokio::time::advance(LINGER).await;
        assert_eq!(leave(&mut subscriptions, false), [group]);
    }

    /// A group that is heard and open.
    fn open() -> (Subscriptions, GroupName) {
        let mut subscriptions = Subscriptions::default();
        let group: GroupName = "a".parse().unwrap();
        subscriptions.join(group.clone(), oneshot::channel().0, false);
        subscriptions.wanted();
        subscriptions.confirmed(&group);
        subscriptions.opened(&group);
        (subscriptions, group)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_link_subscribes_to_everything_again() {
        let (mut subscriptions, group) = open();
        assert!(subscriptions.is_settled());
        subscriptions.lose();
        subscriptions.connect();
        assert!(!subscriptions.is_settled());
        assert!(subscriptions.is_pending(&group));
        assert_eq!(subscriptions.wanted(), std::slice::from_ref(&group));
        // Who comes now waits for itself alone.
        subscriptions.join("later".parse().unwrap(), oneshot::channel().0, false);
        subscriptions.confirmed(&group);
        subscriptions.opened(&group);
        assert!(subscriptions.is_settled());
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_groups_those_with_members_are_subscribed_to_first_and_some_at_a_time() {
        let mut subscriptions = Subscriptions::default();
        let name = |number: usize| -> GroupName { format!("g{number}").parse().unwrap() };
        for number in 0..TOGETHER_MAX + 2 {
            subscriptions.join(name(number), oneshot::channel().0, false);
        }
        let is_member = |group: &GroupName| *group != name(0) && *group != name(1);
        assert!(subscriptions.leave(Instant::now(), is_member, |_| true).is_empty());
        subscriptions.lose();
        let first = subscriptions.wanted();
        assert_eq!(first.len(), TOGETHER_MAX);
        assert!(first.iter().all(is_member));
        let rest = subscriptions.wanted();
        assert!(rest.len() == 2 && !rest.iter().any(is_member));
    }

    #[tokio::test(start_paused = true)]
    async fn a_join_into_a_group_that_is_heard_but_not_in_step_waits_for_its_opening() {
        let (mut subscriptions, group) = open();
        let (answer, mut answered) = oneshot::channel();
        assert_eq!(subscriptions.join(group.clone(), answer, false), Join::NeedsOpening);
        assert!(answered.try_recv().is_err(), "nothing to be a member of yet");
        assert!(!subscriptions.is_pending(&group), "it is heard: only the opening is missing");
        subscriptions.opened(&group);
        assert!(answered.try_recv().is_ok());
        let (answer, mut answered) = oneshot::channel();
        assert_eq!(subscriptions.join(group, answer, true), Join::Taken);
        assert!(answered.try_recv().is_ok());
    }
}
