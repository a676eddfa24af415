//! Several nodes over one Redis: nothing left out and nothing out of order, whatever else is written there.

use channel_layer::{ChannelLayer, Health, ResilientLayer, Retention};
use palabre_tests::RedisServer;

use super::nodes::{Beside, channel, group, healthy_node, history, member, message, numbers, send};

/// Two nodes over a Redis of their own.
async fn two_nodes() -> (RedisServer, [ResilientLayer; 2]) {
    let redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    (redis, nodes)
}

#[tokio::test]
async fn what_a_node_did_not_hear_it_delivers_before_what_follows_and_once() {
    let (redis, nodes) = two_nodes().await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    send(&nodes[0], &lobby, 1).await;
    // The same entry once more, under another id, and nobody is told.
    let hide = r"
        local h, entry = head(), redis.call('HGET', KEYS[1], '1')
        h[1] = h[1] + 1
        set_head(h)
        entry = entry:sub(1, 26) .. string.format('%016x', h[1]) .. entry:sub(43, 44) .. ARGV[1] .. entry:sub(61)
        return redis.call('HSET', KEYS[1], h[1], entry)";
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
        let field = format!("n:{node}");
        let present = beside.meta(&lobby).await[&field][..32].to_owned();
        beside.ask::<i64>(&format!("HSET {} {field} {present}{chain}", history(&lobby))).await;
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
    let stored = beside.stored(&lobby).await;
    let (good, epoch) = (stored.entries[&1][42..].to_vec(), &stored.meta["e"]);
    let label = format!("1700000000{epoch}{:016x}", 2);

    let megabyte = vec![b'x'; 1 << 20];
    let truncated = &good[..good.len().min(19)];
    let other_version = [&[9], &good[1..]].concat();
    let wrong_label = [&label.as_bytes()[..41], b"z", &good].concat();
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
