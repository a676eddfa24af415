//! Messages and their places: what was said, how far it got, what is missing.

use bytes::Bytes;
use serde::Serialize;

use super::core::User;
use crate::frame::Draft;
use crate::hex;
use crate::place::Position;
use crate::request::Written;

/// A message as its sender's node encodes it, once: the payload that [`place`](crate::place()) completes.
///
/// Group, id and position are not in it, as a position comes later and may change. Like [`Ack`], it is written field by
/// field: these two are written once a message.
#[derive(Debug, Clone, Copy)]
pub struct ChatMessage<'a> {
    /// When the hub took it, in milliseconds since 1970.
    pub ts: u64,
    /// The sender.
    pub user: User<'a>,
    /// What they wrote.
    pub written: Written<'a>,
}

impl ChatMessage<'_> {
    /// The payload for [`place`](crate::place()) of a message that is sent: version 1.
    pub fn payload(&self) -> Bytes {
        self.write(b",\"version\":1}")
    }

    /// The payload of one that takes another's place, whose version [`place`](crate::place()) puts in.
    pub fn edited_payload(&self) -> Bytes {
        self.write(b"}")
    }

    fn write(&self, end: &[u8]) -> Bytes {
        let Self { ts, user, written: Written { client_id, text, data, reply_to } } = self;
        let mut draft = Draft::with_capacity(
            FIXED_BYTES + client_id.len() + text.len() + data.map_or(0, |data| data.get().len()),
        );
        draft.push(b"{\"type\":\"chat.message\",\"client_id\":");
        draft.text(client_id);
        draft.push(b",\"ts\":");
        draft.json(ts);
        draft.push(b",\"user\":{\"id\":");
        draft.text(user.id);
        draft.push(b",\"name\":");
        draft.text(user.name);
        draft.push(b"},\"text\":");
        draft.text(text);
        if let Some(data) = data {
            draft.push(b",\"data\":");
            draft.push(data.get());
        }
        if let Some(reply_to) = reply_to {
            draft.push(b",\"reply_to\":");
            draft.text(reply_to);
        }
        draft.push(end);
        draft.payload()
    }
}

/// What is left of a message that was deleted: what [`place`](crate::place()) completes.
#[derive(Debug, Clone, Copy)]
pub struct Deleted<'a> {
    /// The deletion's own.
    pub client_id: &'a str,
    /// When the hub took it, in milliseconds since 1970.
    pub ts: u64,
    /// Who wrote the message, and deleted it.
    pub user: User<'a>,
}

impl Deleted<'_> {
    /// The payload for [`place`](crate::place()).
    pub fn payload(&self) -> Bytes {
        #[derive(Serialize)]
        #[serde(tag = "type", rename = "chat.message")]
        struct Fields<'a> {
            client_id: &'a str,
            ts: u64,
            user: User<'a>,
            deleted: bool,
        }
        let Self { client_id, ts, user } = *self;
        crate::payload(&crate::encode(&Fields { client_id, ts, user, deleted: true }))
    }
}

/// Names of fields, numbers, and a user of usual length.
const FIXED_BYTES: usize = 192;

/// The answer to a send.
#[derive(Debug, Clone, Copy)]
pub struct Ack<'a> {
    /// The request's `ref`.
    pub reference: &'a str,
    /// The group that it went to.
    pub group: &'a str,
    /// The message's.
    pub id: u128,
    /// Its place; none yet means that a [`Settled`] follows.
    pub position: Option<Position>,
    /// How far it got: `cluster` or `node`.
    pub scope: &'a str,
}

impl Ack<'_> {
    /// The whole frame.
    pub fn encode(&self) -> Bytes {
        let Self { reference, group, id, position, scope } = self;
        let mut draft = Draft::with_capacity(FIXED_BYTES + reference.len() + group.len());
        draft.push(b"{\"type\":\"ack\",\"ref\":");
        draft.text(reference);
        draft.push(b",\"group\":");
        draft.text(group);
        draft.push(b",\"id\":\"");
        draft.push(hex::of_u128(*id));
        draft.push(b"\",\"position\":");
        draft.optional_position(*position);
        draft.push(b",\"scope\":");
        draft.text(scope);
        draft.push(b"}");
        draft.finish()
    }
}

/// Positions of messages that the client has already.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "settled")]
pub struct Settled<'a> {
    /// The group that they are in.
    pub group: &'a str,
    /// In the order of the history.
    pub items: &'a [Item],
}

/// One message of a [`Settled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The message's id.
    #[serde(serialize_with = "hex::id")]
    pub id: u128,
    /// Its place.
    pub position: Position,
}

/// An announced hole in a group's history.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "gap")]
pub struct Gap<'a> {
    /// The group.
    pub group: &'a str,
    /// The hole's own place in the order; null while that is not known.
    pub position: Option<Position>,
    /// How many messages are missing before it.
    pub lost: u64,
    /// One of [`Reason`](super::Reason)'s words.
    pub reason: &'a str,
}
