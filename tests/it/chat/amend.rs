//! Editing and deleting: one's own alone, once, and what is gone is gone.

use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};

use super::{hub, send};
use crate::cluster;

fn edit(client_id: &str, id: &Value, text: &str) -> Value {
    json!({"type": "chat.edit", "group": "lobby", "id": id, "client_id": client_id, "text": text})
}

fn delete(client_id: &str, id: &Value) -> Value {
    json!({"type": "chat.delete", "group": "lobby", "id": id, "client_id": client_id})
}

async fn member(node: &HubProcess, name: &str) -> (Client, Value) {
    let mut client = Client::connect(node.addr()).await;
    let welcome = client.hello(name).await;
    client.join("lobby").await;
    (client, welcome["user"].clone())
}

/// What a newcomer is given, in each way in which somebody is given messages of the past.
async fn given(node: &HubProcess) -> Vec<Value> {
    let mut client = Client::connect(node.addr()).await;
    client.hello("").await;
    let joined = client.join("lobby").await;
    let first = json!({"epoch": joined["position"]["epoch"], "offset": 0});
    let groups = json!([{"group": "lobby", "since": first}]);
    let resumed = client.request(json!({"type": "join", "groups": groups})).await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    let page = client.request(json!({"type": "history", "group": "lobby", "limit": 100})).await;
    vec![joined["snapshot"]["messages"].clone(), resumed["messages"].clone(), page["messages"].clone()]
}

/// What must hold whoever keeps the history, between members of two nodes or of one.
async fn an_author_edits_and_deletes(one: &HubProcess, two: &HubProcess) {
    let ((mut ana, who), (mut bo, _)) = (member(one, "Ana").await, member(two, "Bo").await);
    let mut first = send("the-message", "Good morning!");
    first["data"] = json!({"n": 1});
    let sent = ana.request(first.clone()).await;
    let (id, at) = (&sent["id"], &sent["position"]);
    bo.request(send("an-answer", "Morning.")).await;
    for client in [&mut ana, &mut bo] {
        client.message().await;
        client.message().await;
    }

    let mut edited = edit("the-edit", id, "Good evening!");
    edited["reply_to"] = json!("9e9df6bf09a6d23550d1ea26799fab42");
    let ack = ana.request(edited.clone()).await;
    assert_eq!((&ack["type"], &ack["id"], &ack["position"]["offset"]), (&json!("ack"), id, &json!(3)));
    let now = bo.message().await.1;
    let expected = json!({
        "type": "chat.message", "group": "lobby", "id": id, "position": ack["position"], "first": at, "version": 2,
        "client_id": "the-edit", "ts": now["ts"], "user": who, "text": "Good evening!",
        "reply_to": "9e9df6bf09a6d23550d1ea26799fab42",
    });
    assert_eq!(now, expected, "the whole message anew: its data was left out");
    assert_eq!(ana.message().await.1, expected);

    // The same again is the same, by the edit's own id; so is the send by its.
    let again = ana.request(edited.clone()).await;
    assert_eq!((&again["type"], &again["position"]), (&json!("ack"), &ack["position"]));
    let again = ana.request(first).await;
    assert_eq!((&again["id"], &again["position"]), (id, at));
    let unknown = json!("00000000000000000000000000000001");
    for (is_author, request, code) in [
        (true, edit("the-edit", id, "Good night!"), "conflict"),
        (true, delete("the-edit", id), "conflict"),
        (true, edit("the-message", id, "Good night!"), "conflict"),
        (true, edit("edit-of-nothing", &unknown, "?"), "not_found"),
        (true, delete("end-of-nothing", &unknown), "not_found"),
        (false, edit("edit-of-another", id, "I was here"), "forbidden"),
        (false, delete("end-of-another", id), "forbidden"),
    ] {
        let who = if is_author { &mut ana } else { &mut bo };
        let error = who.request(request.clone()).await;
        assert_eq!((&error["code"], &error["group"]), (&json!(code), &json!("lobby")), "{request}: {error}");
    }
    for node in [one, two] {
        for messages in given(node).await {
            let messages = messages.as_array().expect("messages");
            assert_eq!(messages.len(), 2, "edits come folded in: {messages:?}");
            assert_eq!((&messages[0]["text"], &messages[1]), (&json!("Morning."), &expected));
        }
    }

    let ack = ana.request(delete("the-ending", id)).await;
    assert_eq!((&ack["type"], &ack["id"], &ack["position"]["offset"]), (&json!("ack"), id, &json!(4)));
    let gone = bo.message().await.1;
    let expected = json!({
        "type": "chat.message", "group": "lobby", "id": id, "position": ack["position"], "first": at, "version": 3,
        "client_id": "the-ending", "ts": gone["ts"], "user": who, "deleted": true,
    });
    assert_eq!(gone, expected, "nothing is left of what it said");
    assert_eq!(ana.message().await.1, expected);
    assert_eq!(ana.request(delete("the-ending", id)).await["position"], ack["position"]);
    for request in [edit("too-late-1", id, "No!"), delete("too-late-2", id)] {
        assert_eq!(ana.request(request).await["code"], "not_found");
    }
    for node in [one, two] {
        for messages in given(node).await {
            assert_eq!(messages[1], expected);
            assert!(!messages.to_string().contains("Good"), "{messages}");
        }
    }
    assert!(ana.so_far().await.is_empty() && bo.so_far().await.is_empty(), "each was seen once");
}

#[tokio::test]
async fn on_one_node_an_author_edits_and_deletes_and_nobody_else_does() {
    let hub = hub().await;
    an_author_edits_and_deletes(&hub, &hub).await;
}

#[tokio::test]
async fn over_redis_an_author_edits_and_deletes_and_nobody_else_does() {
    let redis = RedisServer::start().await;
    let [a, b] = cluster::nodes(&redis).await;
    an_author_edits_and_deletes(&a, &b).await;
}

#[tokio::test]
async fn an_author_is_the_same_on_every_node() {
    let redis = RedisServer::start().await;
    let [mut a, b] = cluster::nodes(&redis).await;
    let mut ana = Client::connect(a.addr()).await;
    let welcome = ana.hello("Ana").await;
    ana.join("lobby").await;
    let sent = ana.request(send("the-message", "Good morning!")).await;
    let first = ana.request(edit("the-edit", &sent["id"], "Good evening!")).await;
    a.kill().await;
    let mut ana = Client::connect(b.addr()).await;
    ana.request(json!({"type": "hello", "token": welcome["token"]})).await;
    ana.join("lobby").await;
    // For all that she knows the ack was lost with the node.
    let again = ana.request(edit("the-edit", &sent["id"], "Good evening!")).await;
    assert_eq!((&again["type"], &again["position"]), (&json!("ack"), &first["position"]), "{again}");
    assert_eq!(ana.request(delete("the-ending", &sent["id"])).await["type"], "ack");
    assert_eq!(ana.message().await.1["deleted"], true);
    assert!(ana.so_far().await.is_empty());
}

#[tokio::test]
async fn only_members_amend() {
    let hub = hub().await;
    let (mut ana, _) = member(&hub, "Ana").await;
    let sent = ana.request(send("the-message", "Hello")).await;
    ana.request(json!({"type": "leave", "groups": ["lobby"]})).await;
    for request in [edit("the-edit", &sent["id"], "Bye"), delete("the-ending", &sent["id"])] {
        let error = ana.request(request).await;
        assert_eq!((&error["code"], &error["group"]), (&json!("not_joined"), &json!("lobby")), "{error}");
    }
}

/// All that Redis keeps, as the bytes that it would write to a disk.
async fn dump(redis: &RedisServer) -> Vec<u8> {
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is up");
    // Compressed, a text would not be found although it is there.
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "rdbcompression", "no"])
        .query_async(&mut connection)
        .await
        .expect("a setting");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("the names");
    let mut dump = Vec::new();
    for key in keys {
        let value: Option<Vec<u8>> =
            redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.expect("a value");
        dump.extend(value.unwrap_or_default());
    }
    dump
}

fn holds(dump: &[u8], text: &str) -> bool {
    dump.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_was_deleted_or_replaced_is_nowhere_in_redis() {
    let redis = RedisServer::start().await;
    let [a, b] = cluster::nodes(&redis).await;
    let ((mut ana, _), (mut bo, _)) = (member(&a, "Ana").await, member(&b, "Bo").await);
    let mut ids = Vec::new();
    for number in 0..150 {
        let ack = ana.request(send(&format!("message-{number}"), &format!("secret-{number}-secret"))).await;
        ids.push(ack["id"].clone());
    }
    assert!(holds(&dump(&redis).await, "secret-75-secret"), "what is kept is found");
    // At the end of the history, in its midst, and at its beginning.
    for number in [149, 75, 74, 0] {
        let request = edit(&format!("editing-{number}"), &ids[number], &format!("mended-{number}-mended"));
        assert_eq!(ana.request(request).await["type"], "ack");
    }
    for number in [149, 75] {
        assert_eq!(ana.request(delete(&format!("the-ending-{number}"), &ids[number])).await["type"], "ack");
    }
    for _ in 0..156 {
        bo.message().await;
    }
    let dump = dump(&redis).await;
    for (number, text) in (0..150).map(|number| (number, format!("secret-{number}-secret"))) {
        assert_eq!(holds(&dump, &text), ![149, 75, 74, 0].contains(&number), "{text}");
    }
    for (number, there) in [(149, false), (75, false), (74, true), (0, true)] {
        assert_eq!(holds(&dump, &format!("mended-{number}-mended")), there, "{number}");
    }
    for node in [&a, &b] {
        for messages in given(node).await {
            let messages = messages.to_string();
            for gone in ["secret-149-", "secret-75-", "secret-74-", "secret-0-", "mended-149-", "mended-75-"]
            {
                assert!(!messages.contains(gone), "{gone}");
            }
        }
    }
}
