//! What this node publishes: one queue, one batch in flight, in the order of the calls (pure but for the answers).
//!
//! Messages of a group that is not open wait apart, in their order, so that they hold nobody else up. Each group's
//! publishes are a chain: the backend refuses what does not follow on, and then the group alone is opened again and
//! what was refused goes first. When the link is lost all that was not seen back goes again, in order, so nothing
//! overtakes what failed.

use crate::{
    bounds::Kept,
    error::Error,
    name::{GroupMap, GroupName},
    position::{Epoch, Position, Scope},
    relay::{Chain, LinkError, Outgoing, Verdict},
    resilient::{
        pending::Pending,
        spool::Spool,
        spooled::{Number, Spooled, Stage},
    },
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Messages in one round trip. What comes meanwhile is the next batch, so batches grow with the load by themselves.
const BATCH_MAX: usize = 256;

/// Bytes in one round trip: a megabyte more or less, so that the largest messages do not keep the question whether the backend
/// is alive waiting behind them, and what is packed for it is no second copy of all that waits.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// How old may be what an open group knows of the position of this node's copy. An older floor is as good, until the backend
/// has forgotten ids from after it; and to look at every message costs more than it spares.
const HEAD_AGE_MAX: Duration = Duration::from_secs(1);

/// How long a chain is kept without a publish.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What is to be sent.
#[derive(Debug)]
enum Item {
    /// It is in the spool.
    Kept(Number),
    Ephemeral(Box<Pending>),
}

/// What has been sent, and has no verdict.
#[derive(Debug)]
struct Flight {
    item: Item,
    /// It had certainly not been carried out before.
    is_first: bool,
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

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) spool: Spool,
    queue: VecDeque<Item>,
    waiting: GroupMap<VecDeque<Number>>,
    open: GroupMap<Open>,
    in_flight: Vec<Flight>,
}

/// What the verdicts of a batch ask for.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// How many are in the history now that had been handed out here before.
    pub(super) replayed: u64,
    /// Groups to be opened again.
    pub(super) reopen: Vec<GroupName>,
    /// Messages that the history will not have, and why.
    pub(super) gone: Vec<(Spooled, Error)>,
    /// Those of which it cannot be known whether it has them.
    pub(super) undecided: Vec<Number>,
    /// The backend would not take a message: the link is of no use.
    pub(super) refused: Option<LinkError>,
}

impl Publisher {
    pub(super) fn new(bounds: Kept) -> Self {
        Self {
            spool: Spool::new(bounds),
            queue: VecDeque::new(),
            waiting: GroupMap::default(),
            open: GroupMap::default(),
            in_flight: Vec::new(),
        }
    }

    /// Keeps a message until it comes back, and sends it in its turn.
    pub(super) fn push(&mut self, pending: Pending) -> Number {
        let Pending { group, message, deadline, answer, room, .. } = pending;
        let number = self.spool.push(Spooled {
            group,
            message,
            floor: None,
            stage: Stage::Waiting,
            due: deadline,
            is_shown: false,
            answer: Some(answer),
            room: Some(room),
            gap: None,
        });
        self.queue.push_back(Item::Kept(number));
        number
    }

    /// Sends an ephemeral message in its turn.
    pub(super) fn pass_on(&mut self, pending: Pending) {
        self.queue.push_back(Item::Ephemeral(Box::new(pending)));
    }

    /// Whether messages of a group wait for it to be opened.
    pub(super) fn awaits(&self, group: &GroupName) -> bool {
        self.waiting.contains_key(group)
    }

    /// Whether what this node sent into a group is still to come back, or more may follow soon.
    pub(super) fn uses(&self, group: &GroupName) -> bool {
        self.spool.holds(group) || self.open.contains_key(group)
    }

    /// The next batch, which is then in flight. `head` is where this node's copy of a group ends. `unopened` is
    /// given the groups that have to be opened first.
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        head: impl Fn(&GroupName) -> Option<Position>,
        mut unopened: impl FnMut(GroupName),
    ) -> Vec<Outgoing> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(item) = self.queue.pop_front() else { break };
            let number = match item {
                Item::Kept(number) => number,
                // Nobody waits for it any more, and it is of no use to anybody later.
                Item::Ephemeral(pending) if pending.deadline <= now => {
                    pending.answer(Err(Error::Unavailable));
                    continue;
                }
                Item::Ephemeral(pending) => {
                    // Nothing is numbered, so nothing need be open.
                    let (group, message) = (pending.group.clone(), pending.message.clone());
                    bytes += message.body.data().len();
                    batch.push(Outgoing { group, message, place: None });
                    self.in_flight.push(Flight { item: Item::Ephemeral(pending), is_first: true });
                    continue;
                }
            };
            let Some(spooled) = self.spool.get(number) else { continue };
            let Some(open) = self.open.get_mut(&spooled.group) else {
                unopened(spooled.group.clone());
                self.waiting.entry(spooled.group.clone()).or_default().push_back(number);
                continue;
            };
            open.chain.seq += 1;
            open.used = now;
            if now.duration_since(open.asked) >= HEAD_AGE_MAX {
                open.head = open.head.or_later(head(&spooled.group));
                open.asked = now;
            }
            let is_first = spooled.floor.is_none();
            let mut message = spooled.message.clone();
            // What was never sent might as well have been said by somebody who stands where this node does.
            message.floor = spooled.floor.or(message.floor).or(Some(open.head));
            spooled.floor = message.floor;
            spooled.stage = Stage::Sent;
            bytes += message.body.data().len();
            let place = Some((open.epoch, open.chain));
            batch.push(Outgoing { group: spooled.group.clone(), message, place });
            self.in_flight.push(Flight { item: Item::Kept(number), is_first });
        }
        batch
    }

    /// The group's chain starts at `generation`; what waited for it goes first, with what another epoch had numbered.
    pub(super) fn opened(&mut self, group: &GroupName, generation: u64, head: Position, now: Instant) {
        let chain = Chain { generation, seq: 0 };
        self.open.insert(group.clone(), Open { epoch: head.epoch, chain, head, asked: now, used: now });
        let mut waiting = self.spool.unplace(group, head.epoch);
        waiting.extend(self.waiting.remove(group).into_iter().flatten());
        waiting.sort_unstable();
        for number in waiting.into_iter().rev() {
            self.queue.push_front(Item::Kept(number));
        }
    }

    /// Answers the batch in flight.
    pub(super) fn settle(&mut self, verdicts: Vec<Result<Verdict, LinkError>>) -> Settled {
        let mut settled = Settled::default();
        for (Flight { item, is_first }, verdict) in self.in_flight.drain(..).zip(verdicts) {
            let number = match item {
                Item::Kept(number) => number,
                Item::Ephemeral(pending) => {
                    match verdict {
                        Ok(_) => pending.answer(Ok(Scope::Cluster)),
                        Err(refused) => {
                            settled.refused = Some(refused);
                            pending.answer(Err(Error::Unavailable));
                        }
                    }
                    continue;
                }
            };
            let Some(spooled) = self.spool.get(number) else { continue };
            let gone = match verdict {
                Ok(Verdict::Placed(position) | Verdict::Known(position)) => {
                    if let Some(open) = self.open.get_mut(&spooled.group) {
                        open.head = open.head.or_later(Some(position));
                    }
                    settled.replayed += u64::from(spooled.is_shown);
                    spooled.answer(Ok((Some(position), Scope::Cluster)));
                    self.spool.place(number, position);
                    continue;
                }
                Ok(Verdict::Conflict) => Error::Conflict,
                Ok(Verdict::NotFound) => Error::NotFound,
                Ok(Verdict::Forbidden) => Error::Forbidden,
                // Its sender was told that it would be in the history, and some have seen it: that has to be said.
                Ok(Verdict::Undecided) if spooled.is_shown && !is_first => {
                    settled.undecided.push(number);
                    continue;
                }
                Ok(Verdict::Undecided) if spooled.message.floor.is_some() || !is_first => Error::Undecided,
                // Nothing was done. Without a floor of its sender's it is the floor of this node that was too old.
                Ok(Verdict::Stale | Verdict::Fenced | Verdict::Undecided) => {
                    spooled.stage = Stage::Waiting;
                    if is_first {
                        spooled.floor = None;
                    }
                    self.open.remove(&spooled.group);
                    settled.reopen.push(spooled.group.clone());
                    self.waiting.entry(spooled.group.clone()).or_default().push_back(number);
                    continue;
                }
                Ok(Verdict::Sent) => {
                    settled.refused = Some(LinkError::Malformed("the verdict of an ephemeral message"));
                    continue;
                }
                Err(refused) => {
                    if is_first && matches!(refused, LinkError::Refused(_)) {
                        spooled.floor = None;
                    }
                    settled.refused = Some(refused);
                    continue;
                }
            };
            settled.gone.extend(self.spool.remove(number).map(|spooled| (spooled, gone)));
        }
        settled
    }

    /// Sends one again, before what waits.
    pub(super) fn resend(&mut self, number: Number) {
        self.queue.push_front(Item::Kept(number));
    }

    /// The link is lost: what has not come back has an unknown outcome, and goes again, in its order. Gives what is ephemeral and
    /// was not sent.
    pub(super) fn lose(&mut self) -> Vec<Pending> {
        self.open.clear();
        self.waiting.clear();
        for flight in self.in_flight.drain(..) {
            if let Item::Ephemeral(pending) = flight.item {
                pending.answer(Err(Error::Unavailable));
            }
        }
        let unsent = self.queue.drain(..).filter_map(|item| match item {
            Item::Ephemeral(pending) => Some(*pending),
            Item::Kept(_) => None,
        });
        let unsent = unsent.collect();
        self.queue = self.spool.restart().into_iter().map(Item::Kept).collect();
        unsent
    }

    /// Gives up what nobody waits for any more, and chains that nobody uses.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_late = |item: &mut Item| matches!(item, Item::Ephemeral(pending) if pending.deadline <= now);
        while let Some(Item::Ephemeral(late)) = self.queue.pop_front_if(is_late) {
            late.answer(Err(Error::Unavailable));
        }
        self.open.retain(|_, open| now.duration_since(open.used) < IDLE_MAX);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bounds::Bounds,
        error::Result,
        layer::Sent,
        message::{Message, MessageId, Retention},
        resilient::room::Room,
    };
    use bytes::Bytes;
    use tokio::sync::oneshot;

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
                publisher: Publisher::new(Bounds::default().spool),
                unopened: Vec::new(),
                answers: Vec::new(),
                room: Room::new(),
                body: Bytes::from_static(b"{}"),
            }
        }

        fn pending(&mut self, group: &str, id: u128, retention: Retention) -> Pending {
            let (answer, answered) = oneshot::channel();
            let deadline = Instant::now() + Duration::from_millis(250);
            let message = Message::frame(MessageId::from_u128(id), self.body.clone());
            let room = self.room.take(&message).unwrap();
            self.answers.push(answered);
            Pending { group: group.parse().unwrap(), message, retention, deadline, answer, room }
        }

        fn push(&mut self, group: &str, id: u128) {
            let pending = self.pending(group, id, Retention::Kept);
            self.publisher.push(pending);
        }

        fn batch(&mut self) -> Vec<(String, u128, u64)> {
            let unopened = |group| self.unopened.push(group);
            let batch = self.publisher.next_batch(Instant::now(), |_| None, unopened);
            batch
                .iter()
                .map(|out| (out.group.to_string(), out.message.id.as_u128(), out.place.unwrap().1.seq))
                .collect()
        }

        /// The ids and places in the chain of what is sent now.
        fn sent(&mut self) -> Vec<(u128, u64)> {
            self.batch().into_iter().map(|(_, id, seq)| (id, seq)).collect()
        }

        fn open(&mut self, group: &str, generation: u64) {
            self.publisher.opened(&group.parse().unwrap(), generation, at(0), Instant::now());
        }

        fn answered(&mut self, index: usize) -> Option<Result<Sent>> {
            self.answers[index].try_recv().ok()
        }

        fn spooled(&mut self, number: Number) -> &mut Spooled {
            self.publisher.spool.get(number).unwrap()
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
        assert_eq!(bench.sent(), [(1, 1), (3, 2), (4, 3)]);
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
        assert_eq!(bench.sent(), [(2, 1), (3, 2), (4, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_not_come_back_when_the_link_is_lost_goes_again_in_its_order_acknowledged_or_not() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        for id in 1..=3 {
            bench.push("a", id);
        }
        bench.batch();
        bench.publisher.settle(vec![
            Ok(Verdict::Placed(at(1))),
            Ok(Verdict::Placed(at(2))),
            Ok(Verdict::Fenced),
        ]);
        bench.publisher.spool.settle(|_, position| position == at(1));
        bench.push("closed", 4);
        bench.push("a", 5);
        bench.publisher.lose();
        bench.open("a", 2);
        bench.open("closed", 2);
        assert_eq!(bench.sent(), [(2, 1), (3, 2), (4, 1), (5, 3)]);
        assert!(!bench.publisher.spool.is_placed_to(4));
        bench.publisher.settle(vec![
            Ok(Verdict::Known(at(2))),
            Ok(Verdict::Placed(at(3))),
            Ok(Verdict::Placed(at(1))),
        ]);
        assert!(bench.publisher.spool.is_placed_to(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_carried_out_keeps_the_floor_that_it_was_sent_with() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.push("a", 1);
        bench.push("a", 2);
        bench.batch();
        let fenced = vec![Ok(Verdict::Fenced), Err(LinkError::TimedOut)];
        bench.publisher.settle(fenced);
        assert_eq!((bench.spooled(0).floor, bench.spooled(1).floor), (None, Some(at(0))));
        bench.publisher.lose();
        bench.publisher.opened(&"a".parse().unwrap(), 2, at(9), Instant::now());
        bench.batch();
        assert_eq!((bench.spooled(0).floor, bench.spooled(1).floor), (Some(at(9)), Some(at(0))));
        // Then it cannot be known any more, whoever says where they stood: and that is said of what some have seen.
        bench.publisher.spool.shown(1);
        let settled = bench.publisher.settle(vec![Ok(Verdict::Undecided), Ok(Verdict::Undecided)]);
        assert_eq!((settled.reopen.len(), settled.gone.len(), settled.undecided), (1, 0, vec![1]));
    }

    #[tokio::test(start_paused = true)]
    async fn undecided_is_the_answer_only_to_a_sender_that_said_where_it_stood() {
        let mut bench = Bench::new();
        bench.open("a", 1);
        bench.push("a", 1);
        bench.push("a", 2);
        bench.spooled(1).message.floor = Some(at(0));
        bench.batch();
        let settled = bench.publisher.settle(vec![Ok(Verdict::Undecided), Ok(Verdict::Undecided)]);
        assert_eq!(settled.reopen.len(), 1, "this node's own floor was too old: look again");
        assert_eq!((settled.gone.len(), &settled.gone[0].1), (1, &Error::Undecided));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ephemeral_is_not_sent_late() {
        let mut bench = Bench::new();
        for id in [1, 2] {
            let pending = bench.pending("a", id, Retention::Ephemeral);
            bench.publisher.pass_on(pending);
            tokio::time::advance(Duration::from_millis(130)).await;
        }
        let batch = bench.publisher.next_batch(Instant::now(), |_| None, drop);
        assert_eq!(batch.len(), 1);
        assert_eq!(bench.answered(0), Some(Err(Error::Unavailable)));
        bench.publisher.settle(vec![Ok(Verdict::Sent)]);
        assert_eq!(bench.answered(1).unwrap().unwrap().scope, Scope::Cluster);
    }
}
