//! Ends that are none, or half of one, a row each: what the client can still hear it hears, and nothing of it stays.

use std::time::Duration;

use palabre_tests::bystander::undisturbed;
use palabre_tests::raw::{CLOSE, TEXT, frame};
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};

use super::aftermath::Before;

/// More than the client's kernel takes, and less than would make it a slow one.
const ON_THE_WAY: u64 = 600;

/// Of each kind at once, so that what is left of one shows.
const CLIENTS: usize = 5;

/// A member of the lobby, with hardly any room for what it does not read.
async fn member(hub: &HubProcess) -> RawClient {
    let mut client = RawClient::connect_small(hub.addr()).await;
    client.enter(&["lobby".to_owned()]).await;
    client
}

/// Says a kilobyte so many times; everybody in the lobby has it queued when this returns.
async fn fill(sender: &mut Client) {
    let text = "x".repeat(1 << 10);
    for _ in 0..ON_THE_WAY {
        sender.send("lobby", &text).await;
    }
    // Its own copies come the same way, and with those of the others.
    for _ in 0..ON_THE_WAY {
        sender.message().await;
    }
}

fn send(text: &str) -> Vec<u8> {
    let client_id = format!("late-{text:0>8}");
    let send = json!({"type": "chat.send", "group": "lobby", "client_id": client_id, "text": text});
    frame(TEXT, send.to_string().as_bytes())
}

/// How many messages of the lobby are among what came: one after the other, to the last.
fn messages(frames: &[(u8, Vec<u8>)]) -> u64 {
    let mut offsets = frames.iter().filter(|(first, _)| *first == TEXT).filter_map(|(_, payload)| {
        let frame: Value = serde_json::from_slice(payload).expect("a hub speaks JSON");
        (frame["type"] == "chat.message").then(|| frame["position"]["offset"].as_u64().expect("a position"))
    });
    let Some(first) = offsets.next() else { return 0 };
    let mut last = first;
    for offset in offsets {
        last += 1;
        assert_eq!(offset, last, "a message is missing in the middle, or comes twice");
    }
    last + 1 - first
}

/// What a client does instead of an end.
type End = fn(RawClient) -> futures_util::future::BoxFuture<'static, RawClient>;

/// Rows in which the client still listens: what it does, whether messages are on their way to it, and what comes last.
fn rows() -> [(&'static str, End, u64, Option<u16>); 7] {
    let half: End = |mut client| {
        Box::pin(async {
            client.end_writing().await;
            client
        })
    };
    let half_a_frame: End = |mut client| {
        Box::pin(async {
            client.write(&send("never")[..20]).await;
            client.end_writing().await;
            client
        })
    };
    let goes_on: End = |mut client| {
        Box::pin(async {
            let after = [frame(CLOSE, &1000_u16.to_be_bytes()), send("1"), send("2")].concat();
            client.write(&after).await;
            client
        })
    };
    let closes: End = |mut client| {
        Box::pin(async {
            client.write(&frame(CLOSE, &3000_u16.to_be_bytes())).await;
            client
        })
    };
    [
        ("its own side is ended", half, 0, None),
        ("its own side is ended while messages are on their way", half, ON_THE_WAY, None),
        ("its own side is ended in the middle of a frame", half_a_frame, 0, None),
        ("its own side is ended so while messages are on their way", half_a_frame, ON_THE_WAY, None),
        ("it closes and goes on", goes_on, 0, Some(1000)),
        ("it closes and goes on while messages are on their way", goes_on, ON_THE_WAY, Some(1000)),
        ("it closes and does not hang up", closes, 0, Some(3000)),
    ]
}

#[tokio::test]
async fn whoever_ends_half_hears_all_that_was_on_its_way_and_leaves_nothing() {
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let mut ana = Client::connect(hub.addr()).await;
        ana.hello("Ana").await;
        ana.join("lobby").await;
        let before = Before::of(&hub).await;
        for (what, end, on_the_way, code) in rows() {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(member(&hub).await);
            }
            if on_the_way > 0 {
                fill(&mut ana).await;
            }
            for client in clients {
                let frames = end(client).await.rest().await;
                assert_eq!(messages(&frames), on_the_way, "{what}");
                let last = frames.last().filter(|(first, _)| *first == CLOSE);
                let last =
                    last.map(|(_, payload)| u16::from_be_bytes(*payload.first_chunk().expect("a code")));
                assert_eq!(last, code, "{what}");
            }
            before.is_back(&hub, what, Duration::from_secs(10)).await;
            assert_eq!(ana.so_far().await, [] as [Value; 0], "{what}: what it said after its end was heard");
        }
    })
    .await;
    assert!(!hub.stderr().contains("panicked"), "{}", hub.stderr());
}

#[tokio::test]
async fn a_reset_at_any_moment_leaves_nothing() {
    let hub = HubProcess::start(&[]).await;
    let first_half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let large = frame(TEXT, &[b' '; 60_000]);
    let rows: [(&str, Vec<u8>, bool); 6] = [
        ("after the hello", Vec::new(), false),
        ("in a frame's header", large[..5].to_vec(), false),
        ("in the middle of a message", first_half(large.clone()), false),
        ("between two pieces of a message", frame(0x01, b"{\"type\""), false),
        ("while messages are on their way", Vec::new(), true),
        ("in the middle of a message, while others are on their way", first_half(large), true),
    ];
    undisturbed(hub.addr(), async {
        let mut ana = Client::connect(hub.addr()).await;
        ana.hello("Ana").await;
        ana.join("lobby").await;
        let before = Before::of(&hub).await;
        for (what, bytes, on_the_way) in rows {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(member(&hub).await);
            }
            if on_the_way {
                fill(&mut ana).await;
            }
            for mut client in clients {
                client.write(&bytes).await;
                client.reset();
            }
            before.is_back(&hub, what, Duration::from_secs(10)).await;
            assert_eq!(ana.so_far().await.len(), 0, "{what}");
        }
    })
    .await;
    assert!(!hub.stderr().contains("panicked"), "{}", hub.stderr());
}

#[tokio::test]
async fn one_that_ends_its_own_side_and_takes_nothing_is_not_waited_for() {
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let mut ana = Client::connect(hub.addr()).await;
        ana.hello("Ana").await;
        ana.join("lobby").await;
        let before = Before::of(&hub).await;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(member(&hub).await);
        }
        fill(&mut ana).await;
        for client in &mut clients {
            client.end_writing().await;
        }
        before.is_back(&hub, "it takes nothing more", Duration::from_secs(20)).await;
        drop(clients);
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_much_closes_at_once_and_reads_nothing_leaves_nothing() {
    const CONNECTIONS_MAX: usize = 50;
    let hub = HubProcess::start_with(&[], &[("PALABRE_SERVER_CONNECTIONS_MAX", "50")]).await;
    undisturbed(hub.addr(), async {
        let mut ana = Client::connect(hub.addr()).await;
        ana.hello("Ana").await;
        ana.join("lobby").await;
        fill(&mut ana).await;
        let before = Before::of(&hub).await;
        let mut gone = Vec::new();
        // Twice as many as there may be at a time: those before have given up their places.
        for turn in 0..2 {
            for _ in 0..CONNECTIONS_MAX / 2 {
                let mut client = member(&hub).await;
                // Together more than an outbox holds that the kernel was not offered yet.
                let ask =
                    json!({"type": "history", "ref": "all", "group": "lobby", "limit": 100}).to_string();
                let ask = frame(TEXT, ask.as_bytes());
                let close = frame(CLOSE, &1000_u16.to_be_bytes());
                client.write(&[ask.repeat(4), close].concat()).await;
                gone.push(client);
            }
            before.is_back(&hub, &format!("much for nobody, turn {turn}"), Duration::from_secs(30)).await;
        }
        drop(gone);
    })
    .await;
}
