//! From the network to a connection: accepted, counted, spoken to in HTTP, judged, upgraded, handed on.

pub(crate) mod acceptor;
pub(crate) mod arrive;
pub(crate) mod crowd;
pub(crate) mod denied;
pub(crate) mod guarded;
pub(crate) mod handshake;
pub(crate) mod lines;
pub(crate) mod pace;
pub(crate) mod preamble;
pub(crate) mod proxied;
pub(crate) mod rules;
pub(crate) mod serve;

pub use acceptor::{bind, bind_with};
