//! What is asked of every request before anybody looks at what it is for: that it can be read in one way only, and that
//! it was meant for this hub.
//!
//! Pure: a request's head, the other end's address and what was noticed of its lines in; who it is from and which host
//! it asks for out. The host matters most to a hub that only its own machine can reach: a page from elsewhere can have its
//! name point to 127.0.0.1, and its scripts could then read everything here as if it were theirs. So such a hub answers
//! to the names of loopback, on its own port, and to what the operator lists.

use crate::{
    config::{Authority, Network, Origin, Scheme},
    listen::{denied::Denied, proxied::Proxies},
};
use channel_layer::LayerState;
use hyper::{
    Method, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TRANSFER_ENCODING},
    http::request::Parts,
};
use std::net::{IpAddr, SocketAddr};
use tokio::sync::watch;

/// What every request to one listener is judged by.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Where the listener is; unknown when somebody else's server accepted the connection.
    pub(crate) at: Option<SocketAddr>,
    /// The hosts that the operator lists.
    pub(crate) hosts: Box<[Authority]>,
    /// The origins whose pages may open a WebSocket here, beside the hub's own.
    pub(crate) origins: Box<[Origin]>,
    /// Who is believed about others.
    pub(crate) proxies: Proxies,
    /// How the layer is, if nobody is taken in without it.
    pub(crate) shedding: Option<watch::Receiver<LayerState>>,
}

/// What is known of a request that passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whose request it is: the other end, or who is behind the proxies there.
    pub(crate) client: Option<IpAddr>,
    /// The host that it asks for; HTTP/1.0 need not say one.
    pub(crate) host: Option<Authority>,
    /// How the client speaks, if a trusted proxy says it.
    pub(crate) scheme: Option<Scheme>,
}

impl Rules {
    /// The rules of a listener at `at`.
    pub(crate) fn new(
        at: Option<SocketAddr>,
        hosts: &[Authority],
        origins: &[Origin],
        trusted: &[Network],
    ) -> Self {
        Self {
            at,
            hosts: hosts.into(),
            origins: origins.into(),
            proxies: Proxies::new(trusted),
            shedding: None,
        }
    }

    /// Whether no WebSocket is opened now.
    pub(crate) fn are_shedding(&self) -> bool {
        self.shedding.as_ref().is_some_and(|layer| layer.borrow().apart_since_ms.is_some())
    }

    /// Judges a request that came from `peer`.
    ///
    /// # Errors
    ///
    /// [`Denied`]: 400 for what can be read in more than one way, 405 for what only proxies are asked, 421 for a host that
    /// is not this hub's.
    pub(crate) fn judge(&self, parts: &Parts, peer: Option<SocketAddr>) -> Result<Seen, Denied> {
        shape(parts)?;
        let asked = match once(&parts.headers, &HOST)? {
            Some(host) => Some(host.parse().map_err(|_| Denied::bad("Host is malformed"))?),
            None if parts.version == Version::HTTP_10 => None,
            None => return Err(Denied::bad("exactly one Host is needed")),
        };
        let told = peer.map(|peer| self.proxies.told(peer, &parts.headers)).unwrap_or_default();
        let told_host = told.host.transpose().map_err(|()| Denied::bad("X-Forwarded-Host is malformed"))?;
        // Both are asked: where a trusted proxy stands on this machine, so does the browser of its user, whose pages
        // can write a header and not the Host.
        if [&asked, &told_host].into_iter().flatten().any(|host| !self.answers_to(host)) {
            return Err(Denied::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this hub does not answer to that Host: an operator lists it in server.hosts",
            ));
        }
        let client = peer.map(|peer| self.proxies.client(peer, &parts.headers));
        Ok(Seen { client, host: told_host.or(asked), scheme: told.scheme })
    }

    /// Whether a page of this origin may open a WebSocket at the host that it asked for.
    pub(crate) fn welcomes(&self, origin: &str, seen: &Seen) -> bool {
        let Ok(origin) = origin.parse::<Origin>() else { return false };
        let is_own = seen.host.as_ref().is_some_and(|host| origin.is_of(host, seen.scheme));
        is_own || self.origins.contains(&origin)
    }

    fn answers_to(&self, host: &Authority) -> bool {
        if self.hosts.iter().any(|listed| listed.fits(host)) {
            return true;
        }
        let Some(at) = self.at else { return self.hosts.is_empty() };
        let is_port = host.port().unwrap_or(80) == at.port();
        if at.ip().to_canonical().is_loopback() {
            is_port && host.is_loopback()
        } else {
            // An address cannot be made to point elsewhere, and is what probes ask for.
            self.hosts.is_empty() || (is_port && host.ip().is_some())
        }
    }
}

/// Whether a request has one meaning, for us and for any proxy in front of us.
fn shape(parts: &Parts) -> Result<(), Denied> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Denied::new(StatusCode::METHOD_NOT_ALLOWED, "this is no proxy"));
    }
    if parts.uri.authority().is_some() {
        return Err(Denied::bad("ask for a path: whole addresses are for proxies"));
    }
    // hyper keeps one of several and checks its form; more than one never gets here but by a change of hyper's.
    once(&parts.headers, &CONTENT_LENGTH)?;
    match once(&parts.headers, &TRANSFER_ENCODING)? {
        Some(encoding) if !encoding.eq_ignore_ascii_case("chunked") => {
            Err(Denied::bad("the only Transfer-Encoding here is chunked"))
        }
        _ => Ok(()),
    }
}

/// The value of a header that must not stand more than once, and must be visible ASCII.
pub(crate) fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Denied> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(value) if values.next().is_none() => Ok(Some(value)),
        _ => Err(Denied::bad(match *name {
            HOST => "exactly one Host is needed",
            _ => "a header that may stand only once stands twice, or is no plain text",
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn parts(uri: &str, headers: Headers<'_>) -> Parts {
        let request =
            headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn rules(at: &str, hosts: &[&str]) -> Rules {
        let hosts: Vec<_> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Rules::new(Some(at.parse().unwrap()), &hosts, &[], &["10.0.0.0/8".parse().unwrap()])
    }

    fn status(rules: &Rules, uri: &str, headers: Headers<'_>) -> u16 {
        let peer = "10.0.0.9:1".parse().unwrap();
        rules.judge(&parts(uri, headers), Some(peer)).map_or_else(|denied| denied.status.as_u16(), |_| 200)
    }

    #[test]
    fn a_hub_answers_to_its_own_hosts_alone() {
        const LOOPBACK: &str = "127.0.0.1:8080";
        const OUTSIDE: &str = "0.0.0.0:8080";
        let listed = &["chat.example.org", "localhost:9000"][..];
        let table: &[(&str, &[&str], &str, bool)] = &[
            (LOOPBACK, &[], "127.0.0.1:8080", true),
            (LOOPBACK, &[], "localhost:8080", true),
            (LOOPBACK, &[], "LocalHost:8080", true),
            (LOOPBACK, &[], "chat.localhost:8080", true),
            (LOOPBACK, &[], "127.1.2.3:8080", true),
            (LOOPBACK, &[], "[::1]:8080", true),
            (LOOPBACK, &[], "localhost", false),
            (LOOPBACK, &[], "localhost:8081", false),
            (LOOPBACK, &[], "evil.example:8080", false),
            (LOOPBACK, &[], "localhost.evil.example:8080", false),
            (LOOPBACK, &[], "127.0.0.1.evil.example:8080", false),
            (LOOPBACK, &[], "localhost.:8080", false),
            (LOOPBACK, &[], "0.0.0.0:8080", false),
            (LOOPBACK, &[], "192.168.1.1:8080", false),
            (LOOPBACK, listed, "chat.example.org", true),
            (LOOPBACK, listed, "Chat.Example.Org:443", true),
            (LOOPBACK, listed, "localhost:9000", true),
            (LOOPBACK, listed, "localhost:8080", true),
            (LOOPBACK, listed, "chat.example.org:8080", false),
            (LOOPBACK, listed, "chat.example.org.", false),
            (LOOPBACK, listed, "evil-chat.example.org", false),
            ("[::1]:80", &[], "localhost", true),
            ("[::ffff:127.0.0.1]:8080", &[], "evil.example:8080", false),
            (OUTSIDE, &[], "chat.example.org", true),
            (OUTSIDE, &[], "192.168.1.1:8080", true),
            (OUTSIDE, listed, "chat.example.org", true),
            (OUTSIDE, listed, "192.168.1.1:8080", true),
            (OUTSIDE, listed, "192.168.1.1", false),
            (OUTSIDE, listed, "evil.example", false),
        ];
        for (at, hosts, host, answers) in table {
            let expected = if *answers { 200 } else { 421 };
            assert_eq!(status(&rules(at, hosts), "/", &[("host", host)]), expected, "{at} {hosts:?} {host}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        let rules = rules("0.0.0.0:80", &[]);
        let table: &[(&str, Headers<'_>, u16)] = &[
            ("/", &[("host", "h")], 200),
            ("/", &[], 400),
            ("/", &[("host", "h"), ("host", "h")], 400),
            ("/", &[("host", "h, h")], 400),
            ("/", &[("host", "")], 400),
            ("/", &[("host", "u@h")], 400),
            ("http://h/", &[("host", "h")], 400),
            ("http://h/", &[("host", "other")], 400),
            ("/", &[("host", "h"), ("content-length", "1"), ("content-length", "1")], 400),
            ("/", &[("host", "h"), ("transfer-encoding", "chunked")], 200),
            ("/", &[("host", "h"), ("transfer-encoding", "gzip, chunked")], 400),
            ("/", &[("host", "h"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
            ("/", &[("host", "h"), ("x-forwarded-host", "a b")], 400),
        ];
        for (uri, headers, expected) in table {
            assert_eq!(status(&rules, uri, headers), *expected, "{uri} {headers:?}");
        }
        for method in [Method::CONNECT, Method::TRACE] {
            let mut parts = parts("/", &[("host", "h")]);
            parts.method = method;
            assert_eq!(rules.judge(&parts, None).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        }
        let mut old = parts("/", &[]);
        old.version = Version::HTTP_10;
        assert_eq!(rules.judge(&old, None).unwrap().host, None);
    }

    #[test]
    fn a_trusted_proxy_says_which_host_was_asked_for_and_nobody_else() {
        let rules = rules("127.0.0.1:8080", &["chat.example.org"]);
        let said = [
            ("host", "localhost:8080"),
            ("x-forwarded-host", "chat.example.org"),
            ("x-forwarded-proto", "https"),
        ];
        let seen = |peer: &str| rules.judge(&parts("/", &said), Some(peer.parse().unwrap())).unwrap();
        let from_proxy = seen("10.0.0.9:1");
        assert_eq!(from_proxy.host, Some("chat.example.org".parse().unwrap()));
        assert!(rules.welcomes("https://chat.example.org", &from_proxy));
        assert!(!rules.welcomes("http://chat.example.org", &from_proxy));
        let from_another = seen("127.0.0.1:1");
        assert_eq!(from_another.host, Some("localhost:8080".parse().unwrap()));
        // What a page elsewhere can write, when its name points here, does not hide where it is from.
        let rebound = [("host", "evil.example:8080"), ("x-forwarded-host", "localhost:8080")];
        assert_eq!(status(&rules, "/", &rebound), 421);
        assert!(!rules.welcomes("https://chat.example.org", &from_another));
    }

    #[test]
    fn a_page_connects_to_the_host_it_came_from_or_is_listed() {
        let listed =
            ["https://chat.example.org", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
        let table: &[(&str, &str, bool)] = &[
            // Its own host. TLS may have ended at a proxy, so either scheme will do, with its own port.
            ("hub.example.org", "https://hub.example.org", true),
            ("hub.example.org", "http://hub.example.org", true),
            ("hub.example.org", "https://HUB.example.org", true),
            ("hub.example.org", "https://hub.example.org:443", true),
            ("hub.example.org:443", "https://hub.example.org", true),
            ("hub.example.org:80", "http://hub.example.org", true),
            ("hub.example.org:443", "http://hub.example.org", false),
            ("hub.example.org", "https://hub.example.org:8443", false),
            ("hub.example.org:8443", "https://hub.example.org:8443", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("127.0.0.1:8080", "http://127.0.0.1:8081", false),
            ("127.0.0.1:8080", "http://localhost:8080", false),
            ("[::1]:8080", "http://[::1]:8080", true),
            // Listed.
            ("hub.example.org", "https://chat.example.org", true),
            ("hub.example.org", "https://chat.example.org:443", true),
            ("hub.example.org", "http://localhost:3000", true),
            ("hub.example.org", "http://chat.example.org", false),
            ("hub.example.org", "https://chat.example.org:8443", false),
            ("hub.example.org", "http://localhost", false),
            // Neither.
            ("hub.example.org", "null", false),
            ("hub.example.org", "", false),
            ("hub.example.org", "*", false),
            ("hub.example.org", "hub.example.org", false),
            ("hub.example.org", "file://hub.example.org", false),
            ("hub.example.org", "HTTPS://hub.example.org", false),
            ("hub.example.org", "https://evil-hub.example.org", false),
            ("hub.example.org", "https://evil.hub.example.org", false),
            ("hub.example.org", "https://hub.example.org.evil.org", false),
            ("hub.example.org", "https://hub.example.org.", false),
            ("hub.example.org", "https://evil.org/hub.example.org", false),
            ("hub.example.org", "https://hub.example.org@evil.org", false),
            ("hub.example.org", "https://evil.org@hub.example.org", false),
            ("hub.example.org", "https://hub.example.org/", false),
            ("hub.example.org", "https://hub.example.org evil.org", false),
            ("hub.example.org", "https://hub.example.org, https://evil.org", false),
            ("hub.example.org", "https://hub\u{2024}example.org", false),
        ];
        let rules = Rules { origins: Box::new(listed), ..Rules::default() };
        for (host, origin, welcome) in table {
            let seen = Seen { client: None, host: Some(host.parse().unwrap()), scheme: None };
            assert_eq!(rules.welcomes(origin, &seen), *welcome, "{host} {origin}");
        }
    }
}
