//! A hub's frame, given as JSON values, encoded again by the type that it names.
//!
//! The values are the only source, so a golden file that is added needs nothing here unless it has a new type.

use bytes::Bytes;
use palabre_protocol::{
    Ack, CaughtUp, ChatMessage, ChatReactions, ChatTyping, Counts, Deleted, Done, Drain, Edited, ErrorCode,
    ErrorFrame, Gap, Item, Layer, Left, Limits, Outcome, Ping, Placing, Pong, Position, PresenceChange,
    Present, RESERVED, RateLimited, Settled, Snapshot, User, Welcome, Written, encode, history, joined,
    payload, place, resumed, resync,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::values::{id, is_true, list, number, position, text, text_or_none};

/// Encodes the values of `frame` by the type that its `type` names.
pub(crate) fn rebuild(frame: &Value) -> Bytes {
    let reference = text_or_none(&frame["ref"]);
    match text(&frame["type"]) {
        "welcome" => encode(&Welcome {
            reference: reference.unwrap(),
            user: user(&frame["user"]),
            token: text_or_none(&frame["token"]),
            session: text(&frame["session"]),
            node: text(&frame["node"]),
            layer: layer(&frame["layer"]),
            limits: &Limits::default(),
            ping_s: u32::try_from(number(&frame["ping_s"])).unwrap(),
            features: &list(&frame["features"]).iter().map(text).collect::<Vec<_>>(),
        }),
        "joined" | "resumed" => rebuild_joined(frame),
        "resync" => {
            let (messages, slots) = snapshot(&frame["snapshot"]);
            let more = is_true(&frame["snapshot"]["more"]);
            let snapshot = Snapshot { messages: &messages, more, occupancy: None, slots: &slots };
            resync(text(&frame["group"]), text(&frame["reason"]), position(&frame["position"]), &snapshot)
        }
        "left" => encode(&Left { reference: reference.unwrap(), group: text(&frame["group"]) }),
        "ack" if frame.get("position").is_none() => encode(&Done {
            reference: reference.unwrap(),
            group: text(&frame["group"]),
            id: frame.get("id").map(id),
            read: position(&frame["read"]),
            scope: text(&frame["scope"]),
        }),
        "ack" => Ack {
            reference: reference.unwrap(),
            group: text(&frame["group"]),
            id: id(&frame["id"]),
            position: position(&frame["position"]),
            scope: text(&frame["scope"]),
        }
        .encode(),
        "chat.message" => rebuild_message(frame),
        "chat.typing" => ephemeral(frame, &ChatTyping { user: user(&frame["user"]) }.payload()),
        "chat.reactions" => {
            let counts = frame["counts"].as_object().unwrap().iter();
            let counts: Vec<_> = counts.map(|(kind, count)| (kind.clone(), number(count))).collect();
            let news = ChatReactions { counts: Counts(&counts), rev: number(&frame["rev"]) };
            ephemeral(frame, &news.payload())
        }
        "history" => {
            let (messages, slots) = snapshot(frame);
            let next = position(&frame["next"]);
            assert_eq!(is_true(&frame["more"]), next.is_some(), "what has more says where");
            history(reference.unwrap(), text(&frame["group"]), &messages, next, &slots)
        }
        "layer" => encode(&layer(frame)),
        "settled" => {
            let item =
                |item: &Value| Item { id: id(&item["id"]), position: position(&item["position"]).unwrap() };
            let items: Vec<Item> = list(&frame["items"]).iter().map(item).collect();
            encode(&Settled { group: text(&frame["group"]), items: &items })
        }
        "gap" => encode(&Gap {
            group: text(&frame["group"]),
            position: position(&frame["position"]),
            lost: number(&frame["lost"]),
            reason: text(&frame["reason"]),
        }),
        "presence" => rebuild_presence(frame),
        "drain" => encode(&Drain { reconnect_ms: number(&frame["reconnect_ms"]) }),
        "ping" => encode(&Ping),
        "pong" => encode(&Pong),
        "error" => rebuild_error(frame),
        other => panic!("no type here writes `{other}`"),
    }
}

fn ephemeral(frame: &Value, payload: &[u8]) -> Bytes {
    let placing = Placing {
        group: text(&frame["group"]),
        id: id(&frame["id"]),
        position: position(&frame["position"]),
        was: &[],
        edited: None,
    };
    place(&placing, payload)
}

fn rebuild_joined(frame: &Value) -> Bytes {
    if frame["recovered"] == "pending" {
        return joined(
            text(&frame["ref"]),
            text(&frame["group"]),
            position(&frame["position"]),
            &Outcome::Pending,
        );
    }
    let (messages, slots) = snapshot(if frame["snapshot"].is_null() { frame } else { &frame["snapshot"] });
    let more = is_true(&frame["more"]);
    let occupancy = frame["snapshot"]["occupancy"].as_u64();
    let taken =
        Snapshot { messages: &messages, more: is_true(&frame["snapshot"]["more"]), occupancy, slots: &slots };
    let outcome = match frame["recovered"].as_bool() {
        None => Outcome::Snapshot(taken),
        Some(true) => Outcome::Recovered { messages: &messages, more, slots: &slots },
        Some(false) => Outcome::Lost { reason: text(&frame["reason"]), snapshot: taken },
    };
    let (group, position) = (text(&frame["group"]), position(&frame["position"]));
    match text_or_none(&frame["ref"]) {
        Some(reference) => joined(reference, group, position, &outcome),
        None => resumed(group, position, &outcome),
    }
}

fn rebuild_presence(frame: &Value) -> Bytes {
    let (group, occupancy) = (text(&frame["group"]), number(&frame["occupancy"]));
    let users =
        |field: &str| -> Vec<User<'_>> { frame.get(field).into_iter().flat_map(list).map(user).collect() };
    let (members, joined, left) = (users("members"), users("joined"), users("left"));
    match text_or_none(&frame["ref"]) {
        Some(reference) => {
            let members = frame.get("members").map(|_| &*members);
            encode(&Present { reference, group, occupancy, members })
        }
        None => encode(&PresenceChange { group, occupancy, joined: &joined, left: &left }),
    }
}

fn rebuild_message(frame: &Value) -> Bytes {
    let (client_id, ts, user) = (text(&frame["client_id"]), number(&frame["ts"]), user(&frame["user"]));
    let data = frame.get("data").map(|data| RawValue::from_string(data.to_string()).unwrap());
    let reply_to = text_or_none(&frame["reply_to"]);
    let message = |text| ChatMessage {
        ts,
        user,
        written: Written { client_id, text, data: data.as_deref(), reply_to },
    };
    let was: Vec<Position> =
        frame.get("was").into_iter().flat_map(list).map(|was| position(was).unwrap()).collect();
    let version = number(&frame["version"]);
    let placing = Placing {
        group: text(&frame["group"]),
        id: id(&frame["id"]),
        position: position(&frame["position"]),
        was: &was,
        edited: (version > 1).then(|| Edited { first: position(&frame["first"]), version }),
    };
    let payload = if is_true(&frame["deleted"]) {
        Deleted { client_id, ts, user }.payload()
    } else if version > 1 {
        message(text(&frame["text"])).edited_payload()
    } else {
        message(text(&frame["text"])).payload()
    };
    place(&placing, &payload)
}

fn rebuild_error(frame: &Value) -> Bytes {
    let (reference, group) = (text_or_none(&frame["ref"]), text_or_none(&frame["group"]));
    let message = text(&frame["message"]);
    let code = ErrorCode::ALL.iter().find(|code| code.as_str() == frame["code"]).copied();
    let code = code.unwrap_or_else(|| panic!("no such code: {}", frame["code"]));
    if code == ErrorCode::RateLimited {
        let (limit, window_s) = (number(&frame["limit"]), number(&frame["window_s"]));
        let retry_after_s = number(&frame["retry_after_s"]);
        return encode(&RateLimited { reference, group, message, limit, window_s, retry_after_s });
    }
    encode(&ErrorFrame { reference, group, code, message })
}

fn layer(layer: &Value) -> Layer<'_> {
    let caught_up = layer.get("caught_up").map(|caught_up| CaughtUp {
        messages: number(&caught_up["messages"]),
        ballots: number(&caught_up["ballots"]),
    });
    Layer {
        state: text(&layer["state"]),
        mode: text(&layer["mode"]),
        scope: text(&layer["scope"]),
        since: number(&layer["since"]),
        caught_up,
    }
}

/// The messages as texts, and the other fields as slots.
fn snapshot(snapshot: &Value) -> (Vec<Bytes>, Vec<(&str, Box<RawValue>)>) {
    let slots = snapshot.as_object().unwrap().iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let raw = |value: &Value| RawValue::from_string(value.to_string()).unwrap();
    (messages(&snapshot["messages"]), slots.map(|(name, value)| (name.as_str(), raw(value))).collect())
}

fn messages(messages: &Value) -> Vec<Bytes> {
    list(messages).iter().map(|message| payload(&rebuild_message(message))).collect()
}

fn user(user: &Value) -> User<'_> {
    User { id: text(&user["id"]), name: text(&user["name"]) }
}
