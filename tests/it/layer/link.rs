//! The link to Redis is lost in every way that a test can bring about, and comes back by itself.

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use channel_layer::{
    ChannelLayer, Delivery, GapReason, Health, Mailbox, Position, Received, ResilientLayer, Retention, Scope,
    Span,
};
use futures_util::future::join;
use palabre_tests::{RedisServer, machine::until};
use tokio::time::{sleep, timeout};

use super::nodes::{
    Beside, IN_LIFE, PATIENT, group, healthy_node, insist, is, member, message, next, next_gap, next_message,
    next_placed, node, number, numbers, numbers_of, send,
};

/// Sends, and is told that it reached this node.
async fn reaches_this_node(layer: &ResilientLayer, id: u32) {
    let sent =
        layer.group_send(group("lobby"), message(id), Retention::Kept).await.expect("a send at any time");
    assert_eq!((sent.scope, sent.position), (Scope::Node, None));
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
async fn a_killed_redis_is_missed_and_found_again_and_nobody_misses_anything() {
    let mut redis = RedisServer::start().await;
    let (one, mut at_one) = member_in_life(&redis).await;
    let (two, mut at_two) = member_in_life(&redis).await;
    let lobby = group("lobby");
    let before = insist(&one, &lobby, &message(1)).await.position.unwrap();
    for mailbox in [&mut at_one, &mut at_two] {
        assert_eq!(numbers(mailbox, 1).await, [1]);
    }
    redis.kill().await;
    for layer in [&one, &two] {
        is(layer, Health::Degraded).await;
    }
    for (layer, mailbox, id) in [(&one, &mut at_one, 2), (&two, &mut at_two, 3)] {
        reaches_this_node(layer, id).await;
        let posted = next_message(mailbox).await;
        assert_eq!((number(&posted), posted.position, posted.retention), (id, None, Retention::Kept));
    }
    let mut newcomer = one.new_channel(8);
    one.group_add(group("garden"), newcomer.channel().clone()).await.expect("a join at any time");

    redis.start_again().await;
    for layer in [&one, &two] {
        is(layer, Health::Healthy).await;
    }
    // It came back empty. What both had is put back, once, and what each said by itself comes to the other.
    let kept = one.history(lobby.clone(), Span::Latest, 10).await.unwrap();
    let kept = kept.page();
    assert_eq!(kept.messages[0].was[..], [before]);
    let mut ids = numbers_of(kept);
    ids.sort_unstable();
    assert_eq!((ids, kept.head.offset), (vec![1, 2, 3], 3));
    assert_ne!(kept.head.epoch, before.epoch);
    for (mailbox, own, others) in [(&mut at_one, 2, 3), (&mut at_two, 3, 2)] {
        assert_eq!(next_gap(mailbox).await.0, GapReason::Rebuilt);
        assert_eq!(next_placed(mailbox).await, (1, Position { offset: 1, ..kept.head }));
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(match next(mailbox).await {
                Delivery::Placed { id, position, .. } => (position.offset, id.as_u128(), false),
                Delivery::Message(posted) => (posted.position.unwrap().offset, posted.id.as_u128(), true),
                other => panic!("{other:?}"),
            });
        }
        assert!(seen.is_sorted());
        let news: Vec<_> = seen.iter().map(|(_, id, is_new)| (*id, *is_new)).collect();
        assert!(news.contains(&(own, false)) && news.contains(&(others, true)), "{news:?}");
    }
    insist(&two, &group("garden"), &message(4)).await;
    assert_eq!(numbers(&mut newcomer, 1).await, [4]);
}

#[tokio::test]
async fn a_node_that_starts_without_redis_serves_and_joins_it_later() {
    let mut redis = RedisServer::start().await;
    redis.kill().await;
    let layer = node(&redis, IN_LIFE);
    is(&layer, Health::Degraded).await;
    let (lobby, mut mailbox) = (group("lobby"), layer.new_channel(8));
    layer.group_add(lobby.clone(), mailbox.channel().clone()).await.expect("a join at any time");
    reaches_this_node(&layer, 1).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [1]);
    redis.start_again().await;
    is(&layer, Health::Healthy).await;
    let other = healthy_node(&redis).await;
    let kept = other.history(lobby.clone(), Span::Latest, 8).await.unwrap();
    assert_eq!(numbers_of(kept.page()), [1]);
    assert_eq!(next_placed(&mut mailbox).await.0, 1);
    send(&other, &lobby, 2).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [2]);
}

#[tokio::test]
async fn a_hung_redis_is_found_out_and_what_came_meanwhile_is_delivered_in_order() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &message(1)).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [1]);
    redis.stop_process().await;
    // The first is in the hung connection, and the second never leaves.
    reaches_this_node(&layer, 2).await;
    is(&layer, Health::Degraded).await;
    reaches_this_node(&layer, 3).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [2, 3]);
    redis.cont().await;
    is(&layer, Health::Healthy).await;
    let other = healthy_node(&redis).await;
    let mut late = member(&other, &lobby, 64).await;
    for number in 4..=6 {
        send(&other, &lobby, number).await;
    }
    for id in [2, 3] {
        assert_eq!(next_placed(&mut mailbox).await.0, id);
    }
    assert_eq!(numbers(&mut mailbox, 3).await, [4, 5, 6]);
    let kept = other.history(lobby.clone(), Span::Latest, 8).await.unwrap();
    assert_eq!(numbers_of(kept.page()), [1, 2, 3, 4, 5, 6], "each once, whatever Redis did with the first");
    assert_eq!(numbers(&mut late, 3).await, [4, 5, 6]);
}

#[tokio::test]
async fn a_late_publish_is_no_outage() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &message(1)).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [1]);
    Beside::new(&redis).await.ask::<()>("CLIENT PAUSE 350 WRITE").await;
    reaches_this_node(&layer, 2).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [2]);
    assert_eq!(next_placed(&mut mailbox).await.0, 2, "it comes late, and is there already");
    assert_ne!(layer.status().borrow().health, Health::Degraded);
    is(&layer, Health::Healthy).await;
    assert_eq!(layer.report().counts.heals, 0);
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
    let [one, two] = [node(&redis, IN_LIFE), node(&redis, IN_LIFE)];
    let [mut at_one, mut at_two] = [one.new_channel(1 << 17), two.new_channel(1 << 17)];
    for (layer, mailbox) in [(&one, &at_one), (&two, &at_two)] {
        is(layer, Health::Healthy).await;
        join_at_last(layer, mailbox).await;
    }
    let (lobby, killed) = (group("lobby"), Cell::new(false));
    let keep_sending = async |layer: &ResilientLayer, first: u32| {
        let mut sent = 0;
        while !killed.get() || sent < 100 {
            insist(layer, &lobby, &message(first + sent)).await;
            sent += 1;
            // Without Redis an answer is there at once.
            sleep(Duration::from_millis(1)).await;
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
    for mailbox in [&mut at_one, &mut at_two] {
        let seen = all_of(mailbox, count).await;
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), count, "something came twice");
        let by_sender = |own: fn(&u32) -> bool| seen.iter().copied().filter(own).collect::<Vec<_>>();
        assert_eq!(by_sender(|n| *n < 1_000_000), (0..by_one).collect::<Vec<_>>());
        assert_eq!(by_sender(|n| *n >= 1_000_000), (1_000_000..1_000_000 + by_two).collect::<Vec<_>>());
    }
    let kept = one.history(lobby.clone(), Span::Latest, 1_000).await.unwrap();
    let other = two.history(lobby, Span::Latest, 1_000).await.unwrap();
    assert_eq!(numbers_of(kept.page()), numbers_of(other.page()), "the nodes do not agree");
}

/// The numbers of so many messages, with a position or without; where those stand that had none is left out.
async fn all_of(mailbox: &mut Mailbox, count: usize) -> Vec<u32> {
    let mut seen = Vec::with_capacity(count);
    while seen.len() < count {
        match next(mailbox).await {
            Delivery::Message(posted) => seen.push(number(&posted)),
            Delivery::Placed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    seen
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_an_outage_until_it_does() {
    let redis = RedisServer::start().await;
    let (layer, mut mailbox) = member_in_life(&redis).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &message(1)).await;
    let mut beside = Beside::new(&redis).await;
    beside.ask::<()>("CONFIG SET maxmemory 1").await;
    reaches_this_node(&layer, 2).await;
    is(&layer, Health::Degraded).await;
    reaches_this_node(&layer, 3).await;
    assert_eq!(numbers(&mut mailbox, 3).await, [1, 2, 3]);
    beside.ask::<()>("CONFIG SET maxmemory 0").await;
    is(&layer, Health::Healthy).await;
    for id in [2, 3] {
        assert_eq!(next_placed(&mut mailbox).await.0, id);
    }
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
