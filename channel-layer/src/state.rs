//! How a layer is, as clients, operators and logs are told.

use crate::position::Scope;
use std::time::{SystemTime, UNIX_EPOCH};

/// What joins the nodes, as configured; it never changes while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: this node is the whole hub.
    Memory,
    /// Redis.
    Redis,
    /// Another relay, by the name that its layer was given.
    Other(&'static str),
}

impl Mode {
    /// The word for it on the wire and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Other(name) => name,
        }
    }
}

/// Whether it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The first link to the backend is being made.
    Connecting,
    /// What is sent reaches every node.
    Healthy,
    /// Something is late; what is sent may still reach every node.
    Suspect,
    /// The backend is away: what is sent reaches the members on this node now, and those on the others once it is back.
    Degraded,
    /// The backend is back, and what was sent meanwhile is being exchanged.
    Healing,
}

impl Health {
    /// The whole list.
    pub const ALL: &[Self] = &[Self::Connecting, Self::Healthy, Self::Suspect, Self::Degraded, Self::Healing];

    /// The word for it on the wire and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Degraded => "degraded",
            Self::Healing => "healing",
        }
    }
}

/// Mode and health at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerState {
    /// What joins the nodes.
    pub mode: Mode,
    /// Whether it works.
    pub health: Health,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Since when this node has been without the others that it should have; `None`: it is not.
    pub apart_since_ms: Option<u64>,
    /// What was exchanged before it became healthy again.
    pub caught_up: Option<CaughtUp>,
}

/// What an outage had kept from the members of other nodes, or from those here, and they have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaughtUp {
    /// How many messages: those that this node had kept, and those that it lacked.
    pub messages: u64,
}

impl LayerState {
    /// The state that begins now.
    #[must_use]
    pub fn now(mode: Mode, health: Health) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let state = Self { mode, health, since_ms, apart_since_ms: None, caught_up: None };
        let is_apart = mode != Mode::Memory && state.scope() == Scope::Node;
        Self { apart_since_ms: is_apart.then_some(since_ms), ..state }
    }

    /// The state that follows this one now.
    pub(crate) fn then(&self, health: Health) -> Self {
        let next = Self::now(self.mode, health);
        Self { apart_since_ms: next.apart_since_ms.map(|now| self.apart_since_ms.unwrap_or(now)), ..next }
    }

    /// How far what is sent now reaches.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match (self.mode, self.health) {
            (Mode::Redis | Mode::Other(_), Health::Healthy | Health::Suspect) => Scope::Cluster,
            _ => Scope::Node,
        }
    }
}
