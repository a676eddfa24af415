//! Many at once: joiners in the middle of a flood, senders against each other, and one who does not keep up.

use futures_util::future::join_all;
use palabre_tests::raw::CLOSE;
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::{hub, member, newcomer};

/// Messages of the flood that people join.
const FLOOD: u64 = 2_000;
const JOINERS: u64 = 20;

#[tokio::test]
async fn who_joins_during_a_flood_sees_its_snapshot_and_then_each_message_once() {
    let hub = hub().await;
    let mut sender = member(&hub).await;
    let (sent, _) = watch::channel(0);
    let flood = async {
        for offset in 1..=FLOOD {
            assert_eq!(sender.send("lobby", "one of many").await["position"]["offset"], offset);
            assert_eq!(sender.message().await.0, offset);
            sent.send_replace(offset);
        }
    };
    let joiners = (0..JOINERS).map(|turn| {
        let mut sent = sent.subscribe();
        let hub = &hub;
        async move {
            let mut client = newcomer(hub).await;
            // One after the other, and the last still in the midst of it.
            sent.wait_for(|sent| *sent >= turn * (FLOOD - 200) / JOINERS).await.unwrap();
            let joined = client.join("lobby").await;
            let head = joined["position"]["offset"].as_u64().unwrap();
            let snapshot = joined["snapshot"]["messages"].as_array().unwrap().iter();
            let offsets: Vec<_> =
                snapshot.map(|message| message["position"]["offset"].as_u64().unwrap()).collect();
            assert_eq!(offsets, (head.saturating_sub(50) + 1..=head).collect::<Vec<_>>());
            for offset in head + 1..=FLOOD {
                assert_eq!(client.message().await.0, offset, "joined at {head}");
            }
            assert!(client.so_far().await.is_empty());
            head
        }
    });
    let ((), heads) = tokio::join!(flood, join_all(joiners));
    assert!(heads.iter().any(|head| (1..FLOOD).contains(head)), "nobody joined during the flood: {heads:?}");
}

#[tokio::test]
async fn what_two_send_at_once_comes_to_all_in_one_order() {
    const EACH: u64 = 300;
    let hub = hub().await;
    // Enough for more than one worker to have some of them.
    let mut listeners = join_all((0..70).map(|_| member(&hub))).await;
    let (mut ana, mut bo) = (member(&hub).await, member(&hub).await);
    let speak = async |client: &mut Client, name: &str| {
        for count in 0..EACH {
            client.send("lobby", &format!("{name} {count}")).await;
        }
    };
    tokio::join!(speak(&mut ana, "ana"), speak(&mut bo, "bo"));
    let mut order = Vec::new();
    for offset in 1..=2 * EACH {
        let (at, message) = ana.message().await;
        assert_eq!(at, offset);
        order.push(message["id"].clone());
    }
    listeners.push(bo);
    for listener in &mut listeners {
        for (offset, id) in (1..).zip(&order) {
            let (at, message) = listener.message().await;
            assert_eq!((at, &message["id"]), (offset, id));
        }
    }
}

/// Joins the lobby and never reads again, with little room in its kernel.
async fn deaf_member(hub: &HubProcess) -> RawClient {
    let socket = TcpSocket::new_v4().expect("there is IPv4");
    socket.set_recv_buffer_size(4 << 10).expect("a buffer may be small");
    let stream = socket.connect(hub.addr()).await.expect("the hub listens");
    let mut deaf = RawClient::open(stream, &[]).await;
    deaf.hello().await;
    deaf.text(r#"{"type":"join","ref":"join","groups":[{"group":"lobby"}]}"#).await;
    assert_eq!(deaf.json().await["type"], "joined");
    deaf
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_the_others_miss_nothing() {
    const MESSAGES: u64 = 20_000;
    const BATCH: u64 = 100;
    let hub = hub().await;
    let mut deaf = deaf_member(&hub).await;
    let mut listeners = [member(&hub).await, member(&hub).await];
    let mut sender = member(&hub).await;
    let text = "x".repeat(1 << 10);
    for batch in 0..MESSAGES / BATCH {
        let first = batch * BATCH + 1;
        for number in first..first + BATCH {
            let client_id = format!("deaf-{number:08}");
            let send = json!({"type": "chat.send", "group": "lobby", "client_id": client_id, "text": text});
            sender.raw_text(&send.to_string()).await;
        }
        for client in [&mut sender].into_iter().chain(&mut listeners) {
            for offset in first..first + BATCH {
                assert_eq!(client.message().await.0, offset);
            }
        }
    }
    assert!(hub.resident_kib() < 200 << 10, "{} KiB", hub.resident_kib());
    // What the kernels held comes first. If the hub gets its last word in, that is its reason, and nothing follows.
    let (mut offset, mut code) = (0, None);
    for (first, payload) in deaf.rest().await {
        assert_eq!(code, None, "after the close: {}", String::from_utf8_lossy(&payload));
        if first == CLOSE {
            code = Some(u16::from_be_bytes(*payload.first_chunk().unwrap()));
            continue;
        }
        let frame: Value = serde_json::from_slice(&payload).unwrap();
        if frame["type"] == "chat.message" {
            offset += 1;
            assert_eq!(frame["position"]["offset"], offset);
        }
    }
    assert!(code.is_none_or(|code| code == 4001), "{code:?}");
    assert!((1..MESSAGES).contains(&offset), "{offset} messages came through");
}

#[tokio::test]
async fn a_burst_of_large_messages_closes_nobody_who_reads() {
    const SENDERS: usize = 20;
    let hub = hub().await;
    let mut reader = member(&hub).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        senders.push(member(&hub).await);
    }
    let large = "x".repeat(55_000);
    for (number, sender) in senders.iter_mut().enumerate() {
        let client_id = format!("large-message-{number}");
        let send = json!({
            "type": "chat.send", "group": "lobby", "client_id": client_id, "text": "large", "data": large,
        });
        sender.raw_text(&send.to_string()).await;
    }
    for offset in 1..=SENDERS as u64 {
        assert_eq!(reader.message().await.0, offset);
    }
}
