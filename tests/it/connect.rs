//! The first moments of a connection, and requests that are refused: what a client may count on before there is a chat.

mod bytes;
mod crowd;
mod deadlines;
mod echo;
mod handshakes;
mod hosts;
mod proxies;
mod requests;

use std::path::Path;

use palabre_tests::raw::{TEXT, frame};
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};
use tokio::net::TcpStream;

async fn client(hub: &HubProcess) -> Client {
    Client::connect(hub.addr()).await
}

#[tokio::test]
async fn a_welcome_has_all_that_a_client_needs() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    let mut welcome = client.request(json!({"type": "hello", "ref": "first", "name": " Ana "})).await;

    let limits = json!({
        "frame_bytes": 65_536, "text_chars": 4_000, "name_chars": 64, "nesting": 32, "groups": 200,
        "groups_per_join": 100, "open_requests": 16,
    });
    let mut text_of = |path: &str| {
        welcome.pointer_mut(path).map(Value::take).and_then(|value| value.as_str().map(str::to_owned))
    };
    let id = text_of("/user/id").unwrap();
    let token = text_of("/token").unwrap();
    for path in ["/session", "/node"] {
        assert!(text_of(path).is_some_and(|text| text.len() > 8), "{path}");
    }
    let since = welcome.pointer_mut("/layer/since").unwrap().take();
    assert!(since.as_u64().is_some_and(|since| since > 1_700_000_000_000), "{since}");
    assert!(id.starts_with("g-") && id.len() == 28, "{id}");
    assert!(token.starts_with(&format!("v1.{id}.")), "{token}");
    let rest = json!({
        "type": "welcome", "ref": "first", "user": {"id": null, "name": "Ana"}, "token": null, "session": null,
        "node": null, "layer": {"state": "healthy", "mode": "memory", "scope": "node", "since": null},
        "limits": limits, "ping_s": 30, "features": ["presence"],
    });
    assert_eq!(welcome, rest);
}

#[tokio::test]
async fn a_guest_s_token_makes_the_same_guest_again_and_any_other_a_new_one() {
    let hub = HubProcess::start(&[]).await;
    let stranger = HubProcess::start(&[]).await;
    let foreign = client(&stranger).await.hello("Ana").await["token"].as_str().unwrap().to_owned();
    let first = client(&hub).await.hello("Ana").await;
    let (id, token) = (first["user"]["id"].clone(), first["token"].as_str().unwrap());

    let again = client(&hub).await.request(json!({"type": "hello", "token": token, "name": "Anna"})).await;
    assert_eq!(again["user"], json!({"id": id, "name": "Anna"}));
    assert!(again.get("token").is_none(), "the client has one: {again}");

    let last = if token.ends_with('A') { "E" } else { "A" };
    let tampered = format!("{}{last}", &token[..token.len() - 1]);
    for other in [&tampered, &foreign, "", "v1.g-aaaaaaaaaaaaaaaaaaaaaaaaaa.", "nonsense"] {
        let new = client(&hub).await.request(json!({"type": "hello", "token": other})).await;
        assert_eq!(new["type"], "welcome", "{other}: {new}");
        assert_ne!(new["user"]["id"], id, "{other}");
        let its = new["token"].as_str().unwrap();
        assert!(its != other && its != token, "{other}: {its}");
    }
}

#[tokio::test]
async fn nobody_is_believed_who_says_an_id() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    for field in ["id", "user"] {
        let mut hello = json!({"type": "hello", "ref": field});
        hello[field] = json!("g-aaaaaaaaaaaaaaaaaaaaaaaaaa");
        let error = client.request(hello).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad_request")));
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
    }
    assert_ne!(client.hello("Ana").await["user"]["id"], "g-aaaaaaaaaaaaaaaaaaaaaaaaaa");
}

#[tokio::test]
async fn requests_may_follow_hello_without_waiting() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    for request in [
        json!({"type": "hello", "ref": "1"}),
        json!({"type": "join", "ref": "2", "groups": [{"group": "lobby"}]}),
        json!({"type": "chat.send", "ref": "3", "group": "lobby", "client_id": "12345678", "text": "Hi"}),
        json!({"type": "leave", "ref": "4", "groups": ["lobby"]}),
    ] {
        client.raw_text(&request.to_string()).await;
    }
    let answers: Vec<_> = client.so_far().await;
    let answers: Vec<_> = answers.iter().filter(|frame| frame.get("ref").is_some()).collect();
    // An ack may be overtaken by what needs no order.
    let kind_of = |reference: &str| &answers.iter().find(|frame| frame["ref"] == reference).unwrap()["type"];
    assert_eq!(["1", "2", "3", "4"].map(kind_of), ["welcome", "joined", "ack", "left"]);
    assert_eq!((&answers[0]["ref"], &answers[1]["ref"]), (&json!("1"), &json!("2")));
}

#[tokio::test]
async fn a_hello_in_the_segment_of_the_handshake_is_answered() {
    let hub = HubProcess::start(&[]).await;
    let hello = frame(TEXT, br#"{"type":"hello","ref":"1"}"#);
    for _ in 0..20 {
        let stream = TcpStream::connect(hub.addr()).await.unwrap();
        let mut client = RawClient::open(stream, &hello).await;
        assert_eq!(client.json().await["type"], "welcome");
    }
}

#[tokio::test]
async fn before_hello_nothing_else_is_answered_and_after_it_no_other_hello() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    for kind in ["join", "leave", "chat.send", "history", "pong", "ping", "no.such"] {
        client.raw_text(&json!({"type": kind, "ref": kind}).to_string()).await;
        let error = client.expect_error("hello_required").await;
        assert_eq!(error["ref"], kind);
    }
    client.hello("Ana").await;
    let again = client.request(json!({"type": "hello", "name": "Bo"})).await;
    assert_eq!(again["code"], "bad_request", "{again}");
    assert!(client.so_far().await.is_empty());
}

#[tokio::test]
async fn who_never_says_hello_is_told_so_and_closed() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    assert_eq!(client.closed().await, 4501);
    let error = client.expect_error("hello_required").await;
    assert!(error.get("ref").is_none(), "{error}");
}

#[tokio::test]
async fn a_session_is_taken_and_pings_are_answered_and_not_requests() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    let welcome =
        client.request(json!({"type": "hello", "session": "s-of-another-day", "token": null})).await;
    assert_ne!(welcome["session"], "s-of-another-day");
    client.raw_text(r#"{"type":"pong"}"#).await;
    client.raw_text(r#"{"type":"pong","ref":"1"}"#).await;
    client.raw_text(r#"{"type":"ping","ref":"2"}"#).await;
    assert_eq!(client.expect("pong").await, json!({"type": "pong"}));
    assert!(client.so_far().await.is_empty());
}

#[tokio::test]
async fn every_bad_frame_gets_its_code_and_ref_and_the_socket_lives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/frames/bad");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 100, "{} files", paths.len());

    let hub = HubProcess::start(&[]).await;
    let mut member = client(&hub).await;
    member.hello("Ana").await;
    for path in paths {
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let text = file["text"].as_str().unwrap();
        let said: Value = serde_json::from_str(text).unwrap_or_default();
        // A hello is looked at closely only by a hub that has not heard one.
        let mut newcomer = None;
        if said["type"] == "hello" {
            newcomer = Some(client(&hub).await);
        }
        let heard = newcomer.as_mut().unwrap_or(&mut member);
        heard.raw_text(text).await;
        let error = heard.expect("error").await;
        let name = path.display();
        assert_eq!(error["code"], file["code"], "{name}: {error}");
        assert_eq!(error.get("ref").unwrap_or(&Value::Null), &file["ref"], "{name}: {error}");
        let names = file["names"].as_str().unwrap_or_default();
        assert!(error["message"].as_str().unwrap().contains(names), "{name}: {error}");
        if let Some(mut newcomer) = newcomer {
            newcomer.hello("Bo").await;
        }
        assert!(member.so_far().await.is_empty(), "{name}");
    }
}
