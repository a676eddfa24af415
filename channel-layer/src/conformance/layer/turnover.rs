//! Members that come, go and are called otherwise, turn after turn: what is told of them goes on from what was told before.

use super::{
    Fixture,
    presence::{called, somebody},
    two_nodes,
};
use crate::conformance::{
    rules::P4,
    tools::{group, not_applicable},
};

const ROUNDS: usize = 16;

pub(super) async fn every_node_keeps_up_with_who_comes_and_goes(fixture: &dyn Fixture) {
    if fixture.members_max().is_some_and(|members_max| members_max < 2 * ROUNDS) {
        return not_applicable("so many members are not named");
    }
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailboxes = P4.hosts(&nodes, &lobby).await;
    let name = |round: usize| format!("m{round}");
    for round in 0..ROUNDS {
        let at = round % 2;
        let presence = nodes[at].presence();
        presence.enter(&lobby, &somebody(&name(round)));
        // Of those who came to this node last every second stays, by another name; who was seen goes.
        match round.checked_sub(2).map(|before| (before % 4 < 2, name(before))) {
            Some((true, stays)) => presence.enter(&lobby, &called(&stays, "somebody else")),
            Some((false, goes)) => presence.leave(&lobby, &goes),
            None => {}
        }
        // Then the turn is over, and what comes next is another change.
        P4.comes(&mut mailboxes[at], &name(round)).await;
    }
    let members = (0..ROUNDS).filter_map(|round| match (round % 4 < 2, round + 2 < ROUNDS) {
        (true, true) => Some(called(&name(round), "somebody else")),
        (false, true) => None,
        (_, false) => Some(somebody(&name(round))),
    });
    for node in &nodes {
        P4.lists(node, &lobby, members.clone()).await;
    }
}
