//! The link to Redis is lost in every way that a test can bring about, and comes back by itself.

use std::{cell::Cell, collections::BTreeSet};

use channel_layer::{ChannelLayer, Error, GapReason, Health, Mailbox, Received, ResilientLayer, Retention};
use futures_util::future::join;
use palabre_tests::{RedisServer, machine::until};
use tokio::time::timeout;

use super::nodes::{
    Beside, IN_LIFE, PATIENT, group, healthy_node, insist, is, member, message, next_message, next_resync,
    node, number, numbers, send,
};

async fn is_refused(layer: &ResilientLayer, id: u32) {
    let refused = layer.group_send(group("lobby"), message(id), Retention::Kept).await;
    assert_eq!(refused, Err(Error::Unavailable));
}

/// A healthy node with a member, whose callers wait no longer than in life.
async fn member_in_life(redis: &RedisServer) -> (ResilientLayer, Mailbox) {
    let layer = node(redis, IN_LIFE);
    is(&layer, Health::Healthy).await;
    let mailbox = layer.new_channel(1024);
    join_at_last(&layer, &mailbox).await;
    (layer, mailbox)
}

async fn join_at_last(layer: &ResilientLayer, mailbox: &Mailbox) {
    until("a repeated join is answered", async || {
        layer.group_add(group("lobby"), mailbox.channel().clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_killed_redis_is_missed_and_found_again_with_every_mailbox_still_in_its_groups() {
    let mut redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    let before = insist(&layer, &lobby, &message(1)).await.position.unwrap();
    assert_eq!(numbers(&mut mailbox, 1).await, [1]);
    redis.kill().await;
    is(&layer, Health::Connecting).await;
    is_refused(&layer, 2).await;
    let newcomer = layer.new_channel(8);
    let refused = layer.group_add(group("garden"), newcomer.channel().clone()).await;
    assert_eq!(refused, Err(Error::Unavailable));

    redis.start_again().await;
    is(&layer, Health::Healthy).await;
    let (reason, page) = next_resync(&mut mailbox).await;
    assert_eq!((reason, page.messages.len(), page.head.offset), (GapReason::UnknownEpoch, 0, 0));
    let after = insist(&layer, &lobby, &message(3)).await.position.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(next_message(&mut mailbox).await.position, Some(after));
}

#[tokio::test]
async fn a_node_that_starts_without_redis_joins_it_later() {
    let mut redis = RedisServer::start().await;
    redis.kill().await;
    let layer = node(&redis, IN_LIFE);
    let mut mailbox = layer.new_channel(8);
    let channel = mailbox.channel().clone();
    assert_eq!(layer.group_add(group("lobby"), channel).await, Err(Error::Unavailable));
    is_refused(&layer, 1).await;
    assert_eq!(layer.status().borrow().health, Health::Connecting);
    redis.start_again().await;
    is(&layer, Health::Healthy).await;
    // The join stood, though nobody could say when it would take effect.
    insist(&layer, &group("lobby"), &message(2)).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [2]);
}

#[tokio::test]
async fn a_hung_redis_is_found_out_and_what_came_meanwhile_is_delivered_in_order() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &message(1)).await;
    redis.stop_process().await;
    is_refused(&layer, 100).await;
    is(&layer, Health::Connecting).await;
    is_refused(&layer, 101).await;
    redis.cont().await;
    // Somebody else is quicker.
    let other = healthy_node(&redis).await;
    for number in 2..=6 {
        send(&other, &lobby, number).await;
    }
    is(&layer, Health::Healthy).await;
    insist(&layer, &lobby, &message(7)).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&7) {
        seen.push(number(&*next_message(&mut mailbox).await));
    }
    // What was under way when Redis hung has an unknown outcome; what was refused without a link has not.
    seen.retain(|number| *number != 100);
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_killed_pubsub_connection_loses_nothing() {
    connections_are_killed("pubsub").await;
}

#[tokio::test]
async fn a_killed_connection_for_commands_loses_nothing() {
    connections_are_killed("normal").await;
}

async fn connections_are_killed(kind: &str) {
    const KILLS: usize = 3;
    let redis = RedisServer::start().await;
    let (one, mut at_one) = member_in_life(&redis).await;
    let (two, mut at_two) = member_in_life(&redis).await;
    let (lobby, killed) = (group("lobby"), Cell::new(false));
    let keep_sending = async |layer: &ResilientLayer, first: u32| {
        let mut sent = 0;
        while !killed.get() || sent < 100 {
            insist(layer, &lobby, &message(first + sent)).await;
            sent += 1;
        }
        sent
    };
    let kill = async {
        let mut beside = Beside::new(&redis).await;
        for _ in 0..KILLS {
            let mut changes = [one.status(), two.status()];
            changes.iter_mut().for_each(|status| status.mark_unchanged());
            let gone: usize = beside.ask(&format!("CLIENT KILL TYPE {kind}")).await;
            assert_eq!(gone, 2, "each node has one connection of a kind");
            for (status, layer) in changes.iter_mut().zip([&one, &two]) {
                timeout(PATIENT, status.changed()).await.expect("a lost connection is noticed").unwrap();
                is(layer, Health::Healthy).await;
            }
        }
        killed.set(true);
    };
    let ((by_one, by_two), ()) = join(join(keep_sending(&one, 0), keep_sending(&two, 1_000_000)), kill).await;

    let count = usize::try_from(by_one + by_two).unwrap();
    let seen = numbers(&mut at_one, count).await;
    assert!(seen == numbers(&mut at_two, count).await, "the members do not agree");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), count, "something came twice");
    let by_sender = |own: fn(&u32) -> bool| seen.iter().copied().filter(own).collect::<Vec<_>>();
    assert_eq!(by_sender(|n| *n < 1_000_000), (0..by_one).collect::<Vec<_>>());
    assert_eq!(by_sender(|n| *n >= 1_000_000), (1_000_000..1_000_000 + by_two).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_an_outage_until_it_does() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &message(1)).await;
    let mut beside = Beside::new(&redis).await;
    beside.ask::<()>("CONFIG SET maxmemory 1").await;
    is_refused(&layer, 2).await;
    is(&layer, Health::Connecting).await;
    beside.ask::<()>("CONFIG SET maxmemory 0").await;
    is(&layer, Health::Healthy).await;
    insist(&layer, &lobby, &message(2)).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2]);
}

#[tokio::test]
async fn a_redis_that_forgot_the_scripts_is_given_them_again() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    Beside::new(&redis).await.ask::<()>("SCRIPT FLUSH").await;
    insist(&layer, &group("lobby"), &message(1)).await;
    insist(&layer, &group("lobby"), &message(2)).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2]);
}

#[tokio::test]
async fn a_layer_that_is_dropped_or_shut_down_leaves_no_connection_behind() {
    let redis = RedisServer::start().await;
    let mut beside = Beside::new(&redis).await;
    let mut clients = async || beside.ask::<String>("CLIENT LIST").await.lines().count();
    let lobby = group("lobby");
    let layer = healthy_node(&redis).await;
    let mut mailbox = member(&layer, &lobby, 8).await;
    assert_eq!(clients().await, 3, "one for commands, one for subscriptions, and this one");
    drop(layer);
    until("a dropped layer's connections end", async || (clients().await == 1).then_some(())).await;
    assert!(matches!(timeout(PATIENT, mailbox.recv()).await, Ok(Received::Closed)));

    let layer = healthy_node(&redis).await;
    timeout(PATIENT, layer.shutdown()).await.unwrap().unwrap();
    until("a closed layer's connections end", async || (clients().await == 1).then_some(())).await;
}
