//! What is in Redis: how much, for how long, under which names, and what a send costs there.

use std::{collections::BTreeMap, sync::Arc};

use channel_layer::{
    Amendment, Bounds, ChannelLayer, Error, GapReason, Health, Message, MessageId, Mode, Owner, Position,
    Recovered, RedisRelay, ResilientLayer, Retention, Span,
};
use futures_util::future::try_join_all;
use palabre_tests::RedisServer;
use redis::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
};

use super::amended::assert_whole;
use super::nodes::{
    Beside, PATIENT, PREFIX, channel, group, healthy_node, history, is, member, message, numbers, send,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_group_s_history_keeps_about_a_thousand_messages() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let first = send(&layer, &lobby, 1).await.position.unwrap();
    let answers = (2..=5_000).map(|n| layer.group_send(lobby.clone(), message(n), Retention::Kept));
    let sent = try_join_all(answers.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(sent.last().unwrap().position.unwrap().offset, 5_000);

    let mut beside = Beside::new(&redis).await;
    let stored = beside.stored(&lobby).await;
    let (kept, trimmed) = (stored.entries.len() as u64, stored.trimmed());
    assert!((1_000..=1_064).contains(&kept), "{kept} are kept");
    assert_eq!(stored.meta["t"][..16], stored.meta["e"]);
    assert_eq!(stored.number("last") - trimmed, kept);
    assert_whole(&mut beside).await;

    let recovered = layer.history(lobby.clone(), Span::After(first), 10).await.unwrap();
    assert!(matches!(recovered, Recovered::Gap(GapReason::Trimmed, _)), "{recovered:?}");
    let last_dropped = Position { offset: trimmed, ..first };
    let recovered = layer.history(lobby, Span::After(last_dropped), 2_000).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    assert_eq!(page.messages.len() as u64, kept);
}

#[tokio::test]
async fn large_messages_are_kept_up_to_a_mebibyte() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let answers = (0..700).map(|number: u16| {
        let large = Message::frame(MessageId::from_u128(number.into()), vec![b'x'; 2_048]);
        layer.group_send(lobby.clone(), large, Retention::Kept)
    });
    try_join_all(answers.collect::<Vec<_>>()).await.unwrap();
    let mut beside = Beside::new(&redis).await;
    assert_whole(&mut beside).await;
    let bytes = beside.stored(&lobby).await.number("bytes");
    assert!((900_000..=(1 << 20) * 17 / 16).contains(&bytes), "{bytes} bytes are kept");
}

#[tokio::test]
async fn the_index_of_ids_is_bounded_and_says_when_it_has_forgotten() {
    let redis = RedisServer::start().await;
    let mut bounds = Bounds::default();
    (bounds.history.messages, bounds.ids) = (2, 2);
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap().with_bounds(bounds);
    let layer = ResilientLayer::with_bounds(Arc::new(relay), Mode::Redis, PATIENT, bounds);
    is(&layer, Health::Healthy).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 256).await;
    let mut beside = Beside::new(&redis).await;
    let mut positions = Vec::new();
    // It forgets 64 at a time.
    for number in 0..128 {
        positions.push(send(&layer, &lobby, number).await.position.unwrap());
    }
    assert_eq!(beside.stored(&lobby).await.ids.len(), 2);
    assert_whole(&mut beside).await;
    let repeat = async |number: u32, floor| {
        let repeat = message(number).with_floor(Some(floor));
        layer.group_send(lobby.clone(), repeat, Retention::Kept).await
    };
    // What stood before the last two is forgotten, and so nobody can know what became of a send from back then.
    assert_eq!(repeat(0, positions[0]).await, Err(Error::Undecided));
    assert_eq!(repeat(200, Position { offset: 125, ..positions[0] }).await, Err(Error::Undecided));
    for number in [126, 127] {
        let known = repeat(number, positions[0]).await.unwrap();
        assert_eq!(known.position, Some(positions[usize::try_from(number).unwrap()]));
    }
    assert_eq!(repeat(201, positions[125]).await.unwrap().position.unwrap().offset, 129);
    send(&layer, &lobby, 202).await;
    let expected: Vec<u32> = (0..128).chain([201, 202]).collect();
    assert_eq!(numbers(&mut mailbox, 130).await, expected);
}

#[tokio::test]
async fn every_key_has_the_prefix_the_group_s_hash_tag_and_an_end() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let _mailbox = member(&layer, &lobby, 8).await;
    let mut beside = Beside::new(&redis).await;
    send(&layer, &lobby, 1).await;
    let (_, mut keys): (u64, Vec<String>) = beside.ask("SCAN 0 COUNT 1000").await;
    keys.sort();
    // The list of the nodes is no group's.
    let nodes = "test:nodes";
    assert_eq!(keys, [nodes.to_owned(), history(&lobby)]);
    for key in keys {
        let left: i64 = beside.ask(&format!("PTTL {key}")).await;
        // A sixteenth more than the age, for it is not renewed with every message.
        let whole = if key == nodes { 15_000 } else { DAY_MS * 17 / 16 };
        assert!((whole - 60_000..=whole).contains(&left), "{key} has {left} ms left");
    }
}

#[tokio::test]
async fn what_nobody_writes_to_is_soon_forgotten_and_its_members_never_notice() {
    let redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 8).await, member(&nodes[1], &lobby, 8).await];
    let mut beside = Beside::new(&redis).await;
    let left: i64 = beside.ask(&format!("PTTL {}", history(&lobby))).await;
    assert!((540_000..=600_000).contains(&left), "{left} ms left");
    // As after those ten minutes.
    beside.ask::<u64>(&format!("DEL {}", history(&lobby))).await;
    send(&nodes[0], &lobby, 1).await;
    send(&nodes[1], &lobby, 2).await;
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 2).await, [1, 2]);
    }
    assert_eq!(nodes.map(|layer| layer.report().counts.gaps), [0, 0]);
    let left: i64 = beside.ask(&format!("PTTL {}", history(&lobby))).await;
    assert!(left > DAY_MS, "it has a message now");
}

#[tokio::test]
async fn a_send_is_one_command() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 512).await;
    let mut beside = Beside::new(&redis).await;
    let mut asked = asked_from_now(&redis).await;
    for number in 0..100 {
        send(&layer, &lobby, number).await;
    }
    let together = (100..200).map(|n| layer.group_send(lobby.clone(), message(n), Retention::Kept));
    try_join_all(together.collect::<Vec<_>>()).await.unwrap();
    numbers(&mut mailbox, 200).await;
    assert_eq!(until_now(&mut asked, &mut beside).await, BTreeMap::from([("EVALSHA".to_owned(), 200)]));

    // The first send into another group opens it, once, and asks to hear it; what is ephemeral needs no script.
    for number in 200..210 {
        send(&layer, &group("garden"), number).await;
    }
    layer.group_send(lobby, message(300), Retention::Ephemeral).await.unwrap();
    let expected = [("EVALSHA", 11), ("PUBLISH", 1), ("SUBSCRIBE", 1)];
    let expected = expected.map(|(command, count)| (command.to_owned(), count)).into();
    assert_eq!(until_now(&mut asked, &mut beside).await, expected);
}

type Asked = Lines<BufReader<TcpStream>>;

/// What Redis is asked by its clients.
async fn asked_from_now(redis: &RedisServer) -> Asked {
    let mut monitor = TcpStream::connect(("127.0.0.1", redis.port())).await.unwrap();
    monitor.write_all(b"MONITOR\r\n").await.unwrap();
    let mut lines = BufReader::new(monitor).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("+OK"));
    lines
}

/// How often which command was asked for since the last time; pings apart, and what scripts do.
async fn until_now(asked: &mut Asked, beside: &mut Beside) -> BTreeMap<String, u32> {
    beside.ask::<String>("ECHO now").await;
    let mut commands = BTreeMap::new();
    loop {
        // +1700000000.123456 [0 127.0.0.1:50000] "EVALSHA" "…"
        let line = asked.next_line().await.unwrap().expect("Redis lives");
        let command = line.split('"').nth(1).unwrap_or_else(|| panic!("{line}"));
        match command {
            "ECHO" => return commands,
            "PING" => {}
            _ if line.contains(" lua] ") => {}
            // The canary, to the node itself.
            "PUBLISH" if line.contains(":node:") => {}
            _ => *commands.entry(command.to_owned()).or_default() += 1,
        }
    }
}

#[tokio::test]
async fn a_node_is_one_subscriber_however_many_mailboxes_it_has() {
    let redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = Vec::new();
    for layer in &nodes {
        for _ in 0..5 {
            mailboxes.push(member(layer, &lobby, 8).await);
        }
    }
    let mut beside = Beside::new(&redis).await;
    let (_, subscribers): (String, u64) = beside.ask(&format!("PUBSUB NUMSUB {}", channel(&lobby))).await;
    assert_eq!(subscribers, 2);
    send(&nodes[0], &lobby, 1).await;
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 1).await, [1]);
    }
}

#[tokio::test]
async fn a_user_with_no_more_rights_than_the_document_lists_is_enough() {
    let document = include_str!("../../../docs/channel-layer-spec.md");
    let (_, access) = document.split_once("- **Access.**").unwrap();
    let (access, _) = access.split_once("on keys and channels").unwrap();
    let rights = access.split('`').skip(1).step_by(2).map(|command| format!("+{command}"));
    let rights = rights.collect::<Vec<_>>().join(" ").to_lowercase();
    let redis = RedisServer::start().await;
    let mut beside = Beside::new(&redis).await;
    beside.ask::<()>(&format!("ACL SETUSER hub on >secret ~{PREFIX}:* &{PREFIX}:* -@all {rights}")).await;
    let url = format!("redis://hub:secret@127.0.0.1:{}", redis.port());
    let relay = Arc::new(RedisRelay::new(&url, PREFIX).unwrap());
    let layer = ResilientLayer::new(relay, Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 256).await;
    for number in 0..150 {
        send(&layer, &lobby, number).await;
    }
    let (garden, mine) = (group("garden"), |number| message(number).owned_by(Owner::from_u64(1)));
    layer.group_send(garden.clone(), mine(1), Retention::Kept).await.unwrap();
    layer.amend(garden, message(1).id, mine(2), Amendment::Replace).await.unwrap();
    // A history that is asked of Redis, one that begins anew, and one that is trimmed.
    send(&layer, &lobby, 150).await;
    assert_eq!(numbers(&mut mailbox, 151).await, (0..=150).collect::<Vec<_>>());
    layer.history(lobby.clone(), Span::Latest, 1_000).await.unwrap();
    layer.group_send(lobby.clone(), message(151), Retention::Ephemeral).await.unwrap();
    beside.ask::<()>("FLUSHALL").await;
    send(&layer, &lobby, 152).await;
    let answers = (1_000..2_200).map(|n| layer.group_send(lobby.clone(), message(n), Retention::Kept));
    try_join_all(answers.collect::<Vec<_>>()).await.unwrap();
    let denied: Vec<Value> = beside.ask("ACL LOG").await;
    assert!(denied.is_empty(), "{denied:?}");
}
