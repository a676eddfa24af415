//! What this node publishes: one queue, one batch in flight, in the order of the calls (pure but for the answers).
//!
//! Messages of a group that is not open wait apart, in their order, so that they hold nobody else up. Each group's
//! publishes are a chain: the backend refuses what does not follow on, and then the group alone is opened again and
//! what was refused goes first. A lost link fails whatever has no verdict, so nothing overtakes what failed.

use crate::{
    error::{Error, Result},
    layer::Sent,
    message::{Message, Retention},
    name::GroupName,
    position::{Epoch, Position, Scope},
    relay::{Chain, LinkError, Outgoing, Verdict},
    resilient::room::Taken,
};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Messages in one round trip. What comes meanwhile is the next batch, so batches grow with the load by themselves.
const BATCH_MAX: usize = 256;

/// Bytes in one round trip: a megabyte more or less, so that the largest messages do not keep the question whether the backend
/// is alive waiting behind them, and what is packed for it is no second copy of all that waits.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Messages that wait for their batch or their group. How many bytes they may have is decided before they come here.
const QUEUE_MAX: usize = 10_000;

/// Between two looks through a full queue for what nobody waits for any more: not at each message that is refused.
const EXPIRE_EVERY: Duration = Duration::from_millis(10);

/// How old may be what an open group knows of the position of this node's copy. An older floor is as good, until the backend
/// has forgotten ids from after it; and to look at every message costs more than it spares.
const HEAD_AGE_MAX: Duration = Duration::from_secs(1);

/// How long a chain is kept without a publish.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A message with the place for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) group: GroupName,
    pub(crate) message: Message,
    pub(crate) retention: Retention,
    /// After this its caller has stopped waiting, and it is not sent any more.
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Sent>>,
    /// What it takes of the room for all that waits.
    pub(crate) _room: Taken,
}

impl Pending {
    fn answer(self, with: Result<Option<Position>>) {
        let id = self.message.id;
        // A caller that dropped the answer does not want to know.
        let _unheard = self.answer.send(with.map(|position| Sent { id, position, scope: Scope::Cluster }));
    }
}

#[derive(Debug)]
struct Open {
    epoch: Epoch,
    chain: Chain,
    /// The highest position that this node's own publishes show, or its copy has shown.
    head: Position,
    /// When the copy was last asked.
    asked: Instant,
    used: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Publisher {
    queue: VecDeque<Pending>,
    waiting: HashMap<GroupName, VecDeque<Pending>>,
    /// How many are in `queue` and in `waiting`.
    pending: usize,
    /// When a full queue was last looked through.
    expired: Option<Instant>,
    open: HashMap<GroupName, Open>,
    in_flight: Vec<Pending>,
}

/// What the verdicts of a batch ask for.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Groups to be opened again.
    pub(crate) reopen: Vec<GroupName>,
    /// The backend would not take a message: the link is of no use.
    pub(crate) refused: Option<LinkError>,
}

impl Publisher {
    pub(crate) fn push(&mut self, pending: Pending, now: Instant) {
        let may_expire = self.expired.is_none_or(|at| now.duration_since(at) >= EXPIRE_EVERY);
        if self.pending >= QUEUE_MAX && may_expire {
            self.expire(now);
        }
        if self.pending >= QUEUE_MAX {
            pending.answer(Err(Error::Overloaded));
        } else {
            self.pending += 1;
            self.queue.push_back(pending);
        }
    }

    /// Whether messages of a group wait for it to be opened.
    pub(crate) fn awaits(&self, group: &GroupName) -> bool {
        self.waiting.contains_key(group)
    }

    /// The next batch, which is then in flight. `head` is where this node's copy of a group ends. `unopened` is
    /// given the groups that have to be opened first.
    pub(crate) fn next_batch(
        &mut self,
        now: Instant,
        head: impl Fn(&GroupName) -> Option<Position>,
        mut unopened: impl FnMut(GroupName),
    ) -> Vec<Outgoing> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(pending) = self.queue.pop_front() else { break };
            if pending.deadline <= now {
                self.pending -= 1;
                pending.answer(Err(Error::Unavailable));
                continue;
            }
            let (group, retention) = (pending.group.clone(), pending.retention);
            let mut message = pending.message.clone();
            let place = match (retention, self.open.get_mut(&group)) {
                (Retention::Kept, None) => {
                    unopened(group.clone());
                    self.waiting.entry(group).or_default().push_back(pending);
                    continue;
                }
                (Retention::Kept, Some(open)) => {
                    open.chain.seq += 1;
                    open.used = now;
                    if now.duration_since(open.asked) >= HEAD_AGE_MAX {
                        open.head = later(open.head, head(&group));
                        open.asked = now;
                    }
                    // It was never sent, so its sender's position may as well be the present one.
                    message.floor = message.floor.or(Some(open.head));
                    Some((open.epoch, open.chain))
                }
                // Nothing is numbered, so nothing need be open.
                (Retention::Ephemeral, _) => None,
            };
            bytes += message.body.data().len();
            batch.push(Outgoing { group, message, place });
            self.pending -= 1;
            self.in_flight.push(pending);
        }
        batch
    }

    /// The group's chain starts at `generation`; what waited for it goes first.
    pub(crate) fn opened(&mut self, group: &GroupName, generation: u64, head: Position, now: Instant) {
        let chain = Chain { generation, seq: 0 };
        self.open.insert(group.clone(), Open { epoch: head.epoch, chain, head, asked: now, used: now });
        for pending in self.waiting.remove(group).into_iter().flatten().rev() {
            self.queue.push_front(pending);
        }
    }

    /// Answers the batch in flight.
    pub(crate) fn settle(&mut self, verdicts: Vec<std::result::Result<Verdict, LinkError>>) -> Settled {
        let mut settled = Settled::default();
        for (pending, verdict) in self.in_flight.drain(..).zip(verdicts) {
            match verdict {
                Ok(Verdict::Placed(position) | Verdict::Known(position)) => {
                    if let Some(open) = self.open.get_mut(&pending.group) {
                        open.head = later(open.head, Some(position));
                    }
                    pending.answer(Ok(Some(position)));
                }
                Ok(Verdict::Sent) => pending.answer(Ok(None)),
                Ok(Verdict::Conflict) => pending.answer(Err(Error::Conflict)),
                Ok(Verdict::NotFound) => pending.answer(Err(Error::NotFound)),
                Ok(Verdict::Forbidden) => pending.answer(Err(Error::Forbidden)),
                Ok(Verdict::Undecided) if pending.message.floor.is_some() => {
                    pending.answer(Err(Error::Undecided));
                }
                // Without a floor of its sender's it is the floor of this node that was too old.
                Ok(Verdict::Stale | Verdict::Fenced | Verdict::Undecided) => {
                    self.open.remove(&pending.group);
                    settled.reopen.push(pending.group.clone());
                    self.pending += 1;
                    self.waiting.entry(pending.group.clone()).or_default().push_back(pending);
                }
                Err(refused) => {
                    settled.refused = Some(refused);
                    pending.answer(Err(Error::Unavailable));
                }
            }
        }
        settled
    }

    /// The link is lost: what has no verdict has an unknown outcome.
    pub(crate) fn lose(&mut self) {
        self.open.clear();
        self.pending = 0;
        let waiting = self.waiting.drain().flat_map(|(_, waiting)| waiting);
        for pending in self.in_flight.drain(..).chain(waiting).chain(self.queue.drain(..)) {
            pending.answer(Err(Error::Unavailable));
        }
    }

    /// Gives up what nobody waits for any more, and chains that nobody uses.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.expired = Some(now);
        for queue in self.waiting.values_mut().chain([&mut self.queue]) {
            while let Some(late) = queue.pop_front_if(|pending| pending.deadline <= now) {
                self.pending -= 1;
                late.answer(Err(Error::Unavailable));
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        self.open.retain(|_, open| now.duration_since(open.used) < IDLE_MAX);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

/// The later of two positions. Where the epochs differ the second is what was read last.
fn later(one: Position, other: Option<Position>) -> Position {
    match other {
        Some(other) if other.epoch != one.epoch || other.offset > one.offset => other,
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::MessageId, resilient::room::Room};
    use bytes::Bytes;

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch::from_u64(1).unwrap(), offset }
    }

    struct Bench {
        publisher: Publisher,
        unopened: Vec<GroupName>,
        answers: Vec<oneshot::Receiver<Result<Sent>>>,
        room: Room,
        body: Bytes,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                publisher: Publisher::default(),
                unopened: Vec::new(),
                answers: Vec::new(),
                room: Room::new(),
                body: Bytes::from_static(b"{}"),
            }
        }

        fn push(&mut self, group: &str, id: u128) {
            let (answer, answered) = oneshot::channel();
            let deadline = Instant::now() + Duration::from_millis(250);
            let message = Message::frame(MessageId::from_u128(id), self.body.clone());
            let room = self.room.take(&message).unwrap();
            let (group, retention) = (group.parse().unwrap(), Retention::Kept);
            let pending = Pending { group, message, retention, deadline, answer, _room: room };
            self.publisher.push(pending, Instant::now());
            self.answers.push(answered);
            self.check();
        }

        /// What is counted is what is there.
        fn check(&self) {
            let Publisher { queue, waiting, pending, .. } = &self.publisher;
            assert_eq!(*pending, queue.len() + waiting.values().map(VecDeque::len).sum::<usize>());
        }

        fn batch(&mut self) -> Vec<(String, u128, u64)> {
            let unopened = |group| self.unopened.push(group);
            let batch = self.publisher.next_batch(Instant::now(), |_| None, unopened);
            self.check();
            batch
                .iter()
                .map(|out| (out.group.to_string(), out.message.id.as_u128(), out.place.unwrap().1.seq))
                .collect()
        }

        fn open(&mut self, group: &str, generation: u64) {
            self.publisher.opened(&group.parse().unwrap(), generation, at(0), Instant::now());
        }

        fn answered(&mut self, index: usize) -> Option<Result<Sent>> {
            self.answers[index].try_recv().ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_group_waits_in_order_and_holds_nobody_up() {
        let mut bench = Bench::new();
        bench.open("b", 1);
        for (group, id) in [("a", 1), ("b", 2), ("a", 3)] {
            bench.push(group, id);
        }
        assert_eq!(bench.batch(), [("b".to_owned(), 2, 1)]);
        assert_eq!(bench.unopened[0].as_str(), "a");
        bench.push("a", 4);
        bench.open("a", 2);
        let sent: Vec<_> = bench.batch().into_iter().map(|(_, id, seq)| (id, seq)).collect();
        assert_eq!(sent, [(1, 1), (3, 2), (4, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_leave_in_smaller_batches_and_in_order() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.body = vec![b' '; 300 << 10].into();
        for id in 1..=6 {
            bench.push("a", id);
        }
        let mut ids = || bench.batch().into_iter().map(|(_, id, _)| id).collect::<Vec<_>>();
        assert_eq!((ids(), ids(), ids()), (vec![1, 2, 3, 4], vec![5, 6], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_fenced_goes_first_in_its_order_once_the_group_is_open_again() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        for id in 1..=3 {
            bench.push("a", id);
        }
        bench.batch();
        bench.push("a", 4);
        let settled =
            bench.publisher.settle(vec![Ok(Verdict::Placed(at(1))), Ok(Verdict::Stale), Ok(Verdict::Fenced)]);
        assert_eq!(settled.reopen.len(), 2);
        assert_eq!(bench.answered(0).unwrap().unwrap().position, Some(at(1)));
        assert!(bench.batch().is_empty(), "nothing may overtake what was refused");
        bench.open("a", 2);
        let sent: Vec<_> = bench.batch().into_iter().map(|(_, id, seq)| (id, seq)).collect();
        assert_eq!(sent, [(2, 1), (3, 2), (4, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_link_fails_all_that_has_no_verdict() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.push("a", 1);
        bench.batch();
        bench.push("a", 2);
        bench.push("closed", 3);
        bench.publisher.lose();
        for index in 0..3 {
            assert_eq!(bench.answered(index), Some(Err(Error::Unavailable)));
        }
        assert!(bench.publisher.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_past_its_deadline_is_not_sent() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.push("a", 1);
        tokio::time::advance(Duration::from_millis(251)).await;
        bench.push("a", 2);
        assert_eq!(bench.batch(), [("a".to_owned(), 2, 1)]);
        assert_eq!(bench.answered(0), Some(Err(Error::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn undecided_is_the_answer_only_to_a_sender_that_said_where_it_stood() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.push("a", 1);
        bench.push("a", 2);
        bench.publisher.queue[1].message.floor = Some(at(0));
        bench.batch();
        let settled = bench.publisher.settle(vec![Ok(Verdict::Undecided), Ok(Verdict::Undecided)]);
        assert_eq!(settled.reopen.len(), 1, "this node's own floor was too old: look again");
        assert_eq!(bench.answered(0), None);
        assert_eq!(bench.answered(1), Some(Err(Error::Undecided)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_group_counts_and_is_given_up_at_its_deadline() {
        let mut bench = Bench::new();
        for id in 1..=QUEUE_MAX as u128 {
            bench.push("closed", id);
        }
        // A batch's worth of work moves them all aside, for their group is not open.
        assert!(bench.batch().is_empty());
        bench.push("closed", u128::MAX);
        assert_eq!(bench.answered(QUEUE_MAX), Some(Err(Error::Overloaded)));
        tokio::time::advance(Duration::from_millis(251)).await;
        bench.push("closed", 0);
        assert_eq!(bench.answered(0), Some(Err(Error::Unavailable)));
        assert_eq!(bench.answered(QUEUE_MAX + 1), None, "there is room again");
        assert_eq!(bench.publisher.pending, 1);
    }
}
