//! Sending and receiving on one node: one order, one id a message, and no message twice.

mod amend;
mod crowd;
mod elsewhere;
mod history;
mod marks;
mod pace;
mod resume;
mod typing;

use std::path::Path;

use palabre_tests::{Client, HubProcess};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

async fn hub() -> HubProcess {
    HubProcess::start(&[]).await
}

/// A client that is in the lobby.
async fn member(hub: &HubProcess) -> Client {
    let mut client = newcomer(hub).await;
    client.join("lobby").await;
    client
}

/// A client that has said hello.
async fn newcomer(hub: &HubProcess) -> Client {
    let mut client = Client::connect(hub.addr()).await;
    client.hello("").await;
    client
}

fn send(client_id: &str, text: &str) -> Value {
    json!({"type": "chat.send", "group": "lobby", "client_id": client_id, "text": text})
}

/// The id of a message, as `docs/protocol.md` explains it.
fn message_id(group: &str, user: &str, client_id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [group, user, client_id] {
        hash.update(u32::try_from(part.len()).expect("parts are short").to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn two_members_see_all_messages_in_one_order() {
    let hub = hub().await;
    let (mut ana, mut bo) = (member(&hub).await, member(&hub).await);
    for round in 1..=50 {
        let ack = ana.send("lobby", &format!("ana {round}")).await;
        assert_eq!(ack["scope"], "node", "a hub without Redis says how far a message gets: {ack}");
        bo.send("lobby", &format!("bo {round}")).await;
    }
    let mut seen = Vec::new();
    for offset in 1..=100 {
        let (at, message) = ana.message().await;
        assert_eq!(at, offset);
        assert_eq!(bo.message().await, (offset, message.clone()));
        seen.push(message["text"].as_str().unwrap().to_owned());
    }
    let expected: Vec<_> =
        (1..=50).flat_map(|round| [format!("ana {round}"), format!("bo {round}")]).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn ack_and_echo_carry_the_documented_id_and_one_position() {
    for name in ["chat.message", "chat.message.plain"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../protocol/frames/{name}.json"));
        let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text_of = |path: &str| golden["frame"].pointer(path).unwrap().as_str().unwrap();
        let id = message_id(text_of("/group"), text_of("/user/id"), text_of("/client_id"));
        assert_eq!(id, text_of("/id"), "{name}");
    }

    let hub = hub().await;
    let mut client = Client::connect(hub.addr()).await;
    let welcome = client.hello("Ana").await;
    client.join("lobby").await;
    let mut frame = send("c-5b1e9f02", "Good morning!");
    frame["reply_to"] = json!("9e9df6bf09a6d23550d1ea26799fab42");
    let ack = client.request(frame).await;
    let (_, echo) = client.message().await;
    assert_eq!(ack["id"], message_id("lobby", welcome["user"]["id"].as_str().unwrap(), "c-5b1e9f02"));
    assert_eq!((&ack["id"], &ack["position"]), (&echo["id"], &echo["position"]));
    assert_eq!(ack["position"]["epoch"].as_str().unwrap().len(), 16);
    assert!(echo["ts"].as_u64().is_some_and(|ts| ts > 1_700_000_000_000), "{echo}");
    assert_eq!(
        echo,
        json!({
            "type": "chat.message", "group": "lobby", "id": ack["id"], "position": ack["position"],
            "client_id": "c-5b1e9f02", "ts": echo["ts"], "user": welcome["user"], "text": "Good morning!",
            "reply_to": "9e9df6bf09a6d23550d1ea26799fab42", "version": 1,
        })
    );
}

#[tokio::test]
async fn a_repeat_is_acked_again_and_seen_once() {
    let hub = hub().await;
    let mut ana = Client::connect(hub.addr()).await;
    let token = ana.hello("Ana").await["token"].clone();
    ana.join("lobby").await;
    let mut bo = member(&hub).await;
    let mut first = ana.request(send("once-only", "Hello")).await;
    let mut again = ana.request(send("once-only", "Hello")).await;
    // After a reconnect as well, for the id is the guest's.
    let mut back = Client::connect(hub.addr()).await;
    back.request(json!({"type": "hello", "token": token})).await;
    back.join("lobby").await;
    let mut later = back.request(send("once-only", "Hello")).await;
    for ack in [&mut first, &mut again, &mut later] {
        assert!(ack["ref"].take().is_string());
    }
    assert_eq!(first["type"], "ack");
    assert_eq!((&again, &later), (&first, &first));
    // Another's message under the same client_id is another message.
    let others = bo.request(send("once-only", "Hello")).await;
    assert_ne!(others["id"], first["id"]);
    for client in [&mut ana, &mut bo] {
        assert_eq!(client.message().await.0, 1);
        assert_eq!(client.message().await.1["id"], others["id"]);
        assert!(client.so_far().await.is_empty());
    }
}

#[tokio::test]
async fn another_body_under_the_same_client_id_is_a_conflict() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    client.request(send("once-only", "Hello")).await;
    let mut with_data = send("once-only", "Hello");
    with_data["data"] = json!(1);
    let mut with_reply = send("once-only", "Hello");
    with_reply["reply_to"] = json!("9e9df6bf09a6d23550d1ea26799fab42");
    for other in [send("once-only", "Hullo"), with_data, with_reply] {
        let error = client.request(other).await;
        assert_eq!((&error["code"], &error["group"]), (&json!("conflict"), &json!("lobby")), "{error}");
    }
    client.message().await;
    assert!(client.so_far().await.is_empty());
}

#[tokio::test]
async fn data_reaches_the_others_byte_for_byte() {
    let hub = hub().await;
    let (mut ana, mut bo) = (member(&hub).await, palabre_tests::RawClient::connect(hub.addr()).await);
    bo.hello().await;
    bo.text(r#"{"type":"join","ref":"j","groups":[{"group":"lobby"}]}"#).await;
    assert_eq!(bo.json().await["type"], "joined");
    let datas = [
        r#"{"b":1.0,"a":[1e2, "\u00e9"]}"#,
        r#"{ "z" : -0.0 , "a" : "\/" }"#,
        r#""}{\"data\":""#,
        "[1E+2,\t9007199254740993]",
        "false",
        "0",
    ];
    for (count, data) in datas.into_iter().enumerate() {
        let text = format!(
            r#"{{"type":"chat.send","group":"lobby","client_id":"data-{count:04}","data":{data},"text":"x"}}"#
        );
        ana.raw_text(&text).await;
        let message = loop {
            let (_, payload) = bo.next().await;
            let frame = String::from_utf8(payload).unwrap();
            // Who has come is told at some time within the second.
            if !frame.contains(r#""type":"presence""#) {
                break frame;
            }
        };
        assert!(message.contains(&format!(r#""data":{data}"#)), "{data} became {message}");
    }
}

#[tokio::test]
async fn only_members_send_and_receive() {
    let hub = hub().await;
    let (mut ana, mut bo) = (newcomer(&hub).await, member(&hub).await);
    let error = ana.request(send("too-early", "Hello")).await;
    assert_eq!((&error["code"], &error["group"]), (&json!("not_joined"), &json!("lobby")), "{error}");

    ana.join("lobby").await;
    ana.send("lobby", "now").await;
    let left = ana.request(json!({"type": "leave", "groups": ["lobby"]})).await;
    assert_eq!((&left["type"], &left["group"]), (&json!("left"), &json!("lobby")));
    let error = ana.request(send("too-late", "Hello")).await;
    assert_eq!(error["code"], "not_joined", "{error}");
    // Leaving what one is not in is answered in the same way.
    let left = ana.request(json!({"type": "leave", "groups": ["lobby"]})).await;
    assert_eq!(left["type"], "left");

    assert_eq!(ana.message().await.1["text"], "now");
    bo.send("lobby", "without her").await;
    assert_eq!((bo.message().await.0, bo.message().await.0), (1, 2));
    assert!(ana.so_far().await.is_empty());
}

#[tokio::test]
async fn a_group_that_cannot_be_is_refused_by_its_name() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    let long = "x".repeat(100);
    for group in ["", "a b", "a/b", "é", "a\n", "*", "{a}", "a:b", &long] {
        for request in [
            json!({"type": "join", "groups": [{"group": group}]}),
            json!({"type": "leave", "groups": [group]}),
            json!({"type": "chat.send", "group": group, "client_id": "12345678", "text": ""}),
        ] {
            let error = client.request(request.clone()).await;
            assert_eq!(error["code"], "bad_request", "{request}: {error}");
            assert_eq!(error["group"], group, "{request}: {error}");
        }
    }
    let joined = client.join(&long[1..]).await;
    assert_eq!(joined["group"], long[1..]);
}

#[tokio::test]
async fn a_text_is_measured_in_characters() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    let longest = "🌳".repeat(4_000);
    assert_eq!(client.request(send("longest-1", &longest)).await["type"], "ack");
    assert_eq!(client.message().await.1["text"], longest);
    let error = client.request(send("longest-2", &format!("{longest}🌳"))).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("too_large")));
    assert!(client.so_far().await.is_empty());
}

#[tokio::test]
async fn without_a_ref_there_is_no_answer_but_errors() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    client.raw_text(&send("no-answer", "Hello").to_string()).await;
    client.message().await;
    client.raw_text(&send("no-answer", "another").to_string()).await;
    let error = client.expect_error("conflict").await;
    assert!(error.get("ref").is_none(), "{error}");
    client.raw_text(r#"{"type":"leave","groups":["lobby"]}"#).await;
    assert!(client.so_far().await.is_empty());
}
