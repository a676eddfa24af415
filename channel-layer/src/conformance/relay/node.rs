//! A node as the cases play it, and the chain of its publishes in a group.

use super::Fixture;
use crate::{
    conformance::{
        rules::{PATIENT, R1, Rule},
        tools::{message, number},
    },
    delivery::Posted,
    history::{Recovered, Span},
    message::Message,
    name::GroupName,
    position::{Epoch, Position},
    relay::{Chain, Incoming, LinkError, Opened, Opening, Outgoing, Relay, Verdict},
};
use std::sync::Arc;
use tokio::{sync::mpsc, time::Instant};

/// As many as any case wants.
const ENTRIES_MAX: usize = 1_000;

pub(super) struct Node {
    pub(super) relay: Arc<dyn Relay>,
    pub(super) name: String,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) generation: u64,
}

/// What a node publishes into a group it has opened.
pub(super) struct Writer {
    pub(super) group: GroupName,
    pub(super) epoch: Epoch,
    pub(super) chain: Chain,
    /// Where the sender of what is published next stood.
    pub(super) floor: Position,
}

impl Node {
    pub(super) async fn new(fixture: &dyn Fixture) -> Self {
        Self::over(fixture.relay()).await
    }

    pub(super) async fn over(relay: Arc<dyn Relay>) -> Self {
        let name = format!("{:016x}", crate::random_u64());
        let incoming = connect(R1, &*relay, &name).await;
        Self { relay, name, incoming, generation: 0 }
    }

    /// A fresh link for the same node, as after the loss of one.
    pub(super) async fn connect_again(&mut self, rule: Rule) -> mpsc::Receiver<Incoming> {
        let fresh = connect(rule, &*self.relay, &self.name).await;
        std::mem::replace(&mut self.incoming, fresh)
    }

    pub(super) fn opening(&mut self, group: &GroupName, known: Option<Position>) -> Opening {
        self.generation += 1;
        Opening {
            group: group.clone(),
            generation: self.generation,
            epoch: Epoch::random(),
            known,
            entries_max: ENTRIES_MAX,
        }
    }

    pub(super) async fn open(&mut self, rule: Rule, group: &GroupName, known: Option<Position>) -> Opened {
        let opening = self.opening(group, known);
        let opened = rule.in_time("an opening's answer", self.relay.open(vec![opening])).await;
        let mut opened = rule.ok("an opening", opened);
        rule.same("answers to one opening", opened.len(), 1);
        rule.some("opened group", opened.pop())
    }

    /// Opens a group and begins a chain in it.
    pub(super) async fn writer(&mut self, rule: Rule, group: &GroupName) -> Writer {
        let opened = self.open(rule, group, None).await;
        let floor = opened.recovered.page().head;
        let chain = Chain { generation: self.generation, seq: 0 };
        Writer { group: group.clone(), epoch: opened.lineage.epoch, chain, floor }
    }

    /// One verdict a message.
    pub(super) async fn publish(&self, rule: Rule, batch: Vec<Outgoing>) -> Vec<Verdict> {
        let count = batch.len();
        let verdicts = rule.in_time("a batch's answer", self.relay.publish(batch)).await;
        let verdicts = rule.ok("a batch", verdicts);
        rule.same("verdicts of a batch", verdicts.len(), count);
        verdicts.into_iter().map(|verdict| rule.ok("a message of a batch", verdict)).collect()
    }

    /// Publishes messages of these numbers, which are all placed.
    pub(super) async fn place(
        &self,
        rule: Rule,
        writer: &mut Writer,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Vec<Position> {
        let batch = numbers.into_iter().map(|number| writer.next(message(number))).collect();
        let verdicts = self.publish(rule, batch).await;
        let placed = |verdict| match verdict {
            Verdict::Placed(position) => position,
            other => rule.broken(format_args!("the verdict on a new message was {other:?}")),
        };
        verdicts.into_iter().map(placed).collect()
    }

    pub(super) async fn subscribe(&self, rule: Rule, groups: &[&GroupName]) {
        let groups = groups.iter().map(|group| (*group).clone()).collect();
        rule.ok("a subscription", rule.in_time("its answer", self.relay.subscribe(groups)).await);
    }

    pub(super) async fn read(
        &self,
        rule: Rule,
        group: &GroupName,
        span: Span,
        messages_max: usize,
    ) -> Recovered {
        let read = self.relay.read(group.clone(), span, messages_max);
        rule.ok("a read", rule.in_time("its answer", read).await)
    }

    pub(super) async fn send(&self, rule: Rule, to: &Self, number: u64) {
        let to = rule.ok("an address", format!("{}.0!local", to.name).parse());
        let sent = rule.in_time("its answer", self.relay.send(to, message(number))).await;
        rule.ok("a direct message", sent);
    }

    /// What comes in next.
    pub(super) async fn next(&mut self, rule: Rule) -> Incoming {
        rule.some("more that comes in", rule.in_time("something comes in", self.incoming.recv()).await)
    }

    /// The next message of a group.
    pub(super) async fn posted(&mut self, rule: Rule) -> Arc<Posted> {
        match self.next(rule).await {
            Incoming::Posted(posted) => posted,
            other => rule.broken(format_args!("{other:?} came in instead of a message of a group")),
        }
    }

    /// The next messages are of these numbers, at offsets that follow on from `offset`.
    pub(super) async fn hears(
        &mut self,
        rule: Rule,
        numbers: impl IntoIterator<Item = u64>,
        mut offset: u64,
    ) {
        for expected in numbers {
            let posted = self.posted(rule).await;
            offset += 1;
            let heard = (number(posted.id), posted.position.map(|position| position.offset));
            rule.same("what was pushed, and its offset", heard, (expected, Some(offset)));
        }
    }

    /// The next that comes in is a direct message of this number.
    pub(super) async fn hears_directly(&mut self, rule: Rule, expected: u64) {
        match self.next(rule).await {
            Incoming::Direct { to, message } => {
                rule.same("the node of an address", to.node(), &self.name);
                rule.same("what stands behind the `!`", to.local(), Some("local"));
                rule.same("a direct message", number(message.id), expected);
            }
            other => rule.broken(format_args!("{other:?} came in instead of direct message {expected}")),
        }
    }
}

/// A link, as soon as the backend gives one.
async fn connect(rule: Rule, relay: &dyn Relay, node: &str) -> mpsc::Receiver<Incoming> {
    let ends_at = Instant::now() + PATIENT;
    loop {
        match rule.in_time("a link", relay.connect(node)).await {
            Err(LinkError::Closed(_) | LinkError::TimedOut) if Instant::now() < ends_at => {
                tokio::task::yield_now().await;
            }
            link => return rule.ok("connecting", link).incoming,
        }
    }
}

/// Reads until the link has ended.
pub(super) async fn ends(rule: Rule, incoming: &mut mpsc::Receiver<Incoming>) {
    let end = async {
        while let Some(arrived) = incoming.recv().await {
            if matches!(arrived, Incoming::Ended(_)) {
                break;
            }
        }
    };
    rule.in_time("the end of a link", end).await;
    let after = rule.in_time("the end of its channel", incoming.recv()).await;
    rule.holds(after.is_none(), format_args!("{after:?} came in after the end"));
}

impl Writer {
    /// The next publish of the chain.
    pub(super) fn next(&mut self, message: Message) -> Outgoing {
        self.chain.seq += 1;
        self.at(self.chain, message)
    }

    /// A publish at any place.
    pub(super) fn at(&self, chain: Chain, message: Message) -> Outgoing {
        let message = message.with_floor(Some(self.floor));
        Outgoing { group: self.group.clone(), message, place: Some((self.epoch, chain)) }
    }

    pub(super) fn position(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }
}

/// A message that is not kept.
pub(super) fn ephemeral(group: &GroupName, number: u64) -> Outgoing {
    Outgoing { group: group.clone(), message: message(number), place: None }
}
