//! What operators see of a node: so far its log.
//!
//! A leaf: it names nothing else of the server.

pub(crate) mod logs;
