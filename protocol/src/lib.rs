//! Every word that a browser and the hub say to each other.
//!
//! Text in, types out, and back. What a client says goes through [`decode`], which gives a [`Request`] or a
//! [`Refusal`] that carries the client's `ref`, never a panic; the request's fields become a type by
//! [`Request::body`]. What the hub says is one of the structs of [`event`], made into a whole WebSocket frame by
//! [`encode`]. A message for many is encoded once as a payload, and [`place`](place()) puts its position in.
//!
//! `docs/protocol.md` is the specification; the samples in `frames/` are the contract, which this crate and the
//! browser's script both decode.
//!
//! No IO, no clock, and nothing here has heard of a channel layer, of users' rights or of Redis. What a group may be
//! called is not known here either: names are passed as strings, and checked where they become names.

pub mod request;

pub mod event;

pub mod codec;
pub mod place;

pub mod frame;

pub mod close;
pub mod error;

mod hex;
mod strict;

pub use close::CloseCode;
pub use codec::{Limits, Rejected, decode, encode};
pub use error::{ErrorCode, Refusal};
pub use event::{
    Ack, CaughtUp, ChatMessage, ChatReactions, ChatSlot, ChatTyping, Counts, Deleted, Done, Drain,
    ErrorFrame, Gap, Item, Layer, Left, Outcome, Ping, Pong, PresenceChange, Present, RESERVED, RateLimited,
    Reacted, Reason, Settled, Slots, Snapshot, User, Welcome, history, joined, resumed, resync,
};
pub use place::{Edited, Placing, Position, payload, place};
pub use request::{
    Delete, Edit, Hello, History, Join, JoinGroup, Leave, Presence, React, Read, Request, Send, Typing,
    Written,
};
