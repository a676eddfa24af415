//! What the hub says: a struct a frame, each writing its own `type`.
//!
//! They borrow what they show and live as long as it takes to [`encode`](crate::encode) them. Frames that carry messages,
//! [`joined`], [`resumed`], [`history`] and [`resync`], are made by functions instead, since messages are ready JSON texts that are not
//! parsed again. `docs/protocol.md` explains each field.

mod chat;
mod core;
mod error;
mod marks;
mod presence;
mod reason;
mod snapshot;
mod welcome;

pub use self::chat::{Ack, ChatMessage, Deleted, Gap, Item, Settled};
pub use self::core::{CaughtUp, Drain, Layer, Left, Ping, Pong, User};
pub use self::error::{ErrorFrame, RateLimited};
pub use self::marks::{ChatReactions, ChatSlot, ChatTyping, Counts, Done, Reacted};
pub use self::presence::{PresenceChange, Present};
pub use self::reason::Reason;
pub use self::snapshot::{Outcome, RESERVED, Slots, Snapshot, history, joined, resumed, resync};
pub use self::welcome::Welcome;
