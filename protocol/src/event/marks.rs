//! What people do to a group beside writing: hints that somebody types, reactions, how far one has read.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::core::User;
use crate::hex;
use crate::place::Position;

/// Somebody is writing: what [`place`](crate::place()) completes.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "chat.typing")]
pub struct ChatTyping<'a> {
    /// Who.
    pub user: User<'a>,
}

impl ChatTyping<'_> {
    /// The payload for [`place`](crate::place()).
    pub fn payload(&self) -> Bytes {
        crate::payload(&crate::encode(self))
    }
}

/// How many have given each kind of reaction; written as an object.
#[derive(Debug, Clone, Copy)]
pub struct Counts<'a>(pub &'a [(String, u64)]);

impl Serialize for Counts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut counts = serializer.serialize_map(Some(self.0.len()))?;
        for (kind, count) in self.0 {
            counts.serialize_entry(kind, count)?;
        }
        counts.end()
    }
}

/// A message's reactions have changed: what [`place`](crate::place()) completes, with the message's id.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "chat.reactions")]
pub struct ChatReactions<'a> {
    /// All of them.
    pub counts: Counts<'a>,
    /// Rises with each change: of two frames the greater is the later.
    pub rev: u64,
}

impl ChatReactions<'_> {
    /// The payload for [`place`](crate::place()).
    pub fn payload(&self) -> Bytes {
        crate::payload(&crate::encode(self))
    }
}

/// The chat's own part of a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct ChatSlot<'a> {
    /// The reactions to those messages of the snapshot that have some.
    #[serde(serialize_with = "by_id", skip_serializing_if = "<[_]>::is_empty")]
    pub reactions: &'a [(u128, Reacted<'a>)],
    /// How far this user has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Position>,
    /// Messages of others after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// There are more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unread_more: bool,
}

/// One message's reactions, as one user sees them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Reacted<'a> {
    /// All of them.
    pub counts: Counts<'a>,
    /// Rises with each change.
    pub rev: u64,
    /// Those that this user has given.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub mine: &'a [String],
}

fn by_id<S: Serializer>(reactions: &[(u128, Reacted<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(reactions.len()))?;
    for (id, reacted) in reactions {
        map.serialize_entry(hex::as_str(&hex::of_u128(*id)), reacted)?;
    }
    map.end()
}

/// The answer to what has no place in the order of messages.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "ack")]
pub struct Done<'a> {
    /// The request's `ref`.
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// The group that it was about.
    pub group: &'a str,
    /// The message that it was about, if it was one.
    #[serde(serialize_with = "hex::optional_id", skip_serializing_if = "Option::is_none")]
    pub id: Option<u128>,
    /// How far the user has read now, if it was about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Position>,
    /// How far it got: `cluster` or `node`.
    pub scope: &'a str,
}
