//! The section `[server]`: the node's own door, and the threads behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use crate::config::kinds::{count, list, switch, text, text_like};
use crate::config::values::Values;
use crate::config::{Authority, Network, Origin};

/// More threads than any machine has cores only take memory.
const WORKERS_MAX: usize = 256;
/// Each is looked at for each handshake; more than that is a matter for something in front of the hub.
const LISTED_MAX: usize = 100;
/// More than any kernel gives one process.
const CONNECTIONS_MAX: usize = 10_000_000;
/// A node takes in some 20,000 a second when it does nothing else: a fourth of that leaves those who are here their time.
const ACCEPT_RATE: u32 = 5_000;
/// No node is faster.
const ACCEPT_RATE_MAX: u32 = 1_000_000;
/// With the usual 128 a storm of reconnects waits for retransmitted SYNs.
const BACKLOG: u16 = 4_096;

/// The section `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where HTTP and WebSockets are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that hold sockets, 1 to 256; none = half of the machine's cores, at least one.
    pub workers: Option<NonZeroUsize>,
    /// Hosts that the hub answers to, beside those of loopback if it listens there; none listed = whatever is asked for
    /// of a hub that can be reached from outside.
    pub hosts: Vec<Authority>,
    /// Origins whose pages may open a WebSocket, beside pages of the host that they connect to.
    pub origins: Vec<Origin>,
    /// Proxies whose `X-Forwarded-For`, `-Host` and `-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether the trusted proxies speak the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// Connections that the node holds; none = as many as it has descriptors for.
    pub connections_max: Option<NonZeroUsize>,
    /// Connections that one client's address may have; none = any number.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Connections that are taken in each second; more wait in the backlog.
    pub accept_rate: u32,
    /// Connections that the kernel holds until they are accepted, as far as `net.core.somaxconn` allows.
    pub backlog: u16,
    /// Whether `/echo` is a WebSocket that is sent back what it says.
    pub echo: bool,
    /// Whether `/metrics` is served.
    pub metrics: bool,
}

impl Default for Server {
    fn default() -> Self {
        super::Settings::default().server
    }
}

impl Server {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let address = text_like(
            "must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080; names are not looked up",
        );
        let server = Self {
            listen: from.value("listen", address, SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            workers: from.optional("workers", count(1..=WORKERS_MAX)).and_then(NonZeroUsize::new),
            hosts: from.value("hosts", list(text(), LISTED_MAX), Vec::new()),
            origins: from.value("origins", list(text(), LISTED_MAX), Vec::new()),
            trusted_proxies: from.value("trusted_proxies", list(text(), LISTED_MAX), Vec::new()),
            proxy_protocol: from.value("proxy_protocol", switch(), false),
            connections_max: from
                .optional("connections_max", count(1..=CONNECTIONS_MAX))
                .and_then(NonZeroUsize::new),
            connections_per_address: from
                .optional("connections_per_address", count(1..=CONNECTIONS_MAX))
                .and_then(NonZeroUsize::new),
            accept_rate: from.value("accept_rate", count(1..=ACCEPT_RATE_MAX), ACCEPT_RATE),
            backlog: from.value("backlog", count(1..=u16::MAX), BACKLOG),
            echo: from.value("echo", switch(), false),
            metrics: from.value("metrics", switch(), true),
        };
        if server.proxy_protocol && server.trusted_proxies.is_empty() {
            let reason = "is believed of server.trusted_proxies alone: list the proxies there";
            from.refuse("server.proxy_protocol", reason.to_owned());
        }
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kinds::Raw;
    use crate::config::values::Given;

    fn read(name: &str, text: &str) -> Result<Server, usize> {
        let given = Given {
            key: format!("server.{name}"),
            origin: "here".to_owned(),
            raw: Raw::Text(text.to_owned()),
        };
        let given = [given];
        let mut values = Values::new(&given);
        let server = Server::read(values.section("server"));
        let problems = values.into_parts().1.len();
        if problems == 0 { Ok(server) } else { Err(problems) }
    }

    #[test]
    fn lists_of_the_web_are_read_and_what_is_none_is_refused() {
        assert_eq!(read("hosts", "chat.example.org, [::1]:8080").unwrap().hosts.len(), 2);
        assert_eq!(read("origins", "https://a.example,http://b.example:81").unwrap().origins.len(), 2);
        assert_eq!(read("trusted_proxies", "10.0.0.0/8,::1").unwrap().trusted_proxies.len(), 2);
        for (name, text) in [
            ("hosts", "*.example.org"),
            ("hosts", "http://chat.example.org"),
            ("origins", "*"),
            ("origins", "https://a.example/"),
            ("origins", "chat.example.org"),
            ("trusted_proxies", "localhost"),
            ("trusted_proxies", "10.0.0.1/8"),
            ("trusted_proxies", "0.0.0.0/0"),
            ("trusted_proxies", "127.0.0.1, ::/0"),
        ] {
            assert_eq!(read(name, text), Err(1), "{name} {text}");
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_others_has_to_be_trusted() {
        assert_eq!(read("proxy_protocol", "true"), Err(1));
        assert!(!read("proxy_protocol", "false").unwrap().proxy_protocol);
        assert!(read("echo", "true").unwrap().echo);
    }

    #[test]
    fn numbers_have_their_bounds() {
        assert_eq!(
            read("connections_max", "10000000").unwrap().connections_max.map(NonZeroUsize::get),
            Some(10_000_000)
        );
        assert_eq!(
            read("connections_per_address", "1").unwrap().connections_per_address,
            NonZeroUsize::new(1)
        );
        assert_eq!(read("accept_rate", "1").unwrap().accept_rate, 1);
        assert_eq!(read("backlog", "65535").unwrap().backlog, 65_535);
        for name in ["connections_max", "connections_per_address", "accept_rate", "backlog"] {
            for text in ["0", "-1", "99999999", "many"] {
                assert_eq!(read(name, text), Err(1), "{name} {text}");
            }
        }
    }
}
