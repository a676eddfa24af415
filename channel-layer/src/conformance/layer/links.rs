//! A link that is lost and comes back.

use super::{Fixture, Layer, is_healthy, two_nodes};
use crate::{
    conformance::{
        rules::{E6, PATIENT},
        tools::{group, message, not_applicable, number},
    },
    delivery::Delivery,
    error::Error,
    mailbox::Mailbox,
    message::Retention,
    name::GroupName,
    position::Position,
};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

const EACH: u64 = 60;

pub(super) async fn a_lost_link_comes_back_with_every_mailbox_in_its_groups(fixture: &dyn Fixture) {
    if fixture.cut().is_none() {
        return not_applicable("there is no link to be lost");
    }
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [E6.join(&nodes[0], &lobby, 512).await, E6.join(&nodes[1], &lobby, 512).await];
    let tasks = TaskTracker::new();
    for (sender, node) in (0..).zip(&nodes) {
        let (node, lobby) = (node.clone(), lobby.clone());
        tasks.spawn(async move {
            for number in sender * EACH..(sender + 1) * EACH {
                insist(&node, &lobby, number).await;
            }
        });
    }
    tasks.close();
    let cut = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(20)).await;
            if let Some(cut) = fixture.cut() {
                cut.await;
            }
            for node in &nodes {
                is_healthy(node).await;
            }
        }
    };
    futures_util::future::join(cut, E6.in_time("every message is answered", tasks.wait())).await;
    for member in &mut members {
        each_once_in_order(member).await;
    }
    for (number, node) in (2 * EACH..).zip(&nodes) {
        is_healthy(node).await;
        insist(node, &lobby, number).await;
        for member in &mut members {
            receives(member, number).await;
        }
    }
}

/// The next message is this one; before it may come where others stand.
async fn receives(member: &mut Mailbox, expected: u64) {
    loop {
        match E6.next(member).await {
            Delivery::Message(posted) => return E6.same("a message", number(posted.id), expected),
            Delivery::Placed { .. } => {}
            other => E6.broken(format_args!("received {other:?}")),
        }
    }
}

/// Sends until it is answered by something else than that the layer is away; a repeat has the same id.
async fn insist(node: &Layer, group: &GroupName, number: u64) {
    let ends_at = Instant::now() + PATIENT;
    loop {
        match node.group_send(group.clone(), message(number), Retention::Kept).await {
            Err(Error::Unavailable | Error::Overloaded) if Instant::now() < ends_at => {
                sleep(Duration::from_millis(5)).await;
            }
            answer => {
                E6.ok("a repeated send", answer);
                return;
            }
        }
    }
}

/// Reads every message once, each sender's in their order, whatever came twice at the backend.
async fn each_once_in_order(member: &mut Mailbox) {
    let mut seen = Vec::new();
    let mut last: Option<Position> = None;
    while seen.len() < usize::try_from(2 * EACH).unwrap_or(usize::MAX) {
        match E6.next(member).await {
            Delivery::Message(posted) => {
                if let (Some(last), Some(next)) = (last, posted.position) {
                    E6.same("the next offset", next.offset, last.offset + 1);
                }
                last = posted.position.or(last);
                seen.push(number(posted.id));
            }
            // Where a message stands that came before without a position.
            Delivery::Placed { position, .. } => last = Some(position),
            other => E6.broken(format_args!("received {other:?}")),
        }
    }
    for sender in 0..2 {
        let own: Vec<u64> = seen.iter().copied().filter(|number| number / EACH == sender).collect();
        E6.same("the messages of a sender", own, (sender * EACH..(sender + 1) * EACH).collect());
    }
}
