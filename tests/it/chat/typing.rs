//! Typing: seen by the others at once, never by oneself, never in the way of a message.

use std::net::SocketAddr;
use std::sync::Arc;

use channel_layer::{ChannelLayer, MemoryLayer, Message, MessageId, Retention};
use palabre::{Hub, chat::Chat, people::GuestGate, protocol::Limits};
use palabre_tests::machine::until;
use palabre_tests::{HubProcess, RawClient, RedisServer, raw::TEXT};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_util::task::TaskTracker;

use super::{hub, member, newcomer};
use crate::cluster;

const TYPING: &str = r#"{"type":"chat.typing","group":"lobby"}"#;

#[tokio::test]
async fn the_others_see_who_types_and_the_typist_does_not() {
    let hub = hub().await;
    let mut ana = palabre_tests::Client::connect(hub.addr()).await;
    let welcome = ana.hello("Ana").await;
    ana.join("lobby").await;
    let mut bo = member(&hub).await;
    // All but the first come within three seconds of it.
    for _ in 0..20 {
        ana.raw_text(TYPING).await;
    }
    ana.send("lobby", "done").await;
    let hint = bo.expect("chat.typing").await;
    let id = hint["id"].clone();
    let expected = json!({
        "type": "chat.typing", "group": "lobby", "id": id, "position": null, "user": welcome["user"],
    });
    assert_eq!(hint, expected);
    assert_eq!(bo.message().await.0, 1, "a hint takes no place in the order");
    ana.message().await;
    assert!(ana.so_far().await.is_empty() && bo.so_far().await.is_empty(), "one hint, and not to her");
    // Who comes later is told nothing of it.
    let joined = newcomer(&hub).await.join("lobby").await;
    assert_eq!(joined["snapshot"]["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn it_reaches_members_on_other_nodes() {
    let redis = RedisServer::start().await;
    let [a, b] = cluster::nodes(&redis).await;
    let mut on_a = cluster::member(&a, "A", "lobby").await;
    let mut on_b = cluster::member(&b, "B", "lobby").await;
    on_a.raw_text(TYPING).await;
    assert_eq!(on_b.expect("chat.typing").await["user"]["name"], "A");
}

#[tokio::test]
async fn where_it_cannot_be_it_is_refused_like_anything_else() {
    let hub = hub().await;
    let mut client = newcomer(&hub).await;
    client.raw_text(TYPING).await;
    let error = client.expect_error("not_joined").await;
    assert!(error.get("ref").is_none() && error["group"] == "lobby", "{error}");
    client.raw_text(r#"{"type":"chat.typing","group":"a b"}"#).await;
    client.expect_error("bad_request").await;
    client.raw_text(r#"{"type":"chat.typing","group":"lobby","text":"h"}"#).await;
    client.expect_error("bad_request").await;
}

fn has_hint(said: &[Value]) -> bool {
    said.iter().any(|frame| frame["type"] == "chat.typing")
}

#[tokio::test]
async fn in_a_crowd_nobody_is_told_whichever_workers_have_it() {
    // Two workers have about half of the crowd each.
    let hub = HubProcess::start(&["--set", "server.workers=2"]).await;
    let mut crowd = Vec::new();
    for _ in 0..500 {
        crowd.push(member(&hub).await);
    }
    let mut typist = member(&hub).await;
    typist.raw_text(TYPING).await;
    typist.send("lobby", "done").await;
    // A hint takes the way of the message, before it.
    for listener in [&mut crowd[0], &mut typist] {
        let mut said = Vec::new();
        while !said.iter().any(|frame: &Value| frame["type"] == "chat.message") {
            said.extend(listener.so_far().await);
        }
        assert!(!has_hint(&said), "{said:?}");
    }
    crowd.pop().expect("one of them").request(json!({"type": "leave", "groups": ["lobby"]})).await;
    // Who has left is a member for some seconds yet.
    until("500 members are told", async || {
        typist.raw_text(TYPING).await;
        typist.so_far().await;
        has_hint(&crowd[0].so_far().await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn in_a_crowd_nobody_is_told_where_members_are_not_counted() {
    let hub = HubProcess::start(&["--set", "presence.enabled=false", "--set", "server.workers=1"]).await;
    let mut crowd = Vec::new();
    for _ in 0..500 {
        crowd.push(member(&hub).await);
    }
    let mut typist = member(&hub).await;
    typist.raw_text(TYPING).await;
    // Its request was handled when its ping is answered, and what came of it is before the answer to another's.
    assert!(typist.so_far().await.is_empty() && crowd[0].so_far().await.is_empty());
    crowd.pop().expect("one of them").request(json!({"type": "leave", "groups": ["lobby"]})).await;
    typist.raw_text(TYPING).await;
    crowd[0].expect("chat.typing").await;
}

/// A hub in this process, and its layer.
fn hub_here() -> (Arc<dyn ChannelLayer>, SocketAddr) {
    let layer: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new());
    let hub = Hub::builder(Arc::clone(&layer))
        .gate(GuestGate::new(None, Limits::default()))
        .mount("chat.", |_| Chat::new(Limits::default()))
        .start()
        .expect("the hub starts");
    let listener = palabre::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    TaskTracker::new().spawn(async move { hub.serve(listener, "/ws", axum::Router::new()).await });
    (layer, addr)
}

#[tokio::test]
async fn what_is_ephemeral_is_skipped_for_who_does_not_keep_up_and_what_is_kept_is_not() {
    const ROUNDS: u64 = 20;
    let (layer, addr) = hub_here();
    let socket = TcpSocket::new_v4().expect("there is IPv4");
    socket.set_recv_buffer_size(4 << 10).expect("a buffer may be small");
    let mut slow = RawClient::open(socket.connect(addr).await.expect("the hub listens"), &[]).await;
    slow.hello().await;
    slow.text(r#"{"type":"join","ref":"join","groups":[{"group":"lobby"}]}"#).await;
    assert_eq!(slow.json().await["type"], "joined");
    let mut bystander = palabre_tests::Client::connect(addr).await;
    bystander.hello("").await;
    bystander.join("lobby").await;

    // 16 MiB: several times what the kernels hold and what may wait in an outbox, above which a client is closed.
    let hint = format!(r#"{{"type":"test.hint","x":"{}"}}"#, "x".repeat(8 << 10));
    for round in 1..=ROUNDS {
        for _ in 0..100 {
            let message = Message::frame(MessageId::random(), hint.clone());
            layer.group_send("lobby".parse().unwrap(), message, Retention::Ephemeral).await.unwrap();
        }
        let kept = Message::frame(MessageId::random(), r#"{"type":"chat.message"}"#);
        layer.group_send("lobby".parse().unwrap(), kept, Retention::Kept).await.unwrap();
        assert_eq!(bystander.message().await.0, round);
    }
    let (mut hints, mut kept) = (0, 0);
    while kept < ROUNDS {
        let (first, payload) = slow.next().await;
        assert_eq!(first, TEXT, "closed: {payload:?}");
        let frame: Value = serde_json::from_slice(&payload).unwrap();
        if frame["type"] == "test.hint" {
            hints += 1;
        } else if frame["type"] == "chat.message" {
            kept += 1;
            assert_eq!(frame["position"]["offset"], kept);
        }
    }
    assert!(hints < ROUNDS * 100, "none was skipped, so nothing was tested");
}
