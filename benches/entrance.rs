//! What a client does before it takes part: where it asks for the upgrade, what it says then, what it waits for.

use crate::client::Stage;
use crate::{speech, wire};

/// What a client says after the handshake, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The limit program: nothing.
    Limit,
    /// The limit program: what [`Entrance::Join`] says, which it answers without reading it.
    LimitJoin {
        /// How many groups there would be.
        groups: u32,
    },
    /// The hub: `hello`.
    Hello,
    /// The hub: `hello`, and a `join`; client `i` joins group `i % groups`.
    Join {
        /// How many groups there are.
        groups: u32,
    },
}

impl Entrance {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Limit | Self::LimitJoin { .. } => "/",
            Self::Hello | Self::Join { .. } => "/ws",
        }
    }

    /// The frames that client `number` sends when it is upgraded: all at once, the hub need not be waited for.
    pub(crate) fn greeting(self, number: usize) -> Vec<u8> {
        let mut greeting = Vec::new();
        if self != Self::Limit {
            wire::put_masked(&mut greeting, wire::TEXT, &speech::hello());
        }
        if let Self::Join { groups } | Self::LimitJoin { groups } = self {
            let group = u32::try_from(number % groups as usize).expect("a remainder of a u32 fits one");
            wire::put_masked(&mut greeting, wire::TEXT, &speech::join(group));
        }
        greeting
    }

    /// Whether there is a layer that has to be healthy first.
    pub(crate) fn has_layer(self) -> bool {
        matches!(self, Self::Hello | Self::Join { .. })
    }

    /// Where a client stands when it has said its greeting.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Limit => Stage::Ready,
            Self::Hello => Stage::Greeting(1),
            Self::Join { .. } | Self::LimitJoin { .. } => Stage::Greeting(2),
        }
    }
}
