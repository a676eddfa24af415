//! Who is in a group: the answer to who asks, and what is told of those who come and go.

use super::core::User;
use serde::Serialize;

/// The answer to a `presence` request.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "presence")]
pub struct Present<'a> {
    /// The request's.
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// The group.
    pub group: &'a str,
    /// How many members.
    pub occupancy: u64,
    /// All of them; none when they are too many to be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<&'a [User<'a>]>,
}

/// Somebody has come or gone.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "presence")]
pub struct PresenceChange<'a> {
    /// The group.
    pub group: &'a str,
    /// How many members it has now.
    pub occupancy: u64,
    /// Who has come, or is called otherwise now.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub joined: &'a [User<'a>],
    /// Who has gone.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub left: &'a [User<'a>],
}
