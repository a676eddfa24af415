//! How a layer says how it is, and how it ends.

use super::{Fixture, are_one, is_healthy, two_nodes};
use crate::{
    conformance::{
        rules::{E1, E2, E3, E4, E5},
        tools::{group, id, message, not_applicable, number},
    },
    delivery::Delivery,
    error::Error,
    history::Span,
    mailbox::Received,
    message::Retention,
    state::Health,
};
use std::sync::Arc;
use tokio::runtime::Handle;

pub(super) async fn a_layer_says_how_it_is(fixture: &dyn Fixture) {
    let [node, _] = two_nodes(fixture).await;
    let state = *node.status().borrow();
    E1.same("the health", state.health, Health::Healthy);
    E1.holds(state.since_ms > 0, "nobody knows since when");
    let sent = E1.send(&node, &group("lobby"), 1).await;
    E1.same("the scope of a message", sent.scope, state.scope());
    E1.same("the state", *node.status().borrow(), state);
}

pub(super) async fn what_was_called_before_a_shutdown_goes_and_what_comes_after_is_closed(
    fixture: &dyn Fixture,
) {
    let nodes = two_nodes(fixture).await;
    let [node, other] = &nodes;
    let lobby = group("lobby");
    let (mailbox, elsewhere) = (node.new_channel(8), other.new_channel(8));
    let mut member = E2.join(other, &lobby, 64).await;
    let sent: Vec<_> =
        (1..=20).map(|number| node.group_send(lobby.clone(), message(number), Retention::Kept)).collect();
    E4.ok("a shutdown", E4.in_time("a shutdown's answer", node.shutdown()).await);
    for answer in sent {
        E2.ok("a send before the shutdown", E2.in_time("its answer", answer).await);
    }
    E2.receives(&mut member, 1..=20).await;

    let closed = || Err(Error::Closed);
    for retention in [Retention::Kept, Retention::Ephemeral] {
        let sent = E4.in_time("an answer", node.group_send(lobby.clone(), message(21), retention)).await;
        E4.same("a send", sent.map(|_| ()), closed());
    }
    let joined = node.group_add(lobby.clone(), mailbox.channel().clone());
    E4.same("a join", E4.in_time("an answer", joined).await, closed());
    for to in [&mailbox, &elsewhere] {
        let sent = node.send(to.channel().clone(), message(22));
        E4.same("a direct message", E4.in_time("an answer", sent).await, closed());
    }
    let read = E4.in_time("an answer", node.history(lobby.clone(), Span::Latest, 8)).await;
    E4.same("a read", read.map(|_| ()), closed());
    node.group_discard(&lobby, mailbox.channel());
    E4.ok("a second shutdown", E4.in_time("its answer", node.shutdown()).await);
}

pub(super) async fn a_shutdown_ends_every_mailbox_and_those_made_afterwards_hear_nothing(
    fixture: &dyn Fixture,
) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut slow = E3.join(&node, &lobby, 64).await;
    let mut quick = E3.join(&node, &lobby, 64).await;
    let mut idle = node.new_channel(8);
    E3.send_all(&other, &lobby, 1..=5).await;
    E3.receives(&mut quick, 1..=5).await;
    E3.ok("a shutdown", E3.in_time("a shutdown's answer", node.shutdown()).await);
    let mut waited = Vec::new();
    loop {
        match E3.in_time("the end of a mailbox", slow.recv()).await {
            Received::Delivery(Delivery::Message(posted)) => waited.push(number(posted.id)),
            Received::Closed => break,
            other => E3.broken(format_args!("received {other:?}")),
        }
    }
    E3.same("what waited", waited, (1..=5).collect());
    for mailbox in [&mut quick, &mut idle] {
        let end = E3.in_time("the end of a mailbox", mailbox.recv()).await;
        E3.holds(matches!(end, Received::Closed), format_args!("received {end:?}"));
    }
    let heard = node.new_channel(8).try_recv();
    E3.holds(matches!(heard, None | Some(Received::Closed)), format_args!("received {heard:?}"));
}

pub(super) async fn the_others_go_on_without_a_node_that_was_shut_down(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    if are_one(&nodes) {
        return not_applicable("there is one node");
    }
    let [node, other] = nodes;
    let lobby = group("lobby");
    let _leaves = E2.join(&node, &lobby, 8).await;
    let mut stays = E2.join(&other, &lobby, 8).await;
    let first = E2.send(&node, &lobby, 1).await;
    E2.ok("a shutdown", E2.in_time("a shutdown's answer", node.shutdown()).await);
    drop(node);
    E2.send(&other, &lobby, 2).await;
    E2.same("a repeat of its message", E2.send(&other, &lobby, 1).await, first);
    E2.receives(&mut stays, [1, 2]).await;
    let newcomer = fixture.node().await;
    is_healthy(&newcomer).await;
    let mut member = E2.join(&newcomer, &lobby, 8).await;
    let sent = E2.send(&newcomer, &lobby, 3).await;
    E2.same("the next offset", sent.position.map(|at| at.offset), Some(3));
    E2.receives(&mut stays, [3]).await;
    E2.receives(&mut member, [3]).await;
}

pub(super) async fn no_task_is_left_of_a_layer_that_was_shut_down_or_dropped(fixture: &dyn Fixture) {
    let runtime = Handle::current().metrics();
    let before = runtime.num_alive_tasks();
    for round in 0..4 {
        let node = fixture.node().await;
        is_healthy(&node).await;
        let lobby = group("lobby");
        let mut mailbox = E5.join(&node, &lobby, 8).await;
        let sent = E5.send(&node, &lobby, round).await;
        E5.same("the id", E5.message(&mut mailbox).await.id, id(round));
        let _kept_answer = node.history(lobby.clone(), Span::After(E5.some("position", sent.position)), 8);
        if round % 2 == 0 {
            E5.ok("a shutdown", E5.in_time("a shutdown's answer", node.shutdown()).await);
            if round == 0 {
                // A layer that is one with all others is not there any more.
                let again = fixture.node().await;
                if Arc::ptr_eq(&node, &again) {
                    break;
                }
            }
        }
        drop(node);
    }
    E5.at_last("as many tasks as before", || runtime.num_alive_tasks() <= before).await;
}
