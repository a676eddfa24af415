//! Sending into a group: order, who gets it, what the answer says, and what a slow reader is told.

use super::{Fixture, are_one, is_healthy, two_nodes};
use crate::{
    conformance::{
        rules::{L1, S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11},
        tools::{group, id, message, not_applicable, number, numbers_of, offset, read},
    },
    delivery::Delivery,
    error::Error,
    history::Span,
    mailbox::Received,
    message::{BODY_BYTES_MAX, KIND_BYTES_MAX, Message, Retention},
    position::Scope,
};
use tokio_util::task::TaskTracker;

pub(super) async fn messages_arrive_in_the_order_of_the_calls(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = S1.join(&other, &lobby, 1024).await;
    let send = |number| node.group_send(lobby.clone(), message(number), Retention::Kept);
    let answers: Vec<_> = (0..500).map(send).collect();
    // Whoever awaits the answers in another order, or late, changes nothing.
    let mut last = None;
    for answer in answers.into_iter().rev() {
        let sent = S1.ok("a send", S1.in_time("an answer", answer).await);
        let position = S1.some("position of a kept message", sent.position);
        S1.holds(
            last.is_none_or(|last| position.offset + 1 == last),
            format_args!("offset {} stands before {last:?}", position.offset),
        );
        last = Some(position.offset);
    }
    S1.receives(&mut mailbox, 0..500).await;
}

pub(super) async fn a_dropped_answer_does_not_unsend(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = S2.join(&other, &lobby, 64).await;
    for number in 1..=20 {
        drop(node.group_send(lobby.clone(), message(number), Retention::Kept));
    }
    S2.receives(&mut mailbox, 1..=20).await;
}

pub(super) async fn everybody_gets_everything_the_sender_too(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = Vec::new();
    for node in &nodes {
        for _ in 0..3 {
            members.push(S3.join(node, &lobby, 64).await);
        }
    }
    for number in 1..=20 {
        S3.send(&nodes[usize::from(number % 2 == 0)], &lobby, number).await;
    }
    for member in &mut members {
        S3.receives(member, 1..=20).await;
    }
}

pub(super) async fn two_nodes_that_send_at_once_see_one_order(fixture: &dyn Fixture) {
    // Together fewer than a history has to keep: whoever has to read what it did not hear finds it.
    const EACH: u64 = 450;
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [S7.join(&nodes[0], &lobby, 4_096).await, S7.join(&nodes[1], &lobby, 4_096).await];
    let tasks = TaskTracker::new();
    let senders: Vec<_> = (0..)
        .zip(&nodes)
        .map(|(sender, node)| {
            let (node, lobby) = (node.clone(), lobby.clone());
            tasks.spawn(async move { S7.send_all(&node, &lobby, sender * EACH..(sender + 1) * EACH).await })
        })
        .collect();
    let mut orders = Vec::new();
    for member in &mut members {
        let mut order = Vec::new();
        for expected in 1..=2 * EACH {
            let posted = S7.message(member).await;
            S7.same("an offset", offset(&posted), expected);
            order.push(number(posted.id));
        }
        orders.push(order);
    }
    S7.holds(orders[0] == orders[1], "two nodes see two orders");
    for (sender, answers) in (0..).zip(senders) {
        let own: Vec<u64> = orders[0].iter().copied().filter(|number| number / EACH == sender).collect();
        S7.holds(own.is_sorted() && own.len() as u64 == EACH, "a caller's messages stand in another order");
        for sent in S7.ok("a sender", answers.await) {
            let at = orders[0].iter().position(|one| *one == number(sent.id));
            let position = S7.some("position of a kept message", sent.position);
            S7.same("the place of an answer", at.map(|at| at as u64 + 1), Some(position.offset));
        }
    }
}

pub(super) async fn whom_a_message_is_not_for_is_said_to_all(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [S4.join(&nodes[0], &lobby, 8).await, S4.join(&nodes[1], &lobby, 8).await];
    let sender = S4.ok("an address", members[0].channel().at("socket-3"));
    for (number, retention) in [(1, Retention::Kept), (2, Retention::Ephemeral)] {
        let private = message(number).except(sender.clone());
        S4.ok("a send", nodes[0].group_send(lobby.clone(), private, retention).await);
        for member in &mut members {
            // The owner of the sender's mailbox needs the position, and alone knows what stands behind it.
            let posted = S4.message(member).await;
            S4.same("whom it is not for", (posted.id, posted.except.as_ref()), (id(number), Some(&sender)));
        }
    }
    for node in &nodes {
        let recovered = S4.history_to(node, &lobby, Span::Latest, 8, 1).await;
        let excepted: Vec<_> = recovered.page().messages.iter().map(|posted| posted.except.clone()).collect();
        S4.same("whom the history is not for", excepted, vec![Some(sender.clone())]);
    }
}

pub(super) async fn an_answer_says_where_and_how_far(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = S5.join(&nodes[1], &lobby, 8).await;
    for (number, retention) in [(1, Retention::Kept), (2, Retention::Ephemeral), (3, Retention::Kept)] {
        let sent = S5.ok("a send", nodes[0].group_send(lobby.clone(), message(number), retention).await);
        S5.same("the id", sent.id, id(number));
        S5.same("whether it has a position", sent.position.is_some(), retention == Retention::Kept);
        S5.same("the scope", sent.scope, nodes[0].status().borrow().scope());
        S5.holds(are_one(&nodes) || sent.scope == Scope::Cluster, "it reached another node");
        let posted = S5.message(&mut member).await;
        S5.same("the position that arrived", (posted.id, posted.position), (sent.id, sent.position));
    }
}

pub(super) async fn a_member_that_does_not_read_holds_nobody_up(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let _idle = [S6.join(&node, &lobby, 1).await, S6.join(&other, &lobby, 1).await];
    let mut quick = S6.join(&node, &lobby, 1024).await;
    S6.send_all(&other, &lobby, 1..=500).await;
    S6.receives(&mut quick, 1..=500).await;
}

pub(super) async fn a_mailbox_that_lags_says_how_many_it_missed_and_the_history_has_them(
    fixture: &dyn Fixture,
) {
    const COUNT: u64 = 300;
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut slow = L1.join(&node, &lobby, 4).await;
    let mut witness = L1.join(&node, &lobby, 512).await;
    L1.send(&other, &lobby, 0).await;
    let mut seen = L1.message(&mut slow).await.position;
    L1.send_all(&other, &lobby, 1..=COUNT).await;
    L1.receives(&mut witness, 0..=COUNT).await;
    let mut next = 1;
    while next <= COUNT {
        match L1.in_time("a delivery", slow.recv()).await {
            Received::Lagged { missed } => {
                let after = Span::After(L1.some("position", seen));
                let missed_max = usize::try_from(missed).unwrap_or(usize::MAX);
                let recovered = L1.history(&node, &lobby, after, missed_max).await;
                L1.same("what was missed", numbers_of(recovered.page()), (next..next + missed).collect());
                next += missed;
                seen = recovered.page().messages.last().and_then(|posted| posted.position);
            }
            Received::Delivery(Delivery::Message(posted)) => {
                L1.same("what comes after what was missed", number(posted.id), next);
                (next, seen) = (next + 1, posted.position);
            }
            other => L1.broken(format_args!("received {other:?}")),
        }
    }
    L1.holds(slow.try_recv().is_none(), "something came twice");
}

pub(super) async fn what_is_too_large_goes_nowhere(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = S8.join(&other, &lobby, 8).await;
    let of = |bytes| Message::frame(id(1), vec![b'x'; bytes]);
    S8.refused(&node, &lobby, of(BODY_BYTES_MAX + 1), Error::TooLarge).await;
    let direct = node.send(member.channel().clone(), of(BODY_BYTES_MAX + 1)).await;
    S8.same("a direct message", direct, Err(Error::TooLarge));
    let long_kind = Message::event(id(1), "k".repeat(KIND_BYTES_MAX + 1), "");
    S8.refused(&node, &lobby, long_kind, Error::TooLarge).await;
    let largest = of(BODY_BYTES_MAX);
    let sent = node.group_send(lobby.clone(), largest.clone(), Retention::Kept);
    let sent = S8.ok("a message at the limit", S8.in_time("an answer", sent).await);
    let posted = S8.message(&mut member).await;
    S8.same("what arrived", (posted.position, posted.body == largest.body), (sent.position, true));
    S8.same("its offset", offset(&posted), 1);
}

pub(super) async fn groups_are_apart(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let names = ["a", "A", "a.", "a-", "a_a", "aa", "node", "a.b-c_d"].map(group);
    let mut members = Vec::new();
    for (at, name) in names.iter().enumerate() {
        members.push(S9.join(&nodes[at % 2], name, 64).await);
    }
    for round in 0..5 {
        for (number, name) in (round * 100..).zip(&names) {
            let sent = S9.send(&nodes[usize::from(round % 2 == 0)], name, number).await;
            S9.same("an offset", sent.position.map(|at| at.offset), Some(round + 1));
        }
    }
    for (number, member) in (0..).zip(&mut members) {
        S9.receives(member, (0..5).map(|round| round * 100 + number)).await;
        S9.holds(member.try_recv().is_none(), "a message of another group arrived");
    }
}

pub(super) async fn hubs_on_one_backend_are_apart(fixture: &dyn Fixture) {
    let Some(stranger) = fixture.stranger() else {
        return not_applicable("the backend carries one hub");
    };
    let stranger = stranger.await;
    is_healthy(&stranger).await;
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut here = S9.join(&nodes[0], &lobby, 8).await;
    let mut there = S9.join(&stranger, &lobby, 8).await;
    let one = S9.send(&nodes[1], &lobby, 1).await;
    let other = S9.send(&stranger, &lobby, 2).await;
    S9.same("the offsets", [one, other].map(|sent| sent.position.map(|at| at.offset)), [Some(1); 2]);
    S9.receives(&mut here, [1]).await;
    S9.receives(&mut there, [2]).await;
    // The same id is another message there.
    S9.send(&stranger, &lobby, 1).await;
    S9.receives(&mut there, [1]).await;
    S9.send(&nodes[0], &lobby, 3).await;
    S9.receives(&mut here, [3]).await;
    let address = here.channel().clone();
    // Whatever is answered, it must not arrive.
    drop(S9.in_time("an answer", stranger.send(address, message(4))).await);
    S9.send(&nodes[0], &lobby, 5).await;
    S9.receives(&mut here, [5]).await;
}

pub(super) async fn whatever_a_message_carries_arrives_as_it_is(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [S10.join(&nodes[0], &lobby, 64).await, S10.join(&nodes[1], &lobby, 64).await];
    let bytes: Vec<u8> = (0..=255).collect();
    let sender = S10.ok("an address", members[0].channel().at("socket-3"));
    let messages = [
        Message::frame(id(1), ""),
        Message::frame(id(2), bytes.clone()),
        Message::event(id(3), "chat.kick", bytes).except(sender),
        Message::event(id(4), "é", ""),
        Message::frame(id(5), vec![0; 100_000]).with_digest(7),
    ];
    for retention in [Retention::Kept, Retention::Ephemeral] {
        for sent in &messages {
            S10.ok("a send", nodes[0].group_send(lobby.clone(), sent.clone(), retention).await);
            for member in &mut members {
                let posted = S10.message(member).await;
                S10.same(
                    "whether it has a position",
                    posted.position.is_some(),
                    retention == Retention::Kept,
                );
                S10.same("an id", posted.id, sent.id);
                S10.same("whom it is not for", &posted.except, &sent.except);
                S10.holds(posted.body == sent.body, format_args!("the body of {} is another", sent.id));
            }
        }
    }
    for node in &nodes {
        let recovered = S10.history_to(node, &lobby, Span::Latest, 8, 5).await;
        let read = &recovered.page().messages;
        S10.same("messages in the history", read.len(), messages.len());
        for (posted, sent) in read.iter().zip(&messages) {
            S10.same("an id in the history", (posted.id, &posted.group), (sent.id, &lobby));
            S10.holds(posted.body == sent.body, format_args!("the body of {} is another there", sent.id));
        }
    }
}

pub(super) async fn an_ephemeral_message_has_no_position_and_no_history(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = S11.join(&other, &lobby, 8).await;
    for number in [1, 2] {
        let answer = node.group_send(lobby.clone(), message(number), Retention::Ephemeral).await;
        S11.same("its position", S11.ok("an ephemeral send", answer).position, None);
        let posted = S11.message(&mut member).await;
        S11.same("what arrived", (posted.id, posted.position), (id(number), None));
    }
    let kept = S11.send(&node, &lobby, 3).await;
    S11.same("the offset of what is kept next", kept.position.map(|at| at.offset), Some(1));
    S11.same("the position that arrived", S11.message(&mut member).await.position, kept.position);
    for node in [&node, &other] {
        let recovered = S11.history_to(node, &lobby, Span::Latest, 8, 1).await;
        S11.same("the history", read(&recovered), (None, vec![3], false));
    }
}
