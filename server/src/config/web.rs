//! Places on the web, as operators write them and as requests name them: hosts, origins, networks of proxies.
//!
//! All of them are compared exactly, after what means the same has been made the same: names in lower case, a scheme's own
//! port left out, an IPv4 address inside an IPv6 one taken out of it. There are no patterns: `example.org` is neither
//! `chat.example.org` nor `example.org.`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// `host` or `host:port`; an IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    host: Box<str>,
    port: Option<u16>,
}

/// How a page was fetched, or a WebSocket is spoken: in the clear, or under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `http` and `ws`.
    Http,
    /// `https` and `wss`.
    Https,
}

/// Where a page comes from: `https://chat.example.org`, and nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// Addresses with a common beginning: `10.0.0.0/8`, `fd00::/8`, or a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network(IpNet);

impl Authority {
    /// Whether this names the machine itself to every program on it, whoever answers its questions about names.
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.is_loopback(),
            None => &*self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The address, where no name stands for it.
    pub fn ip(&self) -> Option<IpAddr> {
        let address = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        address.unwrap_or(&self.host).parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// The port, if one is said.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both may mean the same place, when it is not known under which scheme they were said: a port that is left
    /// out is then either scheme's own.
    pub fn fits(&self, other: &Self) -> bool {
        self.host == other.host
            && match (self.port, other.port) {
                (Some(one), Some(another)) => one == another,
                (Some(port), None) | (None, Some(port)) => {
                    [Scheme::Http, Scheme::Https].map(Scheme::port).contains(&port)
                }
                (None, None) => true,
            }
    }
}

impl FromStr for Authority {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or("must be a host name or an IP address, and a port if it is not the usual one")
    }
}

fn parse(text: &str) -> Option<Authority> {
    let (host, port) = match text.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => {
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = is_number.then(|| port.parse().ok())?.filter(|port| *port != 0)?;
            (host, Some(port))
        }
        _ => (text, None),
    };
    let fits = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            !host.is_empty() && host.bytes().all(is_plain)
        }
    };
    fits.then(|| Authority { host: host.to_ascii_lowercase().into(), port })
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Origin {
    /// Whether a page from here was served by `host`. A proxy that ends TLS passes the host without the scheme: while
    /// that is not known, either will do, with its own port.
    pub fn is_of(&self, host: &Authority, scheme: Option<Scheme>) -> bool {
        let usual = self.scheme.port();
        self.authority.host == host.host
            && self.authority.port.unwrap_or(usual) == host.port.unwrap_or(usual)
            && scheme.is_none_or(|scheme| scheme == self.scheme)
    }
}

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be an origin as browsers send it, like https://chat.example.org or \
                                http://127.0.0.1:8080: no path, no pattern, each by itself";
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(EXPECTED),
        };
        let mut authority = parse(rest).ok_or(EXPECTED)?;
        authority.port = authority.port.filter(|port| *port != scheme.port());
        Ok(Self { scheme, authority })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

impl Network {
    /// Whether an address is one of these.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = || text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
        let network = text.parse::<IpNet>().or_else(|_| one());
        let network = network.map_err(|_| "must be an address or a network, like 10.0.0.5 or 10.0.0.0/8")?;
        if network.prefix_len() == 0 {
            return Err("is everybody, who could then claim any address: list the proxies");
        }
        // What stands after the prefix would be passed over in silence, and may be a slip of the prefix.
        if network.trunc() == network { Ok(Self(network)) } else { Err("has bits set after its prefix") }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(text: &str) -> Authority {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for (text, shown) in [
            ("chat.example.org", "chat.example.org"),
            ("Chat.Example.ORG:8443", "chat.example.org:8443"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]", "[::1]"),
            ("[FD00::1]:80", "[fd00::1]:80"),
            ("chat_1", "chat_1"),
            ("chat.example.org.", "chat.example.org."),
        ] {
            assert_eq!(authority(text).to_string(), shown);
        }
        for text in [
            "",
            ":80",
            "h:",
            "h:0",
            "h:99999",
            "h:+80",
            "h:80:80",
            "h h",
            "u@h",
            "h/",
            "h/x",
            "h?x",
            "h#x",
            "[::1",
            "::1",
            "[::1]x",
            "[]",
            "[x]",
            "[127.0.0.1]",
            "h%00",
            "h\\x",
            "é",
            "*",
            "*.example.org",
            "h,h",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_can_mean_nothing_else_is_loopback() {
        for text in [
            "localhost",
            "LOCALHOST:1",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(authority(text).is_loopback(), "{text}");
        }
        for text in [
            "localhost.",
            "localhost.example.org",
            "notlocalhost",
            "127.0.0.1.example.org",
            "127.1",
            "0.0.0.0",
            "[::]",
        ] {
            assert!(!authority(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_left_out_is_a_usual_one() {
        for (one, another, fits) in [
            ("h", "h", true),
            ("h", "H:80", true),
            ("h:443", "h", true),
            ("h:8443", "h:8443", true),
            ("h:8443", "h", false),
            ("h", "h:8080", false),
            ("h:80", "h:443", false),
            ("h", "i", false),
        ] {
            assert_eq!(authority(one).fits(&authority(another)), fits, "{one} {another}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for (text, shown) in [
            ("https://chat.example.org", "https://chat.example.org"),
            ("https://chat.example.org:443", "https://chat.example.org"),
            ("http://chat.example.org:443", "http://chat.example.org:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
        for text in [
            "*",
            "null",
            "",
            "chat.example.org",
            "https://",
            "https://h/",
            "HTTPS://h",
            "ws://h",
            "file://h",
            "https://*.h",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_one_address_or_many() {
        let contains =
            |network: &str, ip: &str| network.parse::<Network>().unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.1.2.3") && contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("0.0.0.0/1", "8.8.8.8") && !contains("0.0.0.0/1", "2001:db8::1"));
        for text in
            ["", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "localhost", "10.0.0.0/8 ", "*", "0.0.0.0/0", "::/0"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
