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
}

impl LayerState {
    /// The state that begins now.
    #[must_use]
    pub fn now(mode: Mode, health: Health) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { mode, health, since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
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
