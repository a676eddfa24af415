//! Groups of mailboxes that reach across nodes.
//!
//! Send to a group through a [`ChannelLayer`]; read from a [`Mailbox`]; drop it to leave. Payloads are opaque; no
//! socket and no user lives here. The `mod` lines are in reading order: what is said, who carries it, who hands it
//! out, who gets it.
//!
//! ```
//! use channel_layer::{ChannelLayer, Delivery, MemoryLayer, Message, MessageId, Received, Retention};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = MemoryLayer::new();
//! let mut mailbox = layer.new_channel(64);
//! let lobby: channel_layer::GroupName = "lobby".parse()?;
//!
//! layer.group_add(lobby.clone(), mailbox.channel().clone()).await?;
//! let hello = Message::frame(MessageId::random(), "hello");
//! let sent = layer.group_send(lobby, hello, Retention::Kept).await?;
//!
//! let Received::Delivery(Delivery::Message(posted)) = mailbox.recv().await else { panic!() };
//! assert_eq!(posted.position, sent.position);
//! # Ok(())
//! # }
//! ```

mod amend;
mod bounds;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delivery;
mod envelope;
mod error;
mod gap;
mod history;
mod layer;
mod mailbox;
mod member;
mod memory;
mod message;
mod name;
mod position;
mod presence;
#[cfg(feature = "redis")]
mod redis;
mod registry;
mod relay;
mod report;
mod resilient;
mod state;

pub use amend::{Amendment, Amends, Owner, Version};
pub use bounds::{Bounds, Kept};
pub use delivery::{Delivery, Posted};
pub use error::{Error, Result};
pub use history::{GapReason, Lineage, Page, PastEpoch, Recovered, Remembered, Span};
pub use layer::{Answer, ChannelLayer, Sent};
pub use mailbox::{Mailbox, Received};
pub use member::{Attendance, Member, Roster};
pub use memory::MemoryLayer;
pub use message::{BODY_BYTES_MAX, Body, KIND_BYTES_MAX, Message, MessageId, Retention};
pub use name::{ChannelName, GroupHasher, GroupMap, GroupName, NAME_CHARS_MAX, NameError};
pub use position::{Epoch, Position, Scope};
pub use presence::{Known, Presence, PresenceRules, Presented, RowStored, RowWrite, Standing};
pub use relay::{Answered, Chain, Incoming, Link, LinkError, Opened, Opening, Outgoing, Relay, Verdict};
pub use report::{Backend, Census, Counts, Peer, Report};
pub use resilient::ResilientLayer;
pub use state::{CaughtUp, Health, LayerState, Mode};

#[cfg(feature = "redis")]
pub use crate::redis::{Beside, RedisRelay, Reply, Script};

/// 64 bits that nobody can foresee.
fn random_u64() -> u64 {
    getrandom::u64().expect("the system's random source works")
}
