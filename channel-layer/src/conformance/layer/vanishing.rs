//! Members whose node ends, vanishes or loses its link: gone when it is gone, and there when it is back.

use super::{
    Fixture, Mortal, are_one, is_healthy,
    presence::{HOSTS, listed, somebody},
    two_nodes,
};
use crate::conformance::{
    rules::{P6, P8},
    tools::{group, not_applicable},
};
use std::time::Duration;

pub(super) async fn a_shutdown_takes_a_node_s_members_with_it(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    if are_one(&nodes) {
        return not_applicable("there is one node");
    }
    let lobby = group("lobby");
    let mut mailboxes = P6.hosts(&nodes, &lobby).await;
    for (node, key) in [(0, "ana"), (1, "ana"), (1, "bo")] {
        nodes[node].presence().enter(&lobby, &somebody(key));
    }
    P6.comes(&mut mailboxes[0], "bo").await;
    P6.lists(&nodes[0], &lobby, ["ana", "bo"].map(somebody)).await;
    P6.ok("a shutdown", P6.in_time("its answer", nodes[1].shutdown()).await);
    P6.goes(&mut mailboxes[0], "bo").await;
    P6.sees(&nodes[0], &lobby, listed(["ana", HOSTS[0]].map(somebody)), Duration::ZERO).await;
}

pub(super) async fn a_node_that_vanishes_is_forgotten_with_its_members(fixture: &dyn Fixture) {
    let Some(mortal) = fixture.mortal() else {
        return not_applicable("no node can be made to vanish");
    };
    let Mortal { node: doomed, vanish, forgotten_after } = mortal.await;
    let node = fixture.node().await;
    for layer in [&node, &doomed] {
        is_healthy(layer).await;
    }
    let nodes = [node, doomed];
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut mailboxes = P6.hosts(&nodes, &lobby).await;
    for (node, key) in [(0, "ana"), (1, "ana"), (1, "bo")] {
        nodes[node].presence().enter(&lobby, &somebody(key));
    }
    nodes[1].presence().enter(&garden, &somebody("cy"));
    P6.comes(&mut mailboxes[0], "bo").await;
    P6.lists(&nodes[0], &lobby, ["ana", "bo"].map(somebody)).await;
    P6.sees(&nodes[0], &garden, listed([somebody("cy")]), Duration::ZERO).await;
    vanish();
    let left = ["ana", HOSTS[0]].map(somebody);
    P6.sees(&nodes[0], &lobby, listed(left), forgotten_after).await;
    P6.goes(&mut mailboxes[0], "bo").await;
    P6.sees(&nodes[0], &garden, listed([]), forgotten_after).await;
}

pub(super) async fn after_a_lost_link_everybody_is_there_again(fixture: &dyn Fixture) {
    if fixture.cut().is_none() {
        return not_applicable("there is no link to be lost");
    }
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let _mailboxes = P8.hosts(&nodes, &lobby).await;
    for round in 1..=3 {
        if let Some(cut) = fixture.cut() {
            cut.await;
        }
        // Whether these nodes know of their loss by now or not.
        let (comes, goes) = (format!("m{round}"), format!("m{}", round - 1));
        nodes[round % 2].presence().enter(&lobby, &somebody(&comes));
        nodes[(round - 1) % 2].presence().leave(&lobby, &goes);
        for node in &nodes {
            P8.lists(node, &lobby, [somebody(&comes)]).await;
        }
    }
}
