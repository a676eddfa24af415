//! A third party's consumer edits what it wrote: what comes to the screens, whatever their worker is at.

use channel_layer::{Amendment, Bounds, GroupName, MemoryLayer, Message, MessageId, Owner, Retention};
use palabre::{Consumer, Context, Outcome, Runs, protocol::Request};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{guest, hub, serve, served};

/// Notes that whoever wrote them can write again: under a new `id`, `over` that of the first.
pub(super) async fn write(asked: &HashMap<String, Value>, cx: &Context) -> Outcome {
    let id = |name| asked.get(name).and_then(Value::as_u64).map(|id| MessageId::from_u128(id.into()));
    let mut hasher = DefaultHasher::new();
    cx.identity().id.hash(&mut hasher);
    let note = json!({"type": "test.note", "text": asked["text"]}).to_string();
    let own = id("id").expect("a note has an id");
    let note = Message::frame(own, note).owned_by(Owner::from_u64(hasher.finish()));
    let room: GroupName = "room".parse()?;
    match id("over") {
        Some(over) => cx.amend(&room, over, note, Amendment::Replace).await?,
        None => cx.group_send(&room, note, Retention::Kept).await?,
    };
    Ok(())
}

const FLOOD: u128 = 4_200;

/// Floods its group within one step.
pub(super) struct Flood;

impl Consumer for Flood {
    /// Its worker delivers nothing meanwhile.
    const RUNS: Runs = Runs::Inline;

    async fn received(&mut self, _: Request, cx: &Context) -> Outcome {
        flood(cx)
    }
}

/// More notes than a worker's mailbox holds, before the worker comes to any; the tenth is written again among them.
fn flood(cx: &Context) -> Outcome {
    let room: GroupName = "room".parse()?;
    let note = |number: u128| {
        let note = json!({"type": "test.note"}).to_string();
        Message::frame(MessageId::from_u128(number), note).owned_by(Owner::from_u64(1))
    };
    for number in 1..=FLOOD {
        // Without a backend it is in the mailbox when the call returns.
        drop(cx.group_send(&room, note(number), Retention::Kept));
    }
    drop(cx.amend(&room, MessageId::from_u128(10), note(FLOOD + 1), Amendment::Replace));
    Ok(())
}

#[tokio::test]
async fn members_whose_worker_fell_behind_are_taken_past_what_was_amended_without_a_step() {
    let mut bounds = Bounds::default();
    bounds.history.messages = 10_000;
    bounds.history.bytes = 64 << 20;
    let (_hub, addr) = serve(hub(Arc::new(MemoryLayer::with_bounds(bounds))));
    let mut ana = guest(addr).await;
    ana.request(json!({"type": "join", "groups": [{"group": "room"}]})).await;
    ana.raw_text(r#"{"type":"flood.begin"}"#).await;
    let mut passed = Vec::new();
    for offset in 1..=FLOOD + 1 {
        // That she has come is told at some time within the second.
        let frame = loop {
            let frame = ana.next().await.expect("the connection lasts");
            if frame["type"] != "presence" {
                break frame;
            }
        };
        let is_settled = frame["type"] == "settled";
        if is_settled {
            passed.push(offset);
        }
        let position = if is_settled { &frame["items"][0]["position"] } else { &frame["position"] };
        assert_eq!(position["offset"].as_u64().map(u128::from), Some(offset), "{frame}");
    }
    assert_eq!(passed, [10]);
}

#[tokio::test]
async fn what_a_consumer_amends_every_screen_gets_with_its_first_place_and_its_version() {
    let (_hub, addr) = served().await;
    let (mut ana, mut ben) = (guest(addr).await, guest(addr).await);
    for client in [&mut ana, &mut ben] {
        client.request(json!({"type": "join", "groups": [{"group": "room"}]})).await;
    }
    for frame in [json!({"id": 1, "text": "one"}), json!({"id": 2, "text": "two", "over": 1})] {
        let mut request = frame;
        request["type"] = json!("test.write");
        ana.raw_text(&request.to_string()).await;
    }
    for client in [&mut ana, &mut ben] {
        let note = client.expect("test.note").await;
        assert_eq!((note.get("first"), note.get("version")), (None, None), "{note}");
        let edited = client.expect("test.note").await;
        assert_eq!((&edited["text"], &edited["id"]), (&json!("two"), &note["id"]), "{edited}");
        assert_eq!((&edited["first"], &edited["version"]), (&note["position"], &json!(2)));
        assert_eq!(edited["position"]["offset"], 2);
    }
    let mine = json!({"type": "test.write", "id": 3, "text": "mine now", "over": 1});
    assert_eq!(ben.request(mine).await["code"], "forbidden");
    let nothing = json!({"type": "test.write", "id": 4, "text": "?", "over": 9});
    assert_eq!(ben.request(nothing).await["code"], "not_found");
    let joined = ben.request(json!({"type": "join", "groups": [{"group": "room"}]})).await;
    let messages = joined["snapshot"]["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["text"]), (1, &json!("two")));
}
