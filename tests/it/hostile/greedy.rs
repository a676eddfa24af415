//! Clients that say too much, on a hub with the limits that it has of itself: refused, and closed if they go on.

use std::net::SocketAddr;
use std::time::Duration;

use palabre_tests::bystander::undisturbed;
use palabre_tests::machine::{DEADLINE, until};
use palabre_tests::raw::{CLOSE, PING, PONG, TEXT, frame, take};
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::aftermath::Before;

const FLOOD: u16 = 4503;

/// What a flood was told before it was closed.
#[derive(Debug)]
struct Told {
    code: u16,
    errors: Vec<Value>,
}

/// Writes the same frames again and again, and reads what comes, until it is closed.
async fn flood(addr: SocketAddr, frames: &[u8]) -> Told {
    let mut client = RawClient::connect(addr).await;
    client.hello().await;
    let (stream, mut read) = client.into_parts();
    let (mut from, mut to) = stream.into_split();
    let write = async {
        let many = frames.repeat(1 + 4_096 / frames.len());
        // A hub that has closed goes on reading for a while, and then does not.
        while to.write_all(&many).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let hear = async {
        let mut errors = Vec::new();
        loop {
            while let Some((first, payload)) = take(&mut read) {
                match first {
                    CLOSE => {
                        let code = payload.first_chunk().expect("a hub's close has a code");
                        return Told { code: u16::from_be_bytes(*code), errors };
                    }
                    TEXT => {
                        let said: Value = serde_json::from_slice(&payload).expect("a hub speaks JSON");
                        errors.extend((said["type"] == "error").then_some(said));
                    }
                    _ => {}
                }
            }
            let more = from.read_buf(&mut read).await.expect("it is closed, not reset");
            assert!(more > 0, "the connection ended without a close");
        }
    };
    let told = timeout(DEADLINE, async {
        tokio::select! { told = hear => told, () = write => unreachable!("it never ends") }
    });
    told.await.expect("a flood is closed in time")
}

fn text(said: &Value) -> Vec<u8> {
    frame(TEXT, said.to_string().as_bytes())
}

#[tokio::test]
async fn whoever_floods_is_told_so_and_closed_with_4503() {
    let groups: Vec<_> = (0..100).map(|number| json!({"group": format!("room-{number}")})).collect();
    let names: Vec<_> = (0..100).map(|number| format!("room-{number}")).collect();
    let large = "x".repeat(60_000);
    let rows = [
        ("websocket pings", frame(PING, b"")),
        ("long pings", frame(PING, &[0; 125])),
        ("pongs", frame(PONG, b"")),
        ("empty texts", frame(TEXT, b"")),
        ("texts of a byte", frame(TEXT, b"x")),
        ("binary messages", frame(0x82, b"x")),
        ("pings", text(&json!({"type": "ping"}))),
        ("hellos", text(&json!({"type": "hello", "ref": "again"}))),
        ("unknown words", text(&json!({"type": "no.such", "ref": "r"}))),
        ("joins", text(&json!({"type": "join", "ref": "r", "groups": [{"group": "lobby"}]}))),
        ("joins of a hundred", text(&json!({"type": "join", "ref": "r", "groups": groups}))),
        (
            "joins and leaves",
            [
                text(&json!({"type": "join", "ref": "r", "groups": groups})),
                text(&json!({"type": "leave", "ref": "r", "groups": names})),
            ]
            .concat(),
        ),
        ("messages in two pieces", [frame(0x01, b"x"), frame(0x80, b"x")].concat()),
        ("long messages", text(&json!({"type": "chat.typing", "group": "lobby", "x": large}))),
    ];
    let hub = HubProcess::start_metered(&[]).await;
    undisturbed(hub.addr(), async {
        let before = Before::of(&hub).await;
        for (what, frames) in &rows {
            let told = flood(hub.addr(), frames).await;
            assert_eq!(told.code, FLOOD, "{what}");
            let limited = told.errors.iter().filter(|error| error["code"] == "rate_limited").count();
            let answered = !["websocket pings", "long pings", "pongs"].contains(what);
            assert!(!answered || limited > 10, "{what}: {:?}", told.errors.last());
            before.is_back(&hub, what, 2 * DEADLINE).await;
        }
    })
    .await;
    assert!(!hub.stderr().contains("panicked"), "{}", hub.stderr());
    assert!(hub.stderr().lines().count() < 100, "a flood does not fill the log: {}", hub.stderr());
}

#[tokio::test]
async fn who_is_too_fast_is_refused_with_its_ref_and_served_again_after_the_wait() {
    let hub = HubProcess::start_metered(&[]).await;
    let mut client = Client::connect(hub.addr()).await;
    client.hello("Ana").await;
    let refused = loop {
        let answer = client.request(json!({"type": "no.such"})).await;
        if answer["code"] != "unknown_type" {
            break answer;
        }
    };
    assert_eq!(
        (&refused["code"], &refused["limit"], &refused["window_s"]),
        (&json!("rate_limited"), &json!(50), &json!(1))
    );
    assert!(refused["retry_after_s"].as_u64().is_some_and(|wait| wait == 1), "{refused}");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("frames")), "{refused}");
    // Looking costs a frame each time, and looks are rarer than the rate.
    until("it is served again", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = client.request(json!({"type": "no.such"})).await;
        (answer["code"] == "unknown_type").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_user_s_connections_share_their_requests_and_another_user_has_its_own() {
    let hub = HubProcess::start_metered(&[]).await;
    let mut first = Client::connect(hub.addr()).await;
    let token = first.hello("Ana").await["token"].clone();
    let mut connections = vec![first];
    for _ in 0..5 {
        let mut client = Client::connect(hub.addr()).await;
        client.request(json!({"type": "hello", "token": token})).await;
        connections.push(client);
    }
    // 100 groups a join make the user's limit the nearer one by far.
    let groups: Vec<_> = (0..100).map(|number| json!({"group": format!("room-{number}")})).collect();
    let mut refused = None;
    'all: for _ in 0..20 {
        for client in &mut connections {
            client.raw_text(&json!({"type": "join", "ref": "all", "groups": groups}).to_string()).await;
            let said = client.so_far().await;
            refused = said.into_iter().find(|frame| frame["code"] == "rate_limited");
            if refused.is_some() {
                break 'all;
            }
        }
    }
    let refused = refused.expect("a thousand groups are soon joined");
    assert_eq!((&refused["ref"], &refused["limit"]), (&json!("all"), &json!(100)));
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("user")), "{refused}");

    let mut other = Client::connect(hub.addr()).await;
    other.hello("Bo").await;
    other.join("room-1").await;
}

#[tokio::test]
async fn a_hundred_thousand_joins_end_in_two_hundred_groups() {
    let hub = HubProcess::start(&[]).await;
    let before = hub.resident_kib();
    undisturbed(hub.addr(), async {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("Ana").await;
        let (mut joined, mut refused) = (0, 0);
        for batch in 0..1_000 {
            let groups: Vec<_> =
                (0..100).map(|number| json!({"group": format!("room-{batch}-{number}")})).collect();
            client.raw_text(&json!({"type": "join", "ref": "r", "groups": groups}).to_string()).await;
            for said in client.so_far().await {
                joined += usize::from(said["type"] == "joined");
                refused += usize::from(said["code"] == "too_many_groups");
            }
        }
        assert_eq!((joined, refused), (200, 99_800));
    })
    .await;
    let grown = hub.resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB for groups that nobody could join");
}
