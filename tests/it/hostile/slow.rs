//! Clients that do not take what they are sent: cut at a frame's boundary, told so if they still listen, and able to come
//! back for the rest.

use palabre::protocol::CloseCode;
use palabre_tests::raw::CLOSE;
use palabre_tests::{Client, RawClient};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Watched;

/// More than an outbox and both kernels hold, in messages of a kilobyte.
const MESSAGES_MAX: u64 = 6_000;
const BATCH: u64 = 20;

/// Nobody else may ever wait so long; the machine may be busy.
const PATIENCE_MS: u128 = 5_000;

/// Joins the lobby and reads nothing more for now, with little room in its kernel.
async fn deaf_member(hub: &Watched) -> RawClient {
    let mut deaf = RawClient::connect_small(hub.addr).await;
    deaf.enter(&["lobby".to_owned()]).await;
    deaf
}

async fn member(hub: &Watched) -> Client {
    let mut client = Client::connect(hub.addr).await;
    client.hello("Ana").await;
    client.join("lobby").await;
    client
}

/// Fills the lobby until the hub gives a client up; returns how many messages that took.
async fn fill(hub: &Watched, sender: &mut Client, bystander: &mut Client) -> u64 {
    let text = "x".repeat(1 << 10);
    let mut sent = 0;
    while hub.ends().is_empty() {
        assert!(sent < MESSAGES_MAX, "nobody was too slow for {sent} messages");
        let asked = Instant::now();
        for number in sent + 1..=sent + BATCH {
            let client_id = format!("fill-{number:08}");
            let send = json!({"type": "chat.send", "group": "lobby", "client_id": client_id, "text": text});
            sender.raw_text(&send.to_string()).await;
        }
        for offset in sent + 1..=sent + BATCH {
            assert_eq!(sender.message().await.0, offset);
            assert_eq!(bystander.message().await.0, offset);
        }
        sent += BATCH;
        let waited = asked.elapsed().as_millis();
        assert!(waited < PATIENCE_MS, "the others waited {waited} ms");
    }
    assert_eq!(hub.ends(), [CloseCode::TooSlow]);
    sent
}

/// The position that a client reaches with these frames of a lobby of messages, each once and in order, and the code of
/// the close after them.
fn taken(frames: &[(u8, Vec<u8>)]) -> (u64, Option<u16>) {
    let (mut offset, mut code) = (0, None);
    for (first, payload) in frames {
        assert_eq!(code, None, "after the close: {}", String::from_utf8_lossy(payload));
        if *first == CLOSE {
            code = Some(u16::from_be_bytes(*payload.first_chunk().expect("a hub's close has a code")));
            continue;
        }
        let frame: Value = serde_json::from_slice(payload).expect("a hub speaks JSON");
        if frame["type"] == "chat.message" {
            offset += 1;
            assert_eq!(frame["position"]["offset"], offset);
        }
    }
    (offset, code)
}

#[tokio::test]
async fn a_slow_client_gets_whole_frames_then_4001_and_resumes_with_nothing_lost() {
    let hub = Watched::start();
    let mut deaf = deaf_member(&hub).await;
    let (mut sender, mut bystander) = (member(&hub).await, member(&hub).await);
    let sent = fill(&hub, &mut sender, &mut bystander).await;

    // It listens again in time, so all that waited for it comes, and then the reason.
    let (offset, code) = taken(&deaf.rest().await);
    assert_eq!(code, Some(4001));
    assert!((1..sent).contains(&offset), "{offset} of {sent}");

    let mut again = Client::connect(hub.addr).await;
    again.hello("Deaf").await;
    let epoch = bystander.join("lobby").await["position"]["epoch"].clone();
    let since = json!({"epoch": epoch, "offset": offset});
    let joined = again.request(json!({"type": "join", "groups": [{"group": "lobby", "since": since}]})).await;
    assert_eq!(joined["recovered"], true, "{}", joined["reason"]);
    let missed = joined["messages"].as_array().expect("messages come with what was recovered");
    let offsets: Vec<_> = missed.iter().map(|message| message["position"]["offset"].as_u64()).collect();
    assert_eq!(offsets, (offset + 1..=sent).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_five_seconds_more_is_reset() {
    let hub = Watched::start();
    let mut deaf = deaf_member(&hub).await;
    let (mut sender, mut bystander) = (member(&hub).await, member(&hub).await);
    let sent = fill(&hub, &mut sender, &mut bystander).await;
    let cut = Instant::now();
    // Its own writes fail once it is reset; a read would be a sign of life.
    palabre_tests::machine::until("the connection is reset", async || deaf.is_gone().await.then_some(()))
        .await;
    let waited = cut.elapsed().as_secs();
    assert!(waited >= 3, "reset after {waited} s");
    let (offset, code) = taken(&deaf.rest().await);
    assert_eq!(code, None, "the kernel had no room for it");
    assert!((1..sent).contains(&offset), "{offset} of {sent}");
    bystander.send("lobby", "still here").await;
    assert_eq!(sender.message().await.1["text"], "still here");
}
