//! Several processes, one Redis, one hub.

use palabre_tests::{Client, HubProcess, RedisServer, http, machine::until};
use serde_json::{Value, json};
use std::collections::HashSet;

pub(crate) const SECRET: (&str, &str) = ("PALABRE_AUTH_SECRET", "a secret of two nodes");

pub(crate) async fn nodes<const COUNT: usize>(redis: &RedisServer) -> [HubProcess; COUNT] {
    let mut nodes = Vec::new();
    for _ in 0..COUNT {
        let node = HubProcess::start_with(&["--redis-url", &redis.url()], &[SECRET]).await;
        healthy(&node).await;
        nodes.push(node);
    }
    nodes.try_into().expect("as many as were started")
}

pub(crate) async fn health(node: &HubProcess) -> Value {
    serde_json::from_slice(&http::get(node.addr(), "/health").await.body).expect("health is JSON")
}

pub(crate) async fn healthy(node: &HubProcess) {
    until("the node is joined to the others", async || {
        (health(node).await["status"] == "healthy").then_some(())
    })
    .await;
}

pub(crate) async fn member(node: &HubProcess, name: &str, group: &str) -> Client {
    let mut client = Client::connect(node.addr()).await;
    client.hello(name).await;
    client.join(group).await;
    client
}

/// Sends `count` messages, one after the other; gives the texts.
async fn talk(client: &mut Client, group: &str, name: &str, count: usize) -> Vec<String> {
    let texts: Vec<String> = (0..count).map(|number| format!("{name} {number}")).collect();
    for text in &texts {
        let ack = client.send(group, text).await;
        assert_eq!(ack["scope"], "cluster");
    }
    texts
}

/// The offsets and texts of the next `count` messages.
async fn hear(client: &mut Client, count: usize) -> Vec<(u64, String)> {
    let mut heard = Vec::new();
    for _ in 0..count {
        let (offset, message) = client.message().await;
        heard.push((offset, message["text"].as_str().expect("a text").to_owned()));
    }
    heard
}

#[tokio::test]
async fn a_thousand_messages_each_way_reach_everybody_once_and_in_one_order() {
    let redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let (mut on_a, mut on_b) = (member(&a, "A", "room").await, member(&b, "B", "room").await);
    let (mut hears_a, mut hears_b) = (member(&a, "a", "room").await, member(&b, "b", "room").await);

    let (from_a, from_b, heard_a, heard_b) = tokio::join!(
        talk(&mut on_a, "room", "A", 1_000),
        talk(&mut on_b, "room", "B", 1_000),
        hear(&mut hears_a, 2_000),
        hear(&mut hears_b, 2_000),
    );

    assert_eq!(heard_a, heard_b, "both nodes have one order");
    assert!(heard_a.iter().map(|(offset, _)| *offset).eq(1..=2_000), "each position once, without a hole");
    for (name, sent) in [("A", from_a), ("B", from_b)] {
        let heard = heard_a.iter().map(|(_, text)| text.clone()).filter(|text| text.starts_with(name));
        assert_eq!(heard.collect::<Vec<_>>(), sent, "what {name} said, in its order");
    }
    // The senders get their own messages the same way as everybody.
    assert_eq!(hear(&mut on_a, 2_000).await, heard_a);
    assert_eq!(hear(&mut on_b, 2_000).await, heard_a);
}

#[tokio::test]
async fn when_a_node_is_killed_the_other_goes_on() {
    let redis = RedisServer::start().await;
    let [mut a, b] = nodes(&redis).await;
    let mut on_a = member(&a, "A", "room").await;
    let (mut one, mut two) = (member(&b, "one", "room").await, member(&b, "two", "room").await);
    on_a.send("room", "before").await;
    a.kill().await;
    let texts = talk(&mut one, "room", "after", 100).await;
    let heard: Vec<String> = hear(&mut two, 101).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard[0], "before");
    assert_eq!(heard[1..], texts);
    assert_eq!(health(&b).await["status"], "healthy");
}

#[tokio::test]
async fn two_hundred_members_of_a_node_are_one_subscriber() {
    let redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let mut members = Vec::new();
    for number in 0..200 {
        members.push(member(&a, &number.to_string(), "room").await);
    }
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is up");
    let mut subscribers = async || -> i64 {
        let (_, count): (String, i64) = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg("palabre:{room}:4")
            .query_async(&mut connection)
            .await
            .unwrap();
        count
    };
    assert_eq!(subscribers().await, 1);
    let _on_b = member(&b, "B", "room").await;
    assert_eq!(subscribers().await, 2);
}

#[tokio::test]
async fn a_guest_is_the_same_on_every_node_and_a_repeat_there_is_no_second_message() {
    let redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let mut on_a = Client::connect(a.addr()).await;
    let welcome = on_a.hello("Ana").await;
    on_a.join("room").await;
    let send = json!({
        "type": "chat.send", "group": "room", "client_id": "the-same-id", "text": "once",
    });
    let first = on_a.request(send.clone()).await;

    let mut on_b = Client::connect(b.addr()).await;
    let again = on_b.request(json!({"type": "hello", "token": welcome["token"], "name": "Ana"})).await;
    assert_eq!(again["user"]["id"], welcome["user"]["id"]);
    assert_eq!(again["token"], Value::Null, "the token still serves");
    let joined = on_b.join("room").await;
    assert_eq!(joined["snapshot"]["messages"].as_array().map(Vec::len), Some(1));
    let second = on_b.request(send).await;
    assert_eq!((&second["id"], &second["position"]), (&first["id"], &first["position"]));
    on_b.send("room", "next").await;
    on_a.message().await;
    assert_eq!(on_a.message().await.1["text"], "next", "nothing came between");
}

/// Waits until the client is told that its node is in this state.
#[tokio::test]
async fn a_pub_sub_connection_that_is_cut_loses_nothing() {
    let redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let (mut on_a, mut on_b) = (member(&a, "A", "room").await, member(&b, "B", "room").await);
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is up");
    let mut sent = HashSet::new();
    for round in 0..5 {
        for number in 0..20 {
            let text = format!("{round} {number}");
            let send = json!({
                "type": "chat.send", "group": "room", "client_id": format!("client-{round}-{number}"), "text": text,
            });
            // Whatever is refused meanwhile is repeated under the same id.
            until("the message is acked", async || {
                (on_a.request(send.clone()).await["type"] == "ack").then_some(())
            })
            .await;
            sent.insert(text);
        }
        let _killed: i64 = redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("pubsub")
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    healthy(&a).await;
    healthy(&b).await;
    let heard = hear(&mut on_b, 100).await;
    assert!(heard.iter().map(|(offset, _)| *offset).eq(1..=100), "{heard:?}");
    assert_eq!(heard.into_iter().map(|(_, text)| text).collect::<HashSet<_>>(), sent);
}
