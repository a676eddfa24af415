//! Coming back on another node: what was missed is there, and what was sent before is not sent again.

use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};

use crate::cluster;

/// Connects as the user of an earlier `welcome`, and joins from a position.
async fn back(node: &HubProcess, welcome: &Value, since: &Value) -> (Client, Value) {
    let mut client = Client::connect(node.addr()).await;
    let again = client.request(json!({"type": "hello", "token": welcome["token"], "name": "Ana"})).await;
    assert_eq!(again["user"]["id"], welcome["user"]["id"], "a guest is known on every node");
    let groups = json!([{"group": "lobby", "since": since}]);
    let joined = client.request(json!({"type": "join", "groups": groups})).await;
    (client, joined)
}

fn texts(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().unwrap_or_else(|| panic!("no messages: {messages}"));
    messages.iter().map(|message| message["text"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn a_send_that_is_repeated_on_another_node_is_the_same_message() {
    let redis = RedisServer::start().await;
    let [mut a, b, c] = cluster::nodes(&redis).await;
    let mut ana = Client::connect(a.addr()).await;
    let welcome = ana.hello("Ana").await;
    let since = ana.join("lobby").await["position"].clone();
    let mut bo = cluster::member(&b, "Bo", "lobby").await;

    let send = json!({
        "type": "chat.send", "group": "lobby", "client_id": "the-same-id", "text": "once",
        "data": {"n": 1}, "reply_to": "9e9df6bf09a6d23550d1ea26799fab42", "since": since,
    });
    let first = ana.request(send.clone()).await;
    let seen = bo.message().await.1;
    assert_eq!((&seen["id"], &seen["reply_to"]), (&first["id"], &send["reply_to"]));
    bo.send("lobby", "between").await;
    bo.message().await;
    // For all that Ana knows the ack was lost with the node.
    a.kill().await;

    for node in [&b, &c] {
        let (mut ana, joined) = back(node, &welcome, &since).await;
        assert_eq!(texts(&joined["messages"]), ["once", "between"]);
        assert_eq!(joined["messages"][0], seen, "the same everywhere");
        let again = ana.request(send.clone()).await;
        assert_eq!((&again["type"], &again["scope"]), (&json!("ack"), &json!("cluster")));
        assert_eq!((&again["id"], &again["position"]), (&first["id"], &first["position"]));
        let mut other = send.clone();
        other["text"] = json!("twice");
        assert_eq!(ana.request(other).await["code"], "conflict");
        assert!(ana.so_far().await.is_empty(), "nobody sees it again");
    }
    bo.send("lobby", "after").await;
    assert_eq!(bo.message().await.1["text"], "after", "nothing came between");
}

#[tokio::test]
async fn what_was_said_meanwhile_is_there_on_every_node_and_what_was_trimmed_is_announced() {
    let redis = RedisServer::start().await;
    let [a, b, fresh] = cluster::nodes(&redis).await;
    let mut ana = Client::connect(a.addr()).await;
    let welcome = ana.hello("Ana").await;
    ana.join("lobby").await;
    let mut bo = cluster::member(&b, "Bo", "lobby").await;
    bo.send("lobby", "before").await;
    let since = ana.message().await.1["position"].clone();
    drop(ana);

    for number in 0..30 {
        bo.send("lobby", &format!("meanwhile {number}")).await;
        bo.message().await;
    }
    let expected: Vec<_> = (0..30).map(|number| format!("meanwhile {number}")).collect();
    // The first node's copy may have ended, the second has all of it, and the third never heard of the group.
    for node in [&a, &b, &fresh] {
        let (_, joined) = back(node, &welcome, &since).await;
        assert_eq!((&joined["recovered"], &joined["more"]), (&json!(true), &json!(false)), "{joined}");
        assert_eq!(texts(&joined["messages"]), expected);
    }

    // More than a node's copy and than one answer hold, and still in the history: in pages, on every node.
    let long = "🌳".repeat(4_000);
    for _ in 0..40 {
        bo.send("lobby", &long).await;
        bo.message().await;
    }
    for node in [&a, &b, &fresh] {
        let (mut ana, joined) = back(node, &welcome, &since).await;
        assert_eq!((&joined["recovered"], &joined["more"]), (&json!(true), &json!(true)));
        let mut got: Vec<Value> = joined["messages"].as_array().expect("messages").clone();
        loop {
            let after = got.last().expect("a page has some")["position"].clone();
            let page = json!({"type": "history", "group": "lobby", "after": after, "limit": 100});
            let page = ana.request(page).await;
            got.extend(page["messages"].as_array().expect("messages").iter().cloned());
            if page["more"] == false {
                break;
            }
        }
        assert!(got.iter().map(|message| message["position"]["offset"].as_u64()).eq((2..=71).map(Some)));
    }

    for _ in 0..40 {
        bo.send("lobby", &long).await;
        bo.message().await;
    }
    for node in [&a, &b, &fresh] {
        let (_, joined) = back(node, &welcome, &since).await;
        assert_eq!((&joined["recovered"], &joined["reason"]), (&json!(false), &json!("trimmed")), "{joined}");
        let messages = joined["snapshot"]["messages"].as_array().expect("messages");
        assert_eq!(messages.last().expect("the latest")["position"]["offset"], 111);
        assert_eq!(joined["snapshot"]["more"], true);
    }
}
