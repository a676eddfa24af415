//! Publishes: numbering, verdicts, chains.

use super::{
    Fixture,
    node::{Node, Writer},
};
use crate::{
    conformance::{
        rules::{R6, R7, R8, R9, R10, R12, R19, Rule},
        tools::{group, id, message, not_applicable, number, numbers_of, offset, read},
    },
    history::Span,
    message::Message,
    position::Epoch,
    relay::{Chain, Verdict},
};
use tokio_util::task::TaskTracker;

pub(super) async fn a_batch_is_numbered_from_one_on(fixture: &dyn Fixture) {
    let mut node = Node::new(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut writers = [node.writer(R6, &lobby).await, node.writer(R6, &garden).await];
    for (batch, first) in [(1, 1), (1, 2), (256, 3), (2, 259)] {
        // Two groups by turns: each has its own numbers.
        let mut outgoing = Vec::new();
        let mut expected = Vec::new();
        for number in first..first + batch {
            for (at, writer) in (0..).zip(&mut writers) {
                outgoing.push(writer.next(message(at * 1_000 + number)));
                expected.push(Verdict::Placed(writer.position(number)));
            }
        }
        R6.same("the verdicts", node.publish(R6, outgoing).await, expected);
    }
}

pub(super) async fn a_known_id_is_not_numbered_again(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writers = [one.writer(R7, &lobby).await, other.writer(R7, &lobby).await];
    one.subscribe(R7, &[&lobby]).await;
    let placed = one.place(R7, &mut writers[0], 1..=3).await;
    for (node, writer) in [&one, &other].into_iter().zip(&mut writers) {
        let same_digest = Message::frame(id(2), "another body").with_digest(message(2).digest());
        let batch = vec![
            writer.next(message(2)),
            writer.next(Message::frame(id(2), "another body")),
            writer.next(same_digest),
            writer.next(message(2).with_digest(7)),
            writer.next(message(3)),
        ];
        let known = |at: usize| Verdict::Known(placed[at]);
        let expected = vec![known(1), Verdict::Conflict, known(1), Verdict::Conflict, known(2)];
        R7.same("the verdicts", node.publish(R7, batch).await, expected);
    }
    // Within one batch as well; what follows has the next number, for they do count in the chain.
    let batch = vec![writers[1].next(message(4)), writers[1].next(message(4)), writers[1].next(message(5))];
    let at = |offset| writers[1].position(offset);
    let expected = vec![Verdict::Placed(at(4)), Verdict::Known(at(4)), Verdict::Placed(at(5))];
    R7.same("the verdicts", other.publish(R7, batch).await, expected);
    one.hears(R7, 1..=5, 0).await;
}

pub(super) async fn what_does_not_follow_is_fenced_and_changes_nothing(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R8, &lobby).await;
    other.subscribe(R8, &[&lobby]).await;
    one.place(R8, &mut writer, [1, 2]).await;
    let generation = writer.chain.generation;
    // Once more, from before, with one left out, in a generation that is past, and in one that has yet to come.
    for chain in [(0, 2), (0, 1), (0, 4), (-1, 3), (1, 1), (1, 3)] {
        let generation = generation.saturating_add_signed(chain.0);
        let wrong = writer.at(Chain { generation, seq: chain.1 }, message(3));
        let verdicts = one.publish(R8, vec![wrong]).await;
        R8.same(format_args!("the verdict on {chain:?}"), verdicts, vec![Verdict::Fenced]);
    }
    // A known id is fenced as well: it is not this node's turn.
    let wrong = writer.at(Chain { generation, seq: 9 }, message(1));
    R8.same("the verdict on a known id", one.publish(R8, vec![wrong]).await, vec![Verdict::Fenced]);
    // Within a batch the messages behind one that was refused are refused as well, and none overtakes it.
    let batch = [4, 5, 6].map(|seq| writer.at(Chain { generation, seq }, message(seq)));
    R8.same("the verdicts", one.publish(R8, batch.into()).await, vec![Verdict::Fenced; 3]);
    let placed = one.place(R8, &mut writer, [3, 4]).await;
    R8.same("the positions of what follows on", placed, vec![writer.position(3), writer.position(4)]);
    // Another node's chain is its own.
    let mut others = other.writer(R8, &lobby).await;
    R8.same("another node's position", other.place(R8, &mut others, [5]).await, vec![writer.position(5)]);
    one.place(R8, &mut writer, [6]).await;
    other.hears(R8, 1..=6, 0).await;
}

pub(super) async fn an_opening_fences_what_was_published_before_it(fixture: &dyn Fixture) {
    let mut node = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = node.writer(R9, &lobby).await;
    node.place(R9, &mut writer, [1]).await;
    let conflict = Message::frame(id(1), "another body");
    let batch = vec![writer.next(conflict), writer.next(message(1))];
    let expected = vec![Verdict::Conflict, Verdict::Known(writer.position(1))];
    R9.same("the verdicts", node.publish(R9, batch).await, expected);
    // They counted: the place behind them is the next one.
    node.place(R9, &mut writer, [2]).await;
    // A command that was stuck in a dead connection comes after the opening that followed it.
    let stuck = writer.next(message(3));
    let mut again = node.writer(R9, &lobby).await;
    R9.same("what was stuck", node.publish(R9, vec![stuck]).await, vec![Verdict::Fenced]);
    let placed = node.place(R9, &mut again, [4]).await;
    R9.same("the position of what follows the opening", placed, vec![writer.position(3)]);
    // The opening of another group does not touch this chain.
    node.writer(R9, &group("garden")).await;
    R9.same("the next position", node.place(R9, &mut again, [5]).await, vec![writer.position(4)]);
}

pub(super) async fn another_epoch_is_stale(fixture: &dyn Fixture) {
    let mut node = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = node.writer(R10, &lobby).await;
    node.place(R10, &mut writer, [1]).await;
    let mut stale = writer.at(Chain { seq: 2, ..writer.chain }, message(2));
    stale.place = stale.place.map(|(_, chain)| (Epoch::random(), chain));
    R10.same("the verdict", node.publish(R10, vec![stale]).await, vec![Verdict::Stale]);
    // It did not count.
    let placed = node.place(R10, &mut writer, [2]).await;
    R10.same("the position of what follows", placed, vec![writer.position(2)]);
    let recovered = node.read(R10, &lobby, Span::Latest, 8).await;
    R10.same("what is kept", read(&recovered), (None, vec![1, 2], false));
}

pub(super) async fn two_nodes_that_publish_at_once_share_one_numbering(fixture: &dyn Fixture) {
    const EACH: u64 = 400;
    let mut nodes = [Node::new(fixture).await, Node::new(fixture).await];
    let lobby = group("lobby");
    for node in &nodes {
        node.subscribe(R12, &[&lobby]).await;
    }
    let tasks = TaskTracker::new();
    let mut senders = Vec::new();
    for (sender, node) in (0..).zip(&mut nodes) {
        let mut writer = node.writer(R6, &lobby).await;
        let publishes = (sender * EACH..(sender + 1) * EACH).map(|number| writer.next(message(number)));
        let (mut publishes, relay) = (publishes.collect::<Vec<_>>(), node.relay.clone());
        senders.push(tasks.spawn(async move {
            while !publishes.is_empty() {
                let rest = publishes.split_off(publishes.len().min(8));
                let verdicts = relay.publish(std::mem::replace(&mut publishes, rest)).await;
                for verdict in R6.ok("a batch", verdicts) {
                    let verdict = R6.ok("a message", verdict);
                    R6.holds(
                        matches!(verdict, Verdict::Placed(_)),
                        format_args!("the verdict was {verdict:?}"),
                    );
                }
            }
        }));
    }
    let mut orders = Vec::new();
    for node in &mut nodes {
        let mut order = Vec::new();
        for expected in 1..=2 * EACH {
            let posted = node.posted(R12).await;
            R12.same("an offset", offset(&posted), expected);
            order.push(number(posted.id));
        }
        orders.push(order);
    }
    for sender in senders {
        R6.ok("a sender", sender.await);
    }
    R12.holds(orders[0] == orders[1], "two nodes are pushed two orders");
    for sender in 0..2 {
        let own: Vec<u64> = orders[0].iter().copied().filter(|number| number / EACH == sender).collect();
        R6.same("a sender's order", own, (sender * EACH..(sender + 1) * EACH).collect());
    }
    let recovered = nodes[0].read(R6, &lobby, Span::Latest, 1_000).await;
    R6.holds(numbers_of(recovered.page()) == orders[0], "the history has another order");
}

pub(super) async fn what_may_have_been_forgotten_is_undecided(fixture: &dyn Fixture) {
    let Some(forgets_after) = fixture.forgets_after() else {
        return not_applicable("after how many messages an id is forgotten is not known");
    };
    let mut node = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = node.writer(R19, &lobby).await;
    let numbers: Vec<u64> = (0..=forgets_after).collect();
    let beginning = writer.floor;
    for some in numbers.chunks(256) {
        let placed = node.place(R19, &mut writer, some.iter().copied()).await;
        writer.floor = R19.some("position", placed.last().copied());
    }
    // The floor is from the beginning, the id from there or new: nobody can know.
    let late_floor = std::mem::replace(&mut writer.floor, beginning);
    for number in [0, forgets_after + 1] {
        let verdicts = publish_one(R19, &node, &mut writer, message(number)).await;
        R19.same("the verdict", verdicts, Verdict::Undecided);
    }
    // It counted, and what is known, or has a late floor, is decided.
    let known = publish_one(R19, &node, &mut writer, message(forgets_after)).await;
    R19.same("the verdict on the last", known, Verdict::Known(writer.position(forgets_after + 1)));
    let mut late = writer.next(message(forgets_after + 1));
    late.message.floor = Some(late_floor);
    let expected = Verdict::Placed(writer.position(forgets_after + 2));
    R19.same("the verdict on a new one", node.publish(R19, vec![late]).await, vec![expected]);
}

async fn publish_one(rule: Rule, node: &Node, writer: &mut Writer, message: Message) -> Verdict {
    rule.some("verdict", node.publish(rule, vec![writer.next(message)]).await.pop())
}
