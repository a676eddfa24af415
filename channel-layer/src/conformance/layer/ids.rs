//! The same message, once: repeats, conflicts, and what nobody can know any more.

use super::{Fixture, two_nodes};
use crate::{
    conformance::{
        rules::{I1, I2, I3, I4},
        tools::{group, id, message, not_applicable, number, read},
    },
    error::Error,
    history::Span,
    message::{Message, Retention},
};
use futures_util::future::join;

pub(super) async fn a_repeat_has_the_first_position_and_reaches_nobody(fixture: &dyn Fixture) {
    let [node, _] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = I1.join(&node, &lobby, 64).await;
    let first = I1.send(&node, &lobby, 1).await;
    I1.send(&node, &lobby, 2).await;
    for _ in 0..3 {
        I1.same("the answer to a repeat", I1.send(&node, &lobby, 1).await, first);
        let repeat = message(1).with_floor(first.position);
        let answer = node.group_send(lobby.clone(), repeat, Retention::Kept).await;
        I1.same("the answer to one that says where its sender stood", answer, Ok(first));
    }
    let next = I1.send(&node, &lobby, 3).await;
    I1.same("the next offset", next.position.map(|at| at.offset), Some(3));
    I1.receives(&mut member, 1..=3).await;
    let recovered = I1.history_to(&node, &lobby, Span::Latest, 8, 3).await;
    I1.same("the history", read(&recovered), (None, vec![1, 2, 3], false));
}

pub(super) async fn a_repeat_on_another_node_is_known_there(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [I1.join(&node, &lobby, 64).await, I1.join(&other, &lobby, 64).await];
    for number in 1..=20 {
        let first = I1.send(&node, &lobby, number).await;
        I1.same("the answer on another node", I1.send(&other, &lobby, number).await, first);
    }
    for member in &mut members {
        I1.receives(member, 1..=20).await;
    }
}

pub(super) async fn one_id_sent_on_two_nodes_at_once_is_one_message(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [I1.join(&node, &lobby, 512).await, I1.join(&other, &lobby, 512).await];
    let (one, two) = join(I1.send_all(&node, &lobby, 1..=100), I1.send_all(&other, &lobby, 1..=100)).await;
    I1.holds(one == two, "two nodes answer with two positions");
    for member in &mut members {
        let mut received = Vec::new();
        while received.len() < 100 {
            received.push(number(I1.message(member).await.id));
        }
        received.sort_unstable();
        I1.same("what arrived", received, (1..=100).collect());
    }
    I1.send(&node, &lobby, 101).await;
    for member in &mut members {
        I1.receives(member, [101]).await;
    }
}

pub(super) async fn another_message_with_a_known_id_is_a_conflict(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = I2.join(&node, &lobby, 8).await;
    let first = I2.send(&node, &lobby, 1).await;
    let another = Message::frame(id(1), "another body");
    for node in [&node, &other] {
        I2.refused(node, &lobby, another.clone(), Error::Conflict).await;
        // The digest decides, not the body: a sender may add to it what a repeat would not repeat.
        let same = another.clone().with_digest(message(1).digest());
        I2.same("the answer", node.group_send(lobby.clone(), same, Retention::Kept).await, Ok(first));
        I2.refused(node, &lobby, message(1).with_digest(7), Error::Conflict).await;
    }
    let next = I2.send(&other, &lobby, 2).await;
    I2.same("the next offset", next.position.map(|at| at.offset), Some(2));
    I2.receives(&mut member, [1, 2]).await;
    // In another group it is free.
    let garden = node.group_send(group("garden"), another, Retention::Kept).await;
    I2.same("its place elsewhere", I2.ok("a send", garden).position.map(|at| at.offset), Some(1));
}

pub(super) async fn what_was_forgotten_is_not_guessed_about(fixture: &dyn Fixture) {
    let Some(forgets_after) = fixture.forgets_after() else {
        return not_applicable("after how many messages an id is forgotten is not known");
    };
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let empty = I3.history(&node, &lobby, Span::Latest, 1).await.page().head;
    let first = I3.send(&node, &lobby, 0).await;
    let mut last = first;
    let numbers: Vec<u64> = (1..=forgets_after).collect();
    for some in numbers.chunks(1_000) {
        last = I3.some("answer", I3.send_all(&node, &lobby, some.iter().copied()).await.pop());
    }
    for node in [&node, &other] {
        for floor in [Some(empty), first.position] {
            I3.refused(node, &lobby, message(0).with_floor(floor), Error::Undecided).await;
        }
        // Of what came last everything is known, new or not.
        let known = message(forgets_after).with_floor(last.position);
        let answer = node.group_send(lobby.clone(), known, Retention::Kept).await;
        I3.same("a repeat of the last", answer, Ok(last));
    }
    let new = message(forgets_after + 1).with_floor(last.position);
    let sent = I3.ok("a new message", node.group_send(lobby.clone(), new, Retention::Kept).await);
    let expected = last.position.map(|at| at.offset + 1);
    I3.same("the next offset", sent.position.map(|at| at.offset), expected);
}

pub(super) async fn an_ephemeral_message_takes_no_id(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = I4.join(&other, &lobby, 8).await;
    let ephemeral = async |number| {
        let sent = node.group_send(lobby.clone(), message(number), Retention::Ephemeral).await;
        I4.ok("an ephemeral send", sent)
    };
    for _ in 0..2 {
        ephemeral(1).await;
        I4.receives(&mut member, [1]).await;
    }
    let kept = I4.send(&node, &lobby, 1).await;
    I4.same("the offset of the same id, kept", kept.position.map(|at| at.offset), Some(1));
    I4.receives(&mut member, [1]).await;
    ephemeral(1).await;
    I4.receives(&mut member, [1]).await;
}
