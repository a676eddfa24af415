//! From the network to a connection: accepted, spoken to in HTTP, upgraded, handed on.

pub(crate) mod acceptor;
pub(crate) mod arrive;
pub(crate) mod handshake;
pub(crate) mod serve;

pub use acceptor::bind;
