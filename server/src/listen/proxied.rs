//! Who is behind a proxy: what `X-Forwarded-*` says, believed of proxies that the operator trusts and of nobody else.
//!
//! Pure. Anybody can write these headers; a proxy adds to what it was sent. So the client is the rightmost address that is
//! not a trusted proxy's own, and what stands left of it is the client's own tale. Host and scheme are taken from the
//! last value, which the trusted peer itself wrote. `Forwarded` (RFC 7239) is not read: hardly a proxy sends it unless
//! asked, and two headers that may disagree are one too many.

use crate::config::{Authority, Network, Scheme};
use hyper::header::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Box<[Network]>);

/// What a trusted proxy says of the request that it passes on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The host that the client asked for, if it is said; an error if that is no host.
    pub(crate) host: Option<Result<Authority, ()>>,
    /// How the client spoke to the proxy, if it is said.
    pub(crate) scheme: Option<Scheme>,
}

impl Proxies {
    pub(crate) fn new(trusted: &[Network]) -> Self {
        Self(trusted.into())
    }

    /// Whether what this peer says of others is believed.
    pub(crate) fn trust(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer))
    }

    /// Whose request it is that came from `peer`.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.ip().to_canonical();
        let mut said = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut hops = said.by_ref().flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        while self.trust(client) {
            // What is no address ends the tale: left of it anything may stand.
            match hops.next().and_then(address) {
                Some(hop) => client = hop,
                None => break,
            }
        }
        client
    }

    /// What `peer` says of the request besides; nothing unless it is trusted.
    pub(crate) fn told(&self, peer: SocketAddr, headers: &HeaderMap) -> Told {
        if !self.trust(peer.ip()) {
            return Told::default();
        }
        let scheme = match last(headers, &X_FORWARDED_PROTO) {
            Some("http" | "ws") => Some(Scheme::Http),
            Some("https" | "wss") => Some(Scheme::Https),
            _ => None,
        };
        Told { host: last(headers, &X_FORWARDED_HOST).map(|host| host.parse().map_err(drop)), scheme }
    }
}

/// The last of the values that stand in a header, between commas or in lines of their own.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?;
    Some(value.to_str().ok()?.rsplit(',').next().unwrap_or_default().trim())
}

/// An address, also with a port after it as some proxies write it.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|with_port| with_port.ip()));
    bare.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn proxies() -> Proxies {
        Proxies::new(&["127.0.0.1", "10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn the_client_is_the_rightmost_that_is_no_trusted_proxy() {
        let table: &[(&str, &[&str], &str)] = &[
            // Nobody is believed who is not listed, whatever they write.
            ("192.0.2.1:1", &[], "192.0.2.1"),
            ("192.0.2.1:1", &["203.0.113.9"], "192.0.2.1"),
            ("192.0.2.1:1", &["203.0.113.9, 10.0.0.1"], "192.0.2.1"),
            ("127.0.0.2:1", &["203.0.113.9"], "127.0.0.2"),
            // A trusted proxy is.
            ("127.0.0.1:1", &["203.0.113.9"], "203.0.113.9"),
            ("[::ffff:127.0.0.1]:1", &["203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1:1", &["2001:db8::7"], "2001:db8::7"),
            ("127.0.0.1:1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("127.0.0.1:1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1:1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("127.0.0.1:1", &[], "127.0.0.1"),
            // Through several, what the client itself wrote stays out.
            ("127.0.0.1:1", &["203.0.113.9, 10.0.0.1"], "203.0.113.9"),
            ("127.0.0.1:1", &["1.1.1.1, 203.0.113.9,10.0.0.1 , fd00::2"], "203.0.113.9"),
            ("127.0.0.1:1", &["1.1.1.1", "203.0.113.9", "10.0.0.1"], "203.0.113.9"),
            ("127.0.0.1:1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // What is no address ends it.
            ("127.0.0.1:1", &["203.0.113.9, unknown"], "127.0.0.1"),
            ("127.0.0.1:1", &["203.0.113.9, , 10.0.0.1"], "10.0.0.1"),
            ("127.0.0.1:1", &["203.0.113.9\u{e9}"], "127.0.0.1"),
            ("127.0.0.1:1", &[""], "127.0.0.1"),
        ];
        for (peer, lines, client) in table {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let found = proxies().client(peer.parse().unwrap(), &headers(&lines));
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    #[test]
    fn host_and_scheme_are_what_the_trusted_peer_wrote_last() {
        let said = headers(&[
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-host", "evil.example, Chat.example.org:8443"),
            ("x-forwarded-proto", "http,https"),
        ]);
        let told = proxies().told("10.1.1.1:1".parse().unwrap(), &said);
        let host = Some(Ok("chat.example.org:8443".parse().unwrap()));
        assert_eq!(told, Told { host, scheme: Some(Scheme::Https) });
        assert_eq!(proxies().told("192.0.2.1:1".parse().unwrap(), &said), Told::default());
        let odd = headers(&[("x-forwarded-host", "a b"), ("x-forwarded-proto", "gopher")]);
        let told = proxies().told("10.1.1.1:1".parse().unwrap(), &odd);
        assert_eq!(told, Told { host: Some(Err(())), scheme: None });
    }
}
