//! A Redis that forgets, all of it or the last of it: the history begins anew or goes on, and readers are told which.

use std::collections::BTreeSet;

use channel_layer::{
    ChannelLayer, Delivery, GapReason, Health, Mailbox, Position, Recovered, ResilientLayer, Span,
};
use palabre_tests::{RedisServer, machine::until};

use super::nodes::{
    Beside, group, healthy_node, history, is, member, next, next_gap, next_message, next_placed, number,
    numbers, numbers_of, send,
};

pub(super) async fn read(layer: &ResilientLayer, after: Position) -> (Option<GapReason>, Vec<u32>) {
    let recovered = layer.history(group("lobby"), Span::After(after), 100).await.unwrap();
    match &recovered {
        Recovered::All(page) => (None, numbers_of(page)),
        Recovered::Gap(reason, page) => (Some(*reason), numbers_of(page)),
    }
}

/// Ends Redis and starts it again with what it had saved, and waits until both nodes are back.
pub(super) async fn restart(redis: &mut RedisServer, nodes: &[ResilientLayer; 2]) {
    redis.kill().await;
    for layer in nodes {
        is(layer, Health::Degraded).await;
    }
    redis.start_again().await;
    for layer in nodes {
        is(layer, Health::Healthy).await;
    }
}

#[tokio::test]
async fn after_a_flush_the_next_send_begins_an_epoch_behind_what_the_nodes_put_back() {
    let redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    let old = send(&nodes[0], &lobby, 1).await.position.unwrap();
    send(&nodes[1], &lobby, 2).await;
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 2).await, [1, 2]);
    }
    Beside::new(&redis).await.ask::<()>("FLUSHALL").await;

    let new = send(&nodes[0], &lobby, 3).await.position.unwrap();
    assert_ne!(new.epoch, old.epoch);
    assert_eq!(new.offset, 3);
    for mailbox in &mut mailboxes {
        assert_eq!(next_gap(mailbox).await, (GapReason::Rebuilt, 0));
        for number in [1, 2] {
            let place = Position { offset: u64::from(number), ..new };
            assert_eq!(next_placed(mailbox).await, (number, place), "nobody gets it twice");
        }
        assert_eq!(numbers(mailbox, 1).await, [3]);
    }
    send(&nodes[1], &lobby, 4).await;
    for mailbox in &mut mailboxes {
        let posted = next_message(mailbox).await;
        assert_eq!((number(&posted), posted.position), (4, Some(Position { offset: 4, ..new })));
    }
    for layer in &nodes {
        let recovered = layer.history(lobby.clone(), Span::After(old), 100).await.unwrap();
        let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
        assert_eq!(numbers_of(&page), [1, 2, 3, 4], "from where the epoch is not what it was");
        assert_eq!(page.messages[0].was[..], [old], "who has seen it knows it by that");
        assert_eq!(layer.report().counts.spool_dropped, 0);
    }
}

#[tokio::test]
async fn a_restart_that_loses_nothing_costs_nobody_anything() {
    let mut redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    let old = send(&nodes[0], &lobby, 1).await.position.unwrap();
    for number in 2..=5 {
        send(&nodes[0], &lobby, number).await;
    }
    redis.save().await;
    restart(&mut redis, &nodes).await;

    let meta = Beside::new(&redis).await.meta(&lobby).await;
    assert_ne!(meta["e"], old.epoch.to_string());
    assert_eq!(meta["p"], format!("{}:5:5", old.epoch));
    for layer in &nodes {
        assert_eq!(read(layer, Position { offset: 2, ..old }).await, (None, vec![3, 4, 5]));
        assert_eq!(read(layer, Position { offset: 5, ..old }).await, (None, vec![]));
    }
    let new = send(&nodes[1], &lobby, 6).await.position.unwrap();
    assert_eq!((new.epoch.to_string(), new.offset), (meta["e"].clone(), 6));
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 6).await, [1, 2, 3, 4, 5, 6], "nobody was told to begin anew");
    }
    for layer in &nodes {
        assert_eq!(read(layer, Position { offset: 4, ..old }).await, (None, vec![5, 6]));
    }
}

#[tokio::test]
async fn a_group_that_redis_has_forgotten_can_still_be_read() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 256).await;
    // More than a node's own copy holds, so that the question goes to Redis.
    for number in 0..150 {
        send(&layer, &lobby, number).await;
    }
    numbers(&mut mailbox, 150).await;
    // As at the end of a day without a word.
    Beside::new(&redis).await.ask::<()>("FLUSHALL").await;
    let recovered = layer.history(lobby.clone(), Span::Latest, 200).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    // What the node had, behind the word that there was more.
    let kept: Vec<u32> = page.messages[1..].iter().map(|posted| number(posted)).collect();
    assert_eq!(kept, (50..150).collect::<Vec<_>>());
    assert_eq!(next_gap(&mut mailbox).await.0, GapReason::Rebuilt);
}

/// What comes before the message of this number.
async fn until_message(mailbox: &mut Mailbox, expected: u32) -> Vec<Delivery> {
    let mut before = Vec::new();
    loop {
        match next(mailbox).await {
            Delivery::Message(posted) => {
                assert_eq!(number(&posted), expected);
                return before;
            }
            other => before.push(other),
        }
    }
}

#[tokio::test]
async fn a_history_that_is_lost_or_damaged_or_kept_in_another_form_begins_anew() {
    let redis = RedisServer::start().await;
    let writer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut beside = Beside::new(&redis).await;
    let mut mailbox = member(&writer, &lobby, 1_024).await;
    let losses = ["DEL", "HDEL e", "HDEL h", "HSET v 2"];
    for (round, loss) in (0..).zip(losses) {
        // More than a node's own copy holds, so that the question goes to Redis.
        let mut old = None;
        for number in 0..150 {
            old = send(&writer, &lobby, round * 150 + number).await.position;
        }
        numbers(&mut mailbox, 150).await;
        let (command, what) = loss.split_once(' ').unwrap_or((loss, ""));
        beside.ask::<i64>(format!("{command} {} {what}", history(&lobby)).trim_end()).await;
        // Whether a node asks that has the group open, or one that comes.
        let reader = if round % 2 == 0 { &writer } else { &healthy_node(&redis).await };
        let recovered = reader.history(lobby.clone(), Span::Latest, 200).await.unwrap();
        let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
        assert_ne!(page.head.epoch, old.unwrap().epoch, "{loss}");
        let sent = send(&writer, &lobby, 1_000 + round).await.position.unwrap();
        assert_eq!(sent.epoch, page.head.epoch, "{loss}");
        // Nobody gets twice what is put back.
        let rest = until_message(&mut mailbox, 1_000 + round).await;
        assert!(matches!(rest[0], Delivery::Gap { reason: GapReason::Rebuilt, .. }), "{loss}: {:?}", rest[0]);
        let is_place = |delivery: &Delivery| matches!(delivery, Delivery::Placed { .. });
        assert!(rest[1..].iter().all(is_place), "{loss}");
    }
}

#[tokio::test]
async fn a_first_replica_costs_nobody_anything_though_it_changes_what_redis_is() {
    let redis = RedisServer::start().await;
    let one = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&one, &lobby, 64).await;
    let first = send(&one, &lobby, 0).await.position.unwrap();
    let replica = RedisServer::start().await;
    let mut beside = Beside::new(&redis).await;
    let replid = async |beside: &mut Beside| {
        let info: String = beside.ask("INFO replication").await;
        let line = info.lines().find_map(|line| line.strip_prefix("master_replid:"));
        line.unwrap().to_owned()
    };
    let before = replid(&mut beside).await;
    Beside::new(&replica).await.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", redis.port())).await;
    until("the replica is there", async || (replid(&mut beside).await != before).then_some(())).await;

    // One node has connected before that, one after it.
    let two = healthy_node(&redis).await;
    let _member = member(&two, &lobby, 64).await;
    let mut epochs = BTreeSet::new();
    for number in 1..=12 {
        let layer = if number % 2 == 0 { &one } else { &two };
        let sent = send(layer, &lobby, number).await.position.unwrap();
        assert_eq!(sent.offset, u64::from(number) + 1);
        epochs.insert(sent.epoch.as_u64());
        // What is opened by whoever joins or looks begins nothing either.
        let _member = member(layer, &group(&format!("g{number}")), 8).await;
        send(if number % 2 == 0 { &two } else { &one }, &group(&format!("g{number}")), number).await;
    }
    assert_eq!(epochs.len(), 1, "it begins one epoch, once");
    assert_eq!(numbers(&mut mailbox, 13).await, (0..=12).collect::<Vec<_>>());
    for layer in [&one, &two] {
        assert_eq!(read(layer, first).await, (None, (1..=12).collect()));
        assert_eq!(layer.report().counts.gaps, 0);
    }
    assert_eq!(beside.meta(&lobby).await["p"].split(' ').count(), 1);
    assert!(!beside.meta(&group("g7")).await.contains_key("p"));
}
