//! Redis goes and comes back: what clients of real hubs see of it.

use crate::cluster::{SECRET, health, healthy, member, nodes};

use palabre_tests::{Client, HubProcess, RedisServer, http, machine::until};
use serde_json::{Value, json};

async fn told(client: &mut Client, state: &str) -> Value {
    loop {
        let layer = client.expect("layer").await;
        if layer["state"] == state {
            return layer;
        }
    }
}

#[tokio::test]
async fn nodes_that_have_lost_redis_say_so_go_on_and_heal_by_themselves_with_nothing_lost() {
    let mut redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let (mut on_a, mut on_b) = (member(&a, "A", "room").await, member(&b, "B", "room").await);
    let before = on_a.send("room", "before").await;
    for client in [&mut on_a, &mut on_b] {
        client.message().await;
    }

    redis.kill().await;
    for client in [&mut on_a, &mut on_b] {
        assert_eq!(told(client, "degraded").await["scope"], "node");
    }
    let said = health(&a).await;
    assert_eq!((&said["status"], &said["redis"]["redis_available"]), (&json!("degraded"), &json!(false)));
    assert_eq!(
        (&said["redis"]["redis_configured"], &said["redis"]["using_fallback"]),
        (&json!(true), &json!(true))
    );
    assert!(said["degraded_seconds"].is_u64() && said["layer"]["canary_ms"].is_null(), "{said}");
    let kept = on_a.send("room", "kept").await;
    assert_eq!((&kept["scope"], &kept["position"]), (&json!("node"), &Value::Null));
    let shown = on_a.expect("chat.message").await;
    assert_eq!(
        (&shown["text"], &shown["position"], &shown["id"]),
        (&json!("kept"), &Value::Null, &kept["id"])
    );
    // Who comes now gets what the node has: the history as far as it goes, and what is not in it yet.
    let mut late = Client::connect(a.addr()).await;
    late.hello("late").await;
    let joined = late.join("room").await;
    assert_eq!(joined["snapshot"]["messages"][0]["text"], "before");
    assert_eq!(late.expect("chat.message").await["id"], kept["id"]);
    // Who comes from where this node has not been yet is answered later, and hears this node's members until then.
    let mut ahead = Client::connect(a.addr()).await;
    ahead.hello("ahead").await;
    let since = json!({"epoch": before["position"]["epoch"], "offset": 9});
    let pending = ahead.request(json!({"type": "join", "groups": [{"group": "room", "since": since}]})).await;
    assert_eq!((&pending["recovered"], &pending["position"]), (&json!("pending"), &Value::Null), "{pending}");
    assert_eq!(ahead.expect("chat.message").await["id"], kept["id"]);
    on_b.send("room", "meanwhile").await;
    on_b.expect("chat.message").await;

    redis.start_again().await;
    for client in [&mut on_a, &mut on_b] {
        let layer = told(client, "healthy").await;
        assert_eq!(layer["scope"], "cluster");
        // One message of its own, and one of the other node's.
        assert_eq!(layer["caught_up"], json!({"messages": 2, "ballots": 0}));
    }
    let said = health(&a).await;
    assert_eq!(said["degraded_seconds"], 0, "{said}");
    assert!(said["layer"]["canary_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{said}");
    let resumed = ahead.expect("resumed").await;
    assert!(resumed["position"].is_object() && resumed["group"] == "room", "{resumed}");
    // It came back empty. Each member gets what the others said, and learns where its own stands; nobody gets anything twice.
    let of_b = on_a.message().await.1;
    assert_eq!(of_b["text"], "meanwhile");
    let of_a = on_b.message().await.1;
    assert_eq!((&of_a["text"], &of_a["id"]), (&json!("kept"), &kept["id"]));
    let sent = on_a.send("room", "after").await;
    assert_eq!(sent["scope"], "cluster");
    for client in [&mut on_a, &mut on_b, &mut late, &mut ahead] {
        let mut texts = Vec::new();
        while texts.last() != Some(&json!("after")) {
            texts.push(client.message().await.1["text"].clone());
        }
        texts.pop();
        assert!(texts.iter().all(|text| text == "meanwhile"), "{texts:?}");
    }
    let settled: Vec<Value> =
        on_a.so_far().await.into_iter().filter(|frame| frame["type"] == "settled").collect();
    assert!(settled.iter().any(|frame| frame["items"][0]["id"] == kept["id"]), "{settled:?}");
}

#[tokio::test]
async fn a_node_that_is_to_serve_nobody_by_itself_sends_its_clients_away_and_comes_back() {
    let mut redis = RedisServer::start().await;
    let node = HubProcess::start_with(
        &["--redis-url", &redis.url()],
        &[SECRET, ("PALABRE_LAYER_DEGRADED_POLICY", "shed")],
    )
    .await;
    healthy(&node).await;
    let mut client = member(&node, "A", "room").await;
    redis.kill().await;
    assert_eq!(told(&mut client, "degraded").await["scope"], "node");
    assert_eq!(client.closed().await, 4003);
    assert_eq!(http::get(node.addr(), "/readyz").await.status, 503);
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        node.addr()
    );
    let refused = http::ask(node.addr(), &upgrade).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some() && refused.text().contains("without the others"));
    redis.start_again().await;
    healthy(&node).await;
    assert_eq!(http::get(node.addr(), "/readyz").await.status, 200);
    assert_eq!(member(&node, "A", "room").await.send("room", "back").await["scope"], "cluster");
}

#[tokio::test]
async fn of_more_than_a_node_keeps_the_oldest_are_lost_and_everybody_is_told() {
    let mut redis = RedisServer::start().await;
    let kept = ("PALABRE_HISTORY_SPOOL_MESSAGES", "3");
    let a = HubProcess::start_with(&["--redis-url", &redis.url()], &[SECRET, kept]).await;
    let b = HubProcess::start_with(&["--redis-url", &redis.url()], &[SECRET]).await;
    healthy(&a).await;
    healthy(&b).await;
    let (mut on_a, mut on_b) = (member(&a, "A", "room").await, member(&b, "B", "room").await);
    on_a.send("room", "before").await;
    for client in [&mut on_a, &mut on_b] {
        client.message().await;
    }
    redis.kill().await;
    told(&mut on_a, "degraded").await;
    let texts = ["one", "two", "three", "four", "five"];
    for text in texts {
        assert_eq!(on_a.send("room", text).await["scope"], "node");
    }
    let mut late = Client::connect(a.addr()).await;
    late.hello("late").await;
    late.join("room").await;
    let gap = late.expect("gap").await;
    assert_eq!((&gap["lost"], &gap["reason"]), (&json!(2), &json!("spool_overflow")), "{gap}");
    assert_eq!((&gap["group"], &gap["position"]), (&json!("room"), &Value::Null), "{gap}");
    for (client, texts) in [(&mut on_a, &texts[..]), (&mut late, &texts[2..])] {
        for text in texts {
            assert_eq!(client.expect("chat.message").await["text"], *text, "members have seen them all");
        }
    }

    redis.start_again().await;
    // It came back empty, and what both nodes had was put back.
    assert_eq!(on_b.expect("gap").await["reason"], "rebuilt");
    let gap = on_b.expect("gap").await;
    assert_eq!((&gap["lost"], &gap["reason"]), (&json!(2), &json!("spool_overflow")), "{gap}");
    assert!(gap["position"].is_object(), "{gap}");
    for text in &texts[2..] {
        assert_eq!(on_b.message().await.1["text"], *text);
    }
    on_b.send("room", "after").await;
    for client in [&mut on_a, &mut late] {
        let said = client.message().await.1;
        assert_eq!(said["text"], "after");
        let told_again = client.so_far().await.into_iter().any(|frame| frame["reason"] == "spool_overflow");
        assert!(!told_again, "once is enough");
    }
}

#[tokio::test]
async fn a_node_that_starts_before_redis_serves_and_joins_later_by_itself() {
    let mut redis = RedisServer::start().await;
    redis.kill().await;
    let node = HubProcess::start_with(&["--redis-url", &redis.url()], &[SECRET]).await;
    until("it has found out", async || (health(&node).await["layer"]["state"] == "degraded").then_some(()))
        .await;
    let mut client = Client::connect(node.addr()).await;
    let welcome = client.hello("early").await;
    assert_eq!(
        (&welcome["layer"]["state"], &welcome["layer"]["mode"]),
        (&json!("degraded"), &json!("redis"))
    );
    assert_eq!(client.join("room").await["recovered"], "pending");
    assert_eq!(client.send("room", "first").await["scope"], "node");
    assert_eq!(client.expect("chat.message").await["text"], "first");
    redis.start_again().await;
    let resumed = client.expect("resumed").await;
    assert_eq!(told(&mut client, "healthy").await["scope"], "cluster");
    // Its own message is in what it is answered, or gets its place after that.
    let first = match &resumed["snapshot"]["messages"][0] {
        Value::Null => client.expect("settled").await["items"][0].clone(),
        message => message.clone(),
    };
    assert_eq!(first["position"]["offset"], 1, "{first}");
    assert_eq!(client.send("room", "at last").await["scope"], "cluster");
}
