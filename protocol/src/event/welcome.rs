//! The answer to `hello`: all that a client has to know about itself, the node and the hub's limits.

use std::fmt;

use serde::Serialize;

use super::core::{Layer, User, nested};
use crate::codec::Limits;

/// The answer to `hello`.
///
/// Its `Debug` form does not show the token.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "welcome")]
pub struct Welcome<'a> {
    /// The request's.
    #[serde(rename = "ref")]
    pub reference: &'a str,
    /// Who the hub takes the client for.
    pub user: User<'a>,
    /// For the next `hello`, when the hub made this identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a str>,
    /// A random id.
    pub session: &'a str,
    /// The node's process: new at each start.
    pub node: &'a str,
    /// How the channel layer stands.
    #[serde(serialize_with = "nested")]
    pub layer: Layer<'a>,
    /// How much the client may say at once.
    pub limits: &'a Limits,
    /// The most seconds that the hub stays silent.
    pub ping_s: u32,
    /// Optional parts that this hub has.
    pub features: &'a [&'a str],
}

impl fmt::Debug for Welcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("reference", &self.reference)
            .field("user", &self.user)
            .field("token", &self.token.map(|_| "***"))
            .field("session", &self.session)
            .field("node", &self.node)
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
