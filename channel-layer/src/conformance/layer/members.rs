//! Mailboxes and groups: who is in, from when, and until when.

use super::{Fixture, Layer, are_one, two_nodes};
use crate::{
    conformance::{
        rules::{D2, G1, G2, G3, G4, G5, G6, N1, N2},
        tools::{group, message, number},
    },
    error::Error,
    message::Retention,
};
use futures_util::FutureExt;
use std::collections::BTreeSet;

pub(super) async fn an_address_is_drawn_once_and_tells_its_node(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let mut drawn = BTreeSet::new();
    let mut owners = Vec::new();
    for node in &nodes {
        let kept = node.new_channel(1);
        owners.push(kept.channel().node().to_owned());
        for _ in 0..100 {
            // Each is dropped before the next is made: an address that is free again must not be drawn again.
            let channel = node.new_channel(1).channel().clone();
            N1.same("the node of an address", channel.node(), kept.channel().node());
            N2.same("the address of a mailbox is its mailbox's", channel.mailbox(), channel.as_str());
            let local = N2.ok("an address behind a mailbox", channel.at("7"));
            N2.same("what stands before the `!`", local.mailbox(), channel.as_str());
            N1.holds(drawn.insert(channel.clone()), format_args!("{channel} was drawn twice"));
        }
    }
    N1.holds(are_one(&nodes) || owners[0] != owners[1], "two nodes have one name");
}

pub(super) async fn a_mailbox_holds_what_it_was_made_for(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut witness = G1.join(&node, &lobby, 1024).await;
    let mut sent = 0;
    for capacity in [1, 2, 3, 7, 33, 100] {
        let mut mailbox = G1.join(&node, &lobby, capacity).await;
        let numbers = sent..sent + capacity as u64;
        sent = numbers.end;
        G1.send_all(&other, &lobby, numbers.clone()).await;
        G1.receives(&mut witness, numbers.clone()).await;
        G1.receives(&mut mailbox, numbers).await;
    }
}

pub(super) async fn joining_twice_delivers_once(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = G2.join(&node, &lobby, 8).await;
    G2.add(&node, &lobby, &mailbox).await;
    let join = || node.group_add(lobby.clone(), mailbox.channel().clone());
    let (one, two) = futures_util::future::join(join(), join()).await;
    G2.ok("one of two joins at once", one);
    G2.ok("the other one", two);
    G2.send_all(&other, &lobby, 1..=3).await;
    G2.receives(&mut mailbox, 1..=3).await;
    // However often it joined, it leaves at once.
    node.group_discard(&lobby, mailbox.channel());
    let mut witness = G2.join(&node, &lobby, 8).await;
    G2.send(&other, &lobby, 4).await;
    G2.receives(&mut witness, [4]).await;
    G2.holds(mailbox.try_recv().is_none(), "it is still a member");
}

pub(super) async fn only_a_mailbox_of_this_node_can_join(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let gone = nodes[0].new_channel(8).channel().clone();
    let elsewhere = nodes[1].new_channel(8);
    let mut strangers = vec![gone];
    if !are_one(&nodes) {
        strangers.push(elsewhere.channel().clone());
    }
    for channel in strangers {
        let refused = nodes[0].group_add(lobby.clone(), channel.clone()).await;
        G2.same("a join", refused, Err(Error::NoSuchChannel(channel)));
    }
}

pub(super) async fn whatever_is_sent_after_a_join_was_answered_arrives(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    for (round, at) in (0..40).zip([0, 1, 1, 0].into_iter().cycle()) {
        // A group that nobody has used, and one that has a past.
        let name = if round % 3 == 0 { group("lobby") } else { group(&format!("garden-{round}")) };
        let mut mailbox = G3.join(&nodes[at], &name, 8).await;
        let sent = G3.send(&nodes[usize::from(round % 2 == 0)], &name, round).await;
        let mut posted = G3.message(&mut mailbox).await;
        // What was sent before may be late.
        while number(posted.id) < round {
            posted = G3.message(&mut mailbox).await;
        }
        G3.same("what arrived", (posted.id, posted.position, &posted.group), (sent.id, sent.position, &name));
        let ephemeral = message(1_000 + round);
        let answer = nodes[1].group_send(name.clone(), ephemeral, Retention::Ephemeral).await;
        let sent = G3.ok("an ephemeral send", answer);
        G3.same("what arrived next", G3.message(&mut mailbox).await.id, sent.id);
    }
}

pub(super) async fn a_join_whose_answer_was_dropped_is_a_join(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut forgetful = node.new_channel(8);
    drop(node.group_add(lobby.clone(), forgetful.channel().clone()));
    // Whoever asks again is told when it is in; here another member of the node asks.
    let mut witness = G4.join(&node, &lobby, 8).await;
    G4.send(&other, &lobby, 1).await;
    G4.receives(&mut witness, [1]).await;
    G4.receives(&mut forgetful, [1]).await;
    G4.add(&node, &lobby, &forgetful).await;
    G4.send(&other, &lobby, 2).await;
    G4.receives(&mut forgetful, [2]).await;
}

pub(super) async fn a_channel_that_was_discarded_gets_nothing_more(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut mailbox = G5.join(&node, &lobby, 8).await;
    let mut witness = G5.join(&node, &lobby, 8).await;
    G5.add(&node, &garden, &mailbox).await;
    node.group_discard(&lobby, mailbox.channel());
    G5.send(&other, &lobby, 1).await;
    G5.receives(&mut witness, [1]).await;
    G5.send(&other, &garden, 2).await;
    G5.receives(&mut mailbox, [2]).await;
    G5.add(&node, &lobby, &mailbox).await;
    G5.send(&other, &lobby, 3).await;
    G5.receives(&mut mailbox, [3]).await;
    // A discard of what is no member is nothing.
    node.group_discard(&group("attic"), mailbox.channel());
    node.group_discard(&garden, witness.channel());
    G5.send(&other, &garden, 4).await;
    G5.receives(&mut mailbox, [4]).await;
}

pub(super) async fn a_dropped_mailbox_is_in_no_group_any_more(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mailbox = G6.join(&node, &lobby, 8).await;
    let channel = mailbox.channel().clone();
    G6.add(&node, &garden, &mailbox).await;
    drop(mailbox);
    let gone = Err(Error::NoSuchChannel(channel.clone()));
    G6.same("a join", node.group_add(lobby.clone(), channel.clone()).await, gone.clone());
    D2.same("a direct message", node.send(channel, message(1)).await, gone);
    // Nobody hears it, and nobody minds.
    G6.send(&other, &lobby, 2).await;
    G6.send(&node, &garden, 3).await;
}

/// Mailboxes and memberships of a node.
pub(super) fn usage(node: &Layer) -> (usize, usize) {
    let report = node.report();
    (report.mailboxes, report.memberships)
}

pub(super) async fn nothing_of_a_dropped_mailbox_stays(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let groups = ["lobby", "garden", "attic"].map(group);
    let mut witness = G6.join(&node, &groups[0], 8).await;
    let before = usage(&node);
    G6.same("mailboxes and memberships", before, (1, 1));
    for round in 0..20 {
        let mailbox = node.new_channel(8);
        for (name, polls) in groups.iter().zip([0, 1, round]) {
            // Left at each of the points where a join waits.
            let mut join = node.group_add(name.clone(), mailbox.channel().clone());
            for _ in 0..polls {
                if (&mut join).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        G6.same("mailboxes and memberships", usage(&node), (2, 4));
        drop(mailbox);
        G6.same("what is held after it was dropped", usage(&node), before);
    }
    G6.send(&other, &groups[0], 1).await;
    G6.receives(&mut witness, [1]).await;
    node.group_discard(&groups[0], witness.channel());
    drop(witness);
    G6.same("mailboxes and memberships at the end", usage(&node), (0, 0));
}
