//! Messages and their places: what was said, how far it got, what is missing.

use serde::Serialize;
use serde_json::value::RawValue;

use super::core::User;
use crate::hex;
use crate::place::Position;

/// A message as its sender's node encodes it, once: the payload that [`place`](crate::place()) completes.
///
/// Group, id and position are not in it, as a position comes later and may change.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "chat.message")]
pub struct ChatMessage<'a> {
    /// The sender's own.
    pub client_id: &'a str,
    /// When the hub took it, in milliseconds since 1970.
    pub ts: u64,
    /// The sender.
    pub user: User<'a>,
    /// What they wrote.
    pub text: &'a str,
    /// The sender's JSON, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a RawValue>,
    /// The id of the message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<&'a str>,
    /// 1, until messages can be edited.
    pub version: u64,
}

/// The answer to a send.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "ack")]
pub struct Ack<'a> {
    /// The request's.
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// The group that it went to.
    pub group: &'a str,
    /// The message's.
    #[serde(serialize_with = "hex::id")]
    pub id: u128,
    /// Its place; none yet means that a [`Settled`] follows.
    pub position: Option<Position>,
    /// How far it got: `cluster` or `node`.
    pub scope: &'a str,
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
    /// The hole's own place in the order.
    pub position: Position,
    /// How many messages are missing before it.
    pub lost: u64,
    /// One of [`Reason`](super::Reason)'s words.
    pub reason: &'a str,
}
