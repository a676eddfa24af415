//! The core's frames: the layer's standing, membership that ended, signs of life, farewell.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Somebody, as others see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct User<'a> {
    /// Unique in the hub.
    pub id: &'a str,
    /// For people; several may share one.
    pub name: &'a str,
}

/// How the channel layer stands: a frame of its own at each change, and, without its `type`, a part of `welcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "layer")]
pub struct Layer<'a> {
    /// `connecting`, `healthy`, `suspect`, `degraded` or `healing`.
    pub state: &'a str,
    /// `redis` or `memory`, as configured.
    pub mode: &'a str,
    /// How far messages get now: `cluster` or `node`.
    pub scope: &'a str,
    /// When the state began, in milliseconds since 1970.
    pub since: u64,
    /// What was brought to the other nodes after an outage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<CaughtUp>,
}

/// What a heal brought to the other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CaughtUp {
    /// How many messages.
    pub messages: u64,
    /// How many ballots.
    pub ballots: u64,
}

/// For `serialize_with`: the layer's standing inside another frame.
pub(super) fn nested<S: Serializer>(layer: &Layer<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let Layer { state, mode, scope, since, caught_up } = layer;
    let mut fields = serializer.serialize_struct("Layer", 5)?;
    fields.serialize_field("state", state)?;
    fields.serialize_field("mode", mode)?;
    fields.serialize_field("scope", scope)?;
    fields.serialize_field("since", since)?;
    match caught_up {
        Some(caught_up) => fields.serialize_field("caught_up", caught_up)?,
        None => fields.skip_field("caught_up")?,
    }
    fields.end()
}

/// The answer to a `leave`, one a group.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "left")]
pub struct Left<'a> {
    /// The request's.
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// The group that was left.
    pub group: &'a str,
}

/// This node is going to stop.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "drain")]
pub struct Drain {
    /// Come back after about so many milliseconds.
    pub reconnect_ms: u64,
}

/// Is the client there?
#[derive(Debug, Clone, Copy)]
pub struct Ping;

/// The hub is there.
#[derive(Debug, Clone, Copy)]
pub struct Pong;

impl Serialize for Ping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bare("ping", serializer)
    }
}

impl Serialize for Pong {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bare("pong", serializer)
    }
}

/// A frame with a type and nothing else.
fn bare<S: Serializer>(kind: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("Bare", 1)?;
    fields.serialize_field("type", kind)?;
    fields.end()
}
