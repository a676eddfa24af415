//! What a client does before it takes part: where it asks for the upgrade, what it says then, what it waits for.

use crate::client::Stage;
use crate::{speech, wire};

/// What a client says after the handshake, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The limit program: nothing.
    Limit,
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
            Self::Limit => "/",
            Self::Hello | Self::Join { .. } => "/ws",
        }
    }

    /// The frames that client `number` sends when it is upgraded: all at once, the hub need not be waited for.
    pub(crate) fn greeting(self, number: usize) -> Vec<u8> {
        let mut greeting = Vec::new();
        if self != Self::Limit {
            wire::put_masked(&mut greeting, wire::TEXT, &speech::hello());
        }
        if let Self::Join { groups } = self {
            let group = u32::try_from(number % groups as usize).expect("a remainder of a u32 fits one");
            wire::put_masked(&mut greeting, wire::TEXT, &speech::join(group));
        }
        greeting
    }

    /// Where a client stands when it has said its greeting.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Limit => Stage::Ready,
            Self::Hello => Stage::Greeting(1),
            Self::Join { .. } => Stage::Greeting(2),
        }
    }
}
