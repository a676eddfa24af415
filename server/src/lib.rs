//! A WebSocket chat hub: groups of people behind browsers, on one node or many.
//!
//! ```text
//! listen → connection → consumer → channel layer → worker → socket
//! ```
//!
//! is the way of a message, and the order in which the modules are best read. [`Hub::builder`] puts a hub together from
//! a [channel layer](channel_layer), a [`Gate`] that says who clients are, and [`Consumer`]s that say what they can do.
//! The binary `palabre` is [`cli::main`]: a hub with guests and a [chat], which keeps some [values](state) beside the histories.

pub mod cli;
pub mod config;
mod connection;
pub mod consumer;
mod descriptors;
mod drain;
pub mod http;
mod hub;
mod layers;
mod listen;
mod pool;
pub mod position;
mod socket;
mod standing;
pub mod state;
mod worker;

pub mod chat;
mod observe;
pub mod people;

#[cfg(feature = "testing")]
pub mod testing;

pub use channel_layer;
pub use palabre_protocol as protocol;

pub use consumer::{Consumer, Context, Failure, Gate, Identity, Joined, Outcome, Runs};
pub use drain::{DrainPlan, Drained};
pub use hub::{Hub, HubBuilder, StartError};
pub use layers::layer;
pub use listen::{bind, bind_with, handshake::Handshake};
pub use worker::texts::Texts;

/// The guide's code, compiled and run.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../docs/consumers.md")]
pub struct Guide;
