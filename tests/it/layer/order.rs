//! Several nodes over one Redis: one order everywhere, and nothing left out, whatever else is written there.

use channel_layer::{
    Body, ChannelLayer, Delivery, Health, Message, MessageId, Recovered, ResilientLayer, Retention, Scope,
    Span,
};
use futures_util::future::try_join_all;
use palabre_tests::RedisServer;

use super::nodes::{
    Beside, channel, group, healthy_node, key, member, message, next, next_message, number, numbers,
    numbers_of, offset, send,
};

/// Two nodes over a Redis of their own.
async fn two_nodes() -> (RedisServer, [ResilientLayer; 2]) {
    let redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    (redis, nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_send_at_once_see_one_order() {
    const EACH: u32 = 2_000;
    let (_redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 8192).await, member(&nodes[1], &lobby, 8192).await];
    let answers = (0..2 * EACH).map(|number| {
        let layer = &nodes[usize::from(number >= EACH)];
        layer.group_send(lobby.clone(), message(number), Retention::Kept)
    });
    let sent = try_join_all(answers.collect::<Vec<_>>()).await.unwrap();

    let mut seen = Vec::new();
    for mailbox in &mut mailboxes {
        let mut order = Vec::new();
        for expected in 1..=u64::from(2 * EACH) {
            let posted = next_message(mailbox).await;
            assert_eq!(offset(&posted), expected);
            order.push(number(&posted));
        }
        seen.push(order);
    }
    assert!(seen[0] == seen[1], "the nodes do not agree");
    let of = |from, to| seen[0].iter().copied().filter(move |n| (from..to).contains(n)).collect::<Vec<_>>();
    assert_eq!(of(0, EACH), (0..EACH).collect::<Vec<_>>());
    assert_eq!(of(EACH, 2 * EACH), (EACH..2 * EACH).collect::<Vec<_>>());
    for (offset, number) in (1..).zip(&seen[0]) {
        let sent = &sent[usize::try_from(*number).unwrap()];
        assert_eq!((sent.position.unwrap().offset, sent.scope), (offset, Scope::Cluster));
    }
}

#[tokio::test]
async fn a_node_that_comes_late_reads_what_the_others_read() {
    let (redis, [early, _]) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailbox = member(&early, &lobby, 256).await;
    let first = send(&early, &lobby, 1).await.position.unwrap();
    for number in 2..=150 {
        send(&early, &lobby, number).await;
    }
    numbers(&mut mailbox, 150).await;
    let late = healthy_node(&redis).await;
    let mut newcomer = member(&late, &lobby, 256).await;
    for (span, messages_max) in
        [(Span::Latest, 50), (Span::Latest, 1_000), (Span::After(first), 1_000), (Span::After(first), 20)]
    {
        let mut pages = Vec::new();
        for layer in [&early, &late] {
            let recovered = layer.history(lobby.clone(), span, messages_max).await.unwrap();
            let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
            pages.push((numbers_of(&page), page.head, page.more));
        }
        assert_eq!(pages[0], pages[1], "{span:?} {messages_max}");
    }
    send(&early, &lobby, 151).await;
    assert_eq!(numbers(&mut newcomer, 1).await, [151], "what it read is not delivered as well");
}

#[tokio::test]
async fn a_position_from_one_node_is_good_on_another_at_once() {
    let (_redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let _mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    for number in 1..=50 {
        let position = send(&nodes[0], &lobby, number).await.position.unwrap();
        let after = nodes[1].history(lobby.clone(), Span::After(position), 8).await.unwrap();
        assert!(matches!(&after, Recovered::All(page) if page.messages.is_empty()), "{after:?}");
    }
}

#[tokio::test]
async fn whatever_a_message_carries_reaches_the_other_node_as_it_is() {
    let (_redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailbox = member(&nodes[1], &lobby, 64).await;
    let sender = nodes[0].new_channel(8).channel().at("socket-3").unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let event = Message::event(MessageId::random(), "chat.kick", bytes.clone()).except(sender.clone());
    for retention in [Retention::Kept, Retention::Ephemeral] {
        nodes[0].group_send(lobby.clone(), event.clone(), retention).await.unwrap();
        let posted = next_message(&mut mailbox).await;
        assert_eq!((posted.id, &posted.body), (event.id, &event.body));
        assert_eq!(posted.except.as_ref(), Some(&sender));
        assert_eq!(posted.position.is_some(), retention == Retention::Kept);
    }
    let to = mailbox.channel().at("socket-4").unwrap();
    nodes[0].send(to.clone(), Message::frame(MessageId::random(), bytes.clone())).await.unwrap();
    let Delivery::Direct { to: read, message: direct } = next(&mut mailbox).await else {
        panic!("not direct")
    };
    assert_eq!((read, direct.body), (to, Body::Frame(bytes.into())));
}

#[tokio::test]
async fn what_a_node_did_not_hear_it_delivers_before_what_follows_and_once() {
    let (redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    send(&nodes[0], &lobby, 1).await;
    // The same entry once more, under another id, and nobody is told.
    let hide = r"
        local entry = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][2]
        local offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
        local envelope = entry[10]:sub(1, 2) .. ARGV[1] .. entry[10]:sub(19)
        return redis.call('XADD', KEYS[2], offset .. '-0',
            entry[1], entry[2], entry[3], entry[4], entry[5], ARGV[1], entry[7], entry[8], entry[9], envelope)";
    let mut beside = Beside::new(&redis).await;
    for hidden in [2_u128, 3] {
        beside.eval(hide, &lobby, &[&hidden.to_be_bytes()]).await;
    }
    send(&nodes[0], &lobby, 4).await;
    send(&nodes[1], &lobby, 5).await;
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 5).await, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn a_node_whose_chain_was_broken_sends_again_in_order() {
    let (redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 512).await, member(&nodes[1], &lobby, 512).await];
    send(&nodes[0], &lobby, 0).await;
    let node = mailboxes[0].channel().node().to_owned();
    let mut beside = Beside::new(&redis).await;
    // Behind what the node sent last, elsewhere in its generation, and in one that it has yet to reach.
    for (round, chain) in (0..).zip(["0:0", "1:500", "99:500"]) {
        beside.ask::<i64>(&format!("HSET {} n:{node} {chain}", key(&lobby, "m"))).await;
        let numbers = (1..=100).map(|number| round * 100 + number);
        let answers = numbers.map(|n| nodes[0].group_send(lobby.clone(), message(n), Retention::Kept));
        for answer in answers.collect::<Vec<_>>() {
            answer.await.unwrap();
        }
    }
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 301).await, (0..=300).collect::<Vec<_>>());
    }
    assert_eq!(nodes[0].status().borrow().health, Health::Healthy, "it was no outage");
}

#[tokio::test]
async fn garbage_in_the_channels_is_ignored() {
    let (redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    let before = *nodes[1].status().borrow();
    send(&nodes[0], &lobby, 1).await;
    let mut beside = Beside::new(&redis).await;
    let entries: Vec<(String, Vec<Vec<u8>>)> = beside.ask(&format!("XRANGE {} - +", key(&lobby, "s"))).await;
    let good = entries[0].1[9].clone();
    let epoch = beside.meta(&lobby).await["e"].clone();
    let label = format!("{epoch}{:016x}", 2);

    let megabyte = vec![b'x'; 1 << 20];
    let truncated = &good[..good.len().min(19)];
    let other_version = [&[9], &good[1..]].concat();
    let wrong_label = [&label.as_bytes()[..31], b"z", &good].concat();
    let far_too_long = [label.as_bytes(), &[1], &megabyte].concat();
    let mut payloads = vec![Vec::new(), b"text".to_vec(), megabyte, label.clone().into_bytes(), wrong_label];
    payloads.extend([truncated, &*other_version].map(|rest| [label.as_bytes(), rest].concat()));
    payloads.push(far_too_long);
    let own = format!("test:node:{}", mailboxes[1].channel().node());
    for payload in &payloads {
        for to in [channel(&lobby), own.clone()] {
            let receivers: i64 = beside.ask_bytes(&[b"PUBLISH", to.as_bytes(), payload]).await;
            assert!(receivers >= 1, "nobody heard what was published on {to}");
        }
    }
    send(&nodes[0], &lobby, 2).await;
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 2).await, [1, 2]);
    }
    assert_eq!(*nodes[1].status().borrow(), before);
}
