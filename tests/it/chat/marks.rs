//! Reactions and read positions, as members see them.

mod crowd;

use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};

use super::{hub, send};
use crate::cluster;

async fn member(node: &HubProcess, name: &str) -> (Client, Value) {
    let mut client = Client::connect(node.addr()).await;
    let welcome = client.hello(name).await;
    client.join("lobby").await;
    (client, welcome)
}

fn react(id: &Value, kind: &str, on: bool) -> Value {
    json!({"type": "chat.react", "group": "lobby", "id": id, "kind": kind, "on": on})
}

fn read(position: &Value) -> Value {
    json!({"type": "chat.read", "group": "lobby", "position": position})
}

/// The chat's part of a newcomer's snapshot.
async fn slot(node: &HubProcess, token: &Value) -> Value {
    let mut client = Client::connect(node.addr()).await;
    client.request(json!({"type": "hello", "token": token})).await;
    client.join("lobby").await["snapshot"]["chat"].clone()
}

/// What a slot says of a message's reactions.
fn of<'a>(slot: &'a Value, id: &Value) -> &'a Value {
    &slot["reactions"][id.as_str().expect("an id")]
}

/// The tally once these are its counts; those before it may have been left out.
async fn told(client: &mut Client, id: &Value, counts: Value) -> Value {
    let mut rev = 0;
    loop {
        let news = client.expect("chat.reactions").await;
        assert_eq!((&news["group"], &news["position"]), (&json!("lobby"), &Value::Null));
        if news["id"] != *id {
            continue;
        }
        let next = news["rev"].as_u64().expect("a number");
        assert!(next > rev, "each is later than the one before: {news}");
        rev = next;
        if news["counts"] == counts {
            return news;
        }
    }
}

/// What must hold between members of two nodes or of one; `scope` is how far a node's word reaches.
async fn reactions_are_seen_by_all(one: &HubProcess, two: &HubProcess, scope: &str) {
    let ((mut ana, ana_is), (mut bo, bo_is)) = (member(one, "Ana").await, member(two, "Bo").await);
    let sent = ana.request(send("the-message", "Shall we?")).await;
    let other = ana.request(send("another-one", "Well?")).await;
    let id = &sent["id"];
    let ack = bo.request(react(id, "👍", true)).await;
    let expected = json!({"type": "ack", "ref": ack["ref"], "group": "lobby", "id": id, "scope": scope});
    assert_eq!(ack, expected, "a reaction has no place in the order");
    for client in [&mut ana, &mut bo] {
        told(client, id, json!({"👍": 1})).await;
    }
    ana.request(react(id, "👍", true)).await;
    ana.request(react(id, "a heart", true)).await;
    bo.request(react(&other["id"], "👎", true)).await;
    let news = told(&mut bo, id, json!({"a heart": 1, "👍": 2})).await;
    for node in [one, two] {
        let seen = slot(node, &bo_is["token"]).await;
        assert_eq!(*of(&seen, id), json!({"counts": news["counts"], "rev": news["rev"], "mine": ["👍"]}));
        assert_eq!(of(&seen, &other["id"])["counts"], json!({"👎": 1}));
        assert_eq!(seen["reactions"].as_object().map(serde_json::Map::len), Some(2));
        let seen = slot(node, &Value::Null).await;
        assert_eq!(
            *of(&seen, id),
            json!({"counts": news["counts"], "rev": news["rev"]}),
            "a stranger gave none"
        );
    }

    // Who pages back or resumes reads the messages, and sees the same of them.
    let first = json!({"epoch": sent["position"]["epoch"], "offset": 0});
    let history = |limit: u64| json!({"type": "history", "group": "lobby", "after": first, "limit": limit});
    for client in [&mut ana, &mut bo] {
        let resume = json!({"type": "join", "groups": [{"group": "lobby", "since": first}]});
        let resumed = client.request(resume).await;
        assert_eq!((&resumed["recovered"], &resumed["messages"][0]["id"]), (&json!(true), id), "{resumed}");
        let page = client.request(history(100)).await;
        assert!(page["chat"].is_object() && page["chat"] == resumed["chat"], "{page}");
        let page = client.request(history(1)).await;
        assert_eq!(page["chat"]["reactions"].as_object().map(serde_json::Map::len), Some(1), "{page}");
    }
    let page = bo.request(history(1)).await;
    assert_eq!(*of(&page["chat"], id), json!({"counts": news["counts"], "rev": news["rev"], "mine": ["👍"]}));
    let page = ana.request(history(1)).await;
    assert_eq!(of(&page["chat"], id)["mine"], json!(["a heart", "👍"]));
    let bare = json!({"type": "history", "group": "lobby", "after": other["position"], "limit": 1});
    ana.request(send("a-third-one", "Nobody cares.")).await;
    assert!(ana.request(bare).await.get("chat").is_none(), "beside messages without any there is nothing");

    // What a user says of a kind has versions of the user's own, if they are given.
    for (on, version, count) in [(true, 2, 1), (false, 1, 1), (false, 2, 1), (false, 3, 0)] {
        let mut request = react(&other["id"], "+", on);
        request["version"] = json!(version);
        assert_eq!(ana.request(request).await["type"], "ack");
        let seen = slot(two, &ana_is["token"]).await;
        let expected = if count == 0 { Value::Null } else { json!(count) };
        assert_eq!(of(&seen, &other["id"])["counts"]["+"], expected, "{on} {version}");
    }

    // A message that was deleted has none, and gets none.
    let delete = json!({"type": "chat.delete", "group": "lobby", "id": id, "client_id": "the-ending"});
    assert_eq!(ana.request(delete).await["type"], "ack");
    assert_eq!(bo.request(react(id, "👍", false)).await["code"], "not_found");
    for node in [one, two] {
        assert_eq!(*of(&slot(node, &bo_is["token"]).await, id), Value::Null);
    }
}

#[tokio::test]
async fn on_one_node_reactions_are_seen_by_all_and_go_with_their_message() {
    let hub = hub().await;
    reactions_are_seen_by_all(&hub, &hub, "node").await;
}

#[tokio::test]
async fn over_redis_reactions_are_seen_by_all_and_go_with_their_message() {
    let redis = RedisServer::start().await;
    let [a, b] = cluster::nodes(&redis).await;
    reactions_are_seen_by_all(&a, &b, "cluster").await;
}

#[tokio::test]
async fn what_cannot_be_reacted_to_or_with_is_refused() {
    let hub = hub().await;
    let (mut ana, _) = member(&hub, "Ana").await;
    let sent = ana.request(send("the-message", "Shall we?")).await;
    let unknown = json!("00000000000000000000000000000001");
    let long = "x".repeat(33);
    for (request, code) in [
        (react(&unknown, "👍", true), "not_found"),
        (react(&sent["id"], "", true), "bad_request"),
        (react(&sent["id"], &long, true), "bad_request"),
        (react(&sent["id"], "a\nb", true), "bad_request"),
        (react(&json!("short"), "👍", true), "bad_request"),
        (read(&json!({"epoch": "00000000000000ff", "offset": 1})), "not_found"),
        (read(&json!({"epoch": sent["position"]["epoch"], "offset": 100})), "not_found"),
        (read(&Value::Null), "bad_request"),
    ] {
        assert_eq!(ana.request(request.clone()).await["code"], code, "{request}");
    }
    for number in 0..20 {
        assert_eq!(ana.request(react(&sent["id"], &format!("kind {number}"), true)).await["type"], "ack");
    }
    let full = ana.request(react(&sent["id"], "one more", true)).await;
    assert_eq!(
        (&full["code"], &full["message"]),
        (&json!("too_large"), &json!("this message takes no more reactions"))
    );
    ana.request(json!({"type": "leave", "groups": ["lobby"]})).await;
    for request in [react(&sent["id"], "👍", true), read(&sent["position"])] {
        let error = ana.request(request).await;
        assert_eq!((&error["code"], &error["group"]), (&json!("not_joined"), &json!("lobby")), "{error}");
    }
}

/// What must hold between members of two nodes or of one.
async fn who_read_how_far_is_remembered(one: &HubProcess, two: &HubProcess, scope: &str) {
    let ((mut ana, ana_is), (mut bo, _)) = (member(one, "Ana").await, member(two, "Bo").await);
    let token = &ana_is["token"];
    let mut sent = Vec::new();
    for number in 0..10 {
        sent.push(bo.request(send(&format!("message-{number}"), "?")).await);
    }
    assert_eq!(slot(two, token).await, Value::Null, "nothing is said of who never said anything");
    let ack = ana.request(read(&sent[3]["position"])).await;
    let expected = json!({"type": "ack", "ref": ack["ref"], "group": "lobby", "read": sent[3]["position"], "scope": scope});
    assert_eq!(ack, expected);
    for node in [one, two] {
        assert_eq!(slot(node, token).await, json!({"read": sent[3]["position"], "unread": 6}));
    }
    // Back it does not go.
    assert_eq!(ana.request(read(&sent[1]["position"])).await["read"], sent[3]["position"]);
    // One's own messages are no news, nor are edits of what was read; what was unread stays so when it is edited.
    ana.request(send("her-message", "!")).await;
    for (number, id) in [(2, &sent[2]["id"]), (7, &sent[7]["id"])] {
        let client_id = format!("editing-{number}");
        let edit =
            json!({"type": "chat.edit", "group": "lobby", "id": id, "client_id": client_id, "text": "??"});
        assert_eq!(bo.request(edit).await["type"], "ack");
    }
    assert_eq!(slot(two, token).await, json!({"read": sent[3]["position"], "unread": 6}));
    let delete =
        json!({"type": "chat.delete", "group": "lobby", "id": sent[8]["id"], "client_id": "the-ending"});
    assert_eq!(bo.request(delete).await["type"], "ack");
    assert_eq!(slot(two, token).await["unread"], 5);
    ana.request(read(&sent[9]["position"])).await;
    assert_eq!(slot(one, token).await["unread"], 0, "the edit and the deletion are of what was read");

    for number in 0..101 {
        bo.request(send(&format!("further-{number}"), "?")).await;
    }
    let slot = slot(two, token).await;
    assert_eq!(slot["unread_more"], true, "{slot}");
    assert!(slot["unread"].as_u64().is_some_and(|unread| (90..=100).contains(&unread)), "{slot}");
}

#[tokio::test]
async fn on_one_node_who_read_how_far_is_remembered() {
    let hub = hub().await;
    who_read_how_far_is_remembered(&hub, &hub, "node").await;
}

#[tokio::test]
async fn over_redis_who_read_how_far_is_remembered() {
    let redis = RedisServer::start().await;
    let [a, b] = cluster::nodes(&redis).await;
    who_read_how_far_is_remembered(&a, &b, "cluster").await;
}

#[tokio::test]
async fn while_redis_is_away_marks_are_refused_and_a_repeat_is_taken_after_it() {
    let mut redis = RedisServer::start().await;
    let [a] = cluster::nodes(&redis).await;
    let (mut ana, _) = member(&a, "Ana").await;
    let sent = ana.request(send("the-message", "Shall we?")).await;
    redis.save().await;
    redis.kill().await;
    assert_eq!(ana.expect("layer").await["scope"], "node");
    for request in [react(&sent["id"], "👍", true), read(&sent["position"])] {
        assert_eq!(ana.request(request).await["code"], "unavailable");
    }
    redis.start_again().await;
    while ana.expect("layer").await["scope"] != "cluster" {}
    for request in [react(&sent["id"], "👍", true), read(&sent["position"])] {
        assert_eq!(ana.request(request).await["type"], "ack");
    }
    told(&mut ana, &sent["id"], json!({"👍": 1})).await;
}
