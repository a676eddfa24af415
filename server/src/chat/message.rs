//! What the chat's messages are made of: whose they are, by which id they are known, what makes two of them the same.
//!
//! An id is the client's choice and the same on every node, so that a repeat is known wherever it arrives.

use crate::{
    consumer::{
        Context, Failure,
        digest::{digest, hash},
    },
    position::from_wire,
};
use bytes::Bytes;
use channel_layer::{GroupName, Message, MessageId};
use palabre_protocol::{ChatMessage, Position, User, Written};
use std::time::{SystemTime, UNIX_EPOCH};

/// A message of this client's, with what makes a repeat the same: its id, its digest, where its sender stood at first.
pub(super) fn message(
    group: &GroupName,
    client_id: &str,
    payload: Bytes,
    digest: u64,
    since: Option<Position>,
    cx: &Context,
) -> Result<Message, Failure> {
    let floor = since.map(from_wire).transpose()?;
    let message = Message::frame(id(group, client_id, cx), payload);
    Ok(message.owned_by(cx.owner()).with_digest(digest).with_floor(floor))
}

/// What the others get to see of what this client wrote.
pub(super) fn shown<'a>(written: Written<'a>, cx: &'a Context) -> ChatMessage<'a> {
    ChatMessage { ts: now_ms(), user: user(cx), written }
}

/// What is said of the client to others.
pub(super) fn user(cx: &Context) -> User<'_> {
    let who = cx.identity();
    User { id: &who.id, name: &who.name }
}

/// The id of what this client calls `client_id`: the first 16 bytes of SHA-256 over the three, each after its length.
fn id(group: &GroupName, client_id: &str, cx: &Context) -> MessageId {
    let hash = hash(&[&[group.as_str(), &cx.identity().id, client_id]]);
    let (first, _) = hash.split_at(16);
    MessageId::from_u128(u128::from_be_bytes(first.try_into().expect("16 of 32 bytes")))
}

/// The digest of what a client wrote, behind whatever else its request said; not of what the hub adds: a repeat has the same.
pub(super) fn digest_of(what: &[&str], written: &Written<'_>) -> u64 {
    let Written { text, data, reply_to, .. } = written;
    let written = [*text, data.map_or("", |data| data.get()), reply_to.unwrap_or_default()];
    digest(&[what, &written])
}

/// The time of day, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
