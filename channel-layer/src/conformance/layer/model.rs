//! Random senders, readers and groups, checked against a plain model: a list a group.
//!
//! In each round some readers join, leave or are replaced while nothing is sent; then two senders send at once, with
//! repeats, ephemeral messages and answers that nobody awaits, while another mailbox comes and goes. The history is then
//! the truth: it has what was sent, once, each sender's in order; and every reader must have been given the same.

use super::{Fixture, Layer, two_nodes};
use crate::{
    conformance::{
        rules::{G5, H1, I1, L1, S3, S7, S11},
        tools::{Random, group, message, number, numbers_of, offset},
    },
    delivery::{Delivery, Posted},
    history::{Recovered, Span},
    mailbox::{Mailbox, Received},
    message::Retention,
    name::GroupName,
    position::Position,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::task::TaskTracker;

const ROUNDS: u64 = 20;
const READERS: usize = 8;
const GROUPS: usize = 4;
const SENDS: usize = 30;

/// What is sent: into which group, which number, and how.
#[derive(Clone, Copy)]
struct Order {
    group: usize,
    number: u64,
    retention: Retention,
    awaited: bool,
}

struct Reader {
    node: Layer,
    mailbox: Mailbox,
    capacity: usize,
    /// How many messages of each of its groups it has seen.
    seen: BTreeMap<usize, usize>,
    /// The same of those that it has left: what its mailbox held by then stays there.
    left: BTreeMap<usize, usize>,
    ephemeral: BTreeSet<u64>,
}

/// What is in a group's history.
struct Log {
    name: GroupName,
    start: Position,
    numbers: Vec<u64>,
}

pub(super) async fn whatever_happens_everybody_sees_the_history(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let mut random = Random::seeded();
    let mut logs = Vec::new();
    for number in 0..GROUPS {
        let name = group(&format!("room-{number}"));
        let start = H1.history(&nodes[0], &name, Span::Latest, 1).await.page().head;
        logs.push(Log { name, start, numbers: Vec::new() });
    }
    let mut readers: Vec<Reader> = (0..READERS).map(|_| Reader::new(&nodes, &mut random)).collect();
    for round in 0..ROUNDS {
        for reader in &mut readers {
            reader.come_or_go(&logs, &nodes, &mut random).await;
        }
        let orders = [0, 1].map(|sender| draw(&mut random, &logs, round * 1_000 + sender * 500));
        send(&nodes, &logs, &orders, &mut random).await;
        for (at, log) in logs.iter_mut().enumerate() {
            log.grow(at, &nodes, &orders, &mut random).await;
        }
        for reader in &mut readers {
            reader.catch_up(&logs).await;
        }
    }
}

/// What one sender sends in a round: numbers from `first`, and now and then one of an earlier round again.
fn draw(random: &mut Random, logs: &[Log], first: u64) -> Vec<Order> {
    let mut draw = |number| {
        let group = random.below(GROUPS);
        let old = &logs[group].numbers;
        let ephemeral = random.one_in(5);
        let repeat = !ephemeral && !old.is_empty() && random.one_in(5);
        let number = if repeat { old[random.below(old.len())] } else { number };
        let retention = if ephemeral { Retention::Ephemeral } else { Retention::Kept };
        Order { group, number, retention, awaited: !random.one_in(4) }
    };
    (first..).take(SENDS).map(&mut draw).collect()
}

async fn send(nodes: &[Layer; 2], logs: &[Log], orders: &[Vec<Order>; 2], random: &mut Random) {
    let tasks = TaskTracker::new();
    let mut senders = Vec::new();
    for (node, orders) in nodes.iter().zip(orders) {
        let send = |order: &Order| {
            let answer =
                node.group_send(logs[order.group].name.clone(), message(order.number), order.retention);
            order.awaited.then_some((*order, answer))
        };
        let answers: Vec<_> = orders.iter().filter_map(send).collect();
        senders.push(tasks.spawn(async move {
            let mut sent = Vec::new();
            for (order, answer) in answers {
                let answered = S7.in_time("a send's answer", answer).await;
                sent.push((order, S7.ok("a send", answered)));
            }
            sent
        }));
    }
    // Somebody who comes and goes meanwhile changes nothing for anybody.
    for _ in 0..5 {
        let passer_by = nodes[random.below(2)].new_channel(4);
        for log in logs {
            drop(nodes[random.below(2)].group_add(log.name.clone(), passer_by.channel().clone()));
        }
    }
    for sender in senders {
        for (order, sent) in S7.ok("a sender", sender.await) {
            let kept = order.retention == Retention::Kept;
            S11.same("whether it has a position", sent.position.is_some(), kept);
            let repeated = logs[order.group].numbers.iter().position(|number| *number == order.number);
            if let (Some(at), Some(position)) = (repeated, sent.position) {
                I1.same("the offset of a repeat", position.offset, at as u64 + 1);
            }
        }
    }
}

impl Log {
    /// Takes what the round has added, which must be what was sent.
    async fn grow(&mut self, at: usize, nodes: &[Layer; 2], orders: &[Vec<Order>; 2], random: &mut Random) {
        let own = |order: &&Order| {
            order.group == at && order.retention == Retention::Kept && !self.numbers.contains(&order.number)
        };
        let sent = orders
            .each_ref()
            .map(|orders| orders.iter().filter(own).map(|order| order.number).collect::<Vec<_>>());
        let grown = (self.numbers.len() + sent[0].len() + sent[1].len()) as u64;
        let known = Position { offset: self.numbers.len() as u64, ..self.start };
        let mut page;
        loop {
            // Nobody waits for the answer of some: they arrive all the same.
            let node = &nodes[random.below(2)];
            let Recovered::All(read) = H1.history(node, &self.name, Span::After(known), 2 * SENDS).await
            else {
                H1.broken("the history has a gap, and nothing was lost");
            };
            page = read;
            if page.head.offset >= grown {
                break;
            }
            tokio::task::yield_now().await;
        }
        H1.same("the head", page.head, Position { offset: grown, ..self.start });
        let expected: Vec<u64> = (known.offset + 1..=grown).collect();
        H1.same("the offsets", page.messages.iter().map(|posted| offset(posted)).collect(), expected);
        let added = numbers_of(&page);
        for sent in sent {
            let own: Vec<u64> = added.iter().copied().filter(|number| sent.contains(number)).collect();
            S7.same("a sender's messages in the history", own, sent);
        }
        self.numbers.extend(added);
    }
}

impl Reader {
    fn new(nodes: &[Layer; 2], random: &mut Random) -> Self {
        let node = nodes[random.below(2)].clone();
        // Some are so small that they cannot but fall behind.
        let capacity = if random.one_in(4) { 8 } else { 1_024 };
        let mailbox = node.new_channel(capacity);
        Self {
            node,
            mailbox,
            capacity,
            seen: BTreeMap::new(),
            left: BTreeMap::new(),
            ephemeral: BTreeSet::new(),
        }
    }

    async fn come_or_go(&mut self, logs: &[Log], nodes: &[Layer; 2], random: &mut Random) {
        if random.one_in(8) {
            *self = Self::new(nodes, random);
        }
        for (at, log) in logs.iter().enumerate() {
            if !random.one_in(3) {
                continue;
            }
            if let Some(seen) = self.seen.remove(&at) {
                self.left.insert(at, seen);
                self.node.group_discard(&log.name, self.mailbox.channel());
            } else {
                S3.add(&self.node, &log.name, &self.mailbox).await;
                self.seen.insert(at, log.numbers.len());
            }
        }
    }

    /// Reads until it has seen all that its groups' histories have.
    async fn catch_up(&mut self, logs: &[Log]) {
        while self.seen.iter().any(|(at, seen)| *seen < logs[*at].numbers.len()) {
            match S3.in_time("a delivery", self.mailbox.recv()).await {
                Received::Delivery(Delivery::Message(posted)) => self.take(&posted, logs),
                Received::Lagged { .. } => self.repair(logs).await,
                other => S3.broken(format_args!("received {other:?}")),
            }
        }
    }

    fn take(&mut self, posted: &Posted, logs: &[Log]) {
        let at = logs.iter().position(|log| log.name == posted.group);
        let at = S3.some("such group", at);
        let number = number(posted.id);
        let Some(position) = posted.position else {
            return S11.holds(self.ephemeral.insert(number), format_args!("{number} came twice"));
        };
        let place = usize::try_from(position.offset).unwrap_or(usize::MAX) - 1;
        S7.same("what has this offset", logs[at].numbers.get(place), Some(&number));
        let Some(seen) = self.seen.get_mut(&at) else {
            let held = self.left.get(&at).is_some_and(|seen| place < *seen);
            return G5.holds(held, format_args!("{number} came from a group that was left"));
        };
        // What was sent before it joined, or what it has read from the history, may come as well.
        S7.holds(place <= *seen, format_args!("a hole before offset {}", position.offset));
        *seen = (*seen).max(place + 1);
    }

    /// It fell behind: what it missed is in the history.
    async fn repair(&mut self, logs: &[Log]) {
        L1.holds(self.capacity < SENDS, "a mailbox with room for all fell behind");
        for (at, seen) in &mut self.seen {
            let log = &logs[*at];
            let known = Position { offset: *seen as u64, ..log.start };
            let recovered = L1.history(&self.node, &log.name, Span::After(known), 2 * SENDS).await;
            // A node's own copy may be behind what it has yet to deliver.
            let missed = numbers_of(recovered.page());
            let expected = log.numbers[*seen..].iter().copied().take(missed.len()).collect();
            *seen += missed.len();
            L1.same("what was missed", missed, expected);
        }
    }
}
