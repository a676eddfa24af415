//! What operators see of a node: its log, and its metrics.
//!
//! A leaf: it names nothing else of the server.

mod line;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod process;
mod repeats;
