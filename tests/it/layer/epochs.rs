//! A Redis that forgets, all of it or the last of it: the history begins anew or goes on, and readers are told which.

use std::collections::BTreeSet;

use channel_layer::{
    ChannelLayer, Error, GapReason, Health, Position, Recovered, ResilientLayer, Retention, Span,
};
use palabre_tests::{RedisServer, machine::until};

use super::nodes::{
    Beside, group, healthy_node, history, is, member, message, next_message, next_resync, number, numbers,
    numbers_of, send,
};

async fn read(layer: &ResilientLayer, after: Position) -> (Option<GapReason>, Vec<u32>) {
    let recovered = layer.history(group("lobby"), Span::After(after), 100).await.unwrap();
    match &recovered {
        Recovered::All(page) => (None, numbers_of(page)),
        Recovered::Gap(reason, page) => (Some(*reason), numbers_of(page)),
    }
}

/// Ends Redis and starts it again with what it had saved, and waits until both nodes are back.
async fn restart(redis: &mut RedisServer, nodes: &[ResilientLayer; 2]) {
    redis.kill().await;
    for layer in nodes {
        is(layer, Health::Connecting).await;
    }
    redis.start_again().await;
    for layer in nodes {
        is(layer, Health::Healthy).await;
    }
}

#[tokio::test]
async fn after_a_flush_the_next_send_begins_an_epoch_and_members_are_told() {
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
    assert_eq!(new.offset, 1);
    for mailbox in &mut mailboxes {
        let (reason, page) = next_resync(mailbox).await;
        assert_eq!((reason, page.head.epoch), (GapReason::UnknownEpoch, new.epoch));
        // A node opens the group before it sends, or because it was sent something.
        let mut seen = numbers_of(&page);
        if seen.is_empty() {
            seen.push(number(&*next_message(mailbox).await));
        }
        assert_eq!(seen, [3]);
    }
    send(&nodes[1], &lobby, 4).await;
    for mailbox in &mut mailboxes {
        let posted = next_message(mailbox).await;
        assert_eq!((number(&posted), posted.position), (4, Some(Position { offset: 2, ..new })));
    }
    for layer in &nodes {
        assert_eq!(read(layer, old).await, (Some(GapReason::UnknownEpoch), vec![3, 4]));
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
async fn a_restart_that_loses_the_last_messages_tells_those_who_had_them() {
    let mut redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    for number in 1..=5 {
        send(&nodes[0], &lobby, number).await;
    }
    redis.save().await;
    let mut lost = send(&nodes[0], &lobby, 6).await.position.unwrap();
    for number in 7..=10 {
        lost = send(&nodes[1], &lobby, number).await.position.unwrap();
    }
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 10).await, (1..=10).collect::<Vec<_>>());
    }
    restart(&mut redis, &nodes).await;

    for mailbox in &mut mailboxes {
        let (reason, page) = next_resync(mailbox).await;
        assert_eq!((reason, numbers_of(&page)), (GapReason::Rebuilt, vec![1, 2, 3, 4, 5]));
        assert_eq!(page.head.offset, 5);
    }
    let new = send(&nodes[0], &lobby, 11).await.position.unwrap();
    assert_eq!(new.offset, 6);
    assert_ne!(new.epoch, lost.epoch, "a position names one message for ever");
    for mailbox in &mut mailboxes {
        assert_eq!(next_message(mailbox).await.position, Some(new));
    }
    for layer in &nodes {
        let kept = Position { offset: 5, ..lost };
        assert_eq!(read(layer, kept).await, (None, vec![11]));
        assert_eq!(read(layer, lost).await, (Some(GapReason::Rebuilt), vec![1, 2, 3, 4, 5, 11]));
    }
    // A sender that stood among what was lost has seen no more than what is left: as if ids from behind that were forgotten.
    let forget = "local h = head() h[4] = 8 set_head(h)";
    Beside::new(&redis).await.eval(forget, &lobby, &[]).await;
    let late = message(12).with_floor(Some(Position { offset: 9, ..lost }));
    let refused = nodes[0].group_send(lobby.clone(), late, Retention::Kept).await;
    assert_eq!(refused, Err(Error::Undecided));
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
    assert!(matches!(&recovered, Recovered::All(page) if page.messages.is_empty()), "{recovered:?}");
    let (reason, page) = next_resync(&mut mailbox).await;
    assert_eq!((reason, page.head), (GapReason::UnknownEpoch, recovered.page().head));
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
        assert!(page.messages.is_empty(), "{loss}");
        let sent = send(&writer, &lobby, 1_000 + round).await.position.unwrap();
        assert_eq!((sent.epoch, sent.offset), (page.head.epoch, 1), "{loss}");
        let (reason, page) = next_resync(&mut mailbox).await;
        assert_eq!((reason, page.head.epoch), (GapReason::UnknownEpoch, sent.epoch), "{loss}");
        if page.messages.is_empty() {
            numbers(&mut mailbox, 1).await;
        }
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
