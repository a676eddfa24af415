//! The section `[server]`: the node's own door, and the threads behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use crate::config::kinds::{count, text_like};
use crate::config::values::Values;

/// More threads than any machine has cores only take memory.
const WORKERS_MAX: usize = 256;

/// The section `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where HTTP and WebSockets are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that hold sockets, 1 to 256; none = half of the machine's cores, at least one.
    pub workers: Option<NonZeroUsize>,
}

impl Server {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let address = text_like(
            "must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080; names are not looked up",
        );
        Self {
            listen: from.value("listen", address, SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            workers: from.optional("workers", count(1..=WORKERS_MAX)).and_then(NonZeroUsize::new),
        }
    }
}
