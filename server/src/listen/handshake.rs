//! Whether a request may become a WebSocket, and what is kept of it when it does.
//!
//! Pure: a method, a version and headers in, an answer or a refusal out. It is strict where leniency would let two parties
//! read one request differently: what RFC 6455 section 4.2.1 wants once must stand exactly once. A browser's page may
//! connect only to the host that it came from; programs send no `Origin` and are judged by their first frame instead.
//! Nothing here reads the body, the path or the peer's address, and no extension is ever accepted.

use std::fmt;
use std::net::SocketAddr;

use data_encoding::BASE64;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The one subprotocol, and what a client that offers none gets.
const PROTOCOL: &str = "palabre.v1";

/// What a request that may become a WebSocket is answered with.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub(crate) accept: HeaderValue,
    /// The value of `Sec-WebSocket-Protocol`, if the client offered any.
    pub(crate) protocol: Option<&'static str>,
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The status to answer with.
    pub(crate) status: StatusCode,
    /// One sentence for whoever writes the client.
    pub(crate) reason: &'static str,
}

/// What the hub keeps of the request that a connection began with.
///
/// Only copies: a header's value is a slice of the whole buffer that the request was read into, and would keep those
/// 8 KiB alive as long as the connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The address of the other end of the TCP connection: the client, or a proxy before it.
    pub peer: Option<SocketAddr>,
    /// The path, without the query.
    pub path: Box<str>,
    /// The page's origin; none from a program.
    pub origin: Option<Box<str>>,
    /// The header `Authorization`, if it is text.
    pub authorization: Option<Box<str>>,
}

/// Checks a request for a WebSocket.
///
/// # Errors
///
/// [`Denied`] with the status and the reason to answer with, and [`Denied::headers`].
pub(crate) fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<Upgrade, Denied> {
    if method != Method::GET {
        return Err(denied(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket begins with GET"));
    }
    if version != Version::HTTP_11 {
        return Err(denied(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "a WebSocket begins with HTTP/1.1"));
    }
    let host = once(headers, &HOST).ok_or_else(|| bad("exactly one Host is needed"))?;
    let host = Authority::parse(host).ok_or_else(|| bad("Host is malformed"))?;
    if !headers.contains_key(UPGRADE) {
        return Err(denied(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket"));
    }
    let upgrade = once(headers, &UPGRADE).ok_or_else(|| bad("exactly one Upgrade is needed"))?;
    if !has_token(upgrade, "websocket") {
        return Err(denied(StatusCode::UPGRADE_REQUIRED, "Upgrade must name websocket"));
    }
    let connection = once(headers, &CONNECTION).ok_or_else(|| bad("exactly one Connection is needed"))?;
    if !has_token(connection, "upgrade") {
        return Err(bad("Connection must name upgrade"));
    }
    if once(headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(denied(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13, once"));
    }
    let key =
        once(headers, &SEC_WEBSOCKET_KEY).ok_or_else(|| bad("exactly one Sec-WebSocket-Key is needed"))?;
    if !BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(bad("Sec-WebSocket-Key must be the base64 form of 16 bytes"));
    }
    let protocol = subprotocol(headers)?;
    if headers.contains_key(ORIGIN) && !once(headers, &ORIGIN).is_some_and(|origin| is_same(origin, &host)) {
        return Err(denied(StatusCode::FORBIDDEN, "this page's origin may not connect here"));
    }
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header's value");
    Ok(Upgrade { accept, protocol })
}

impl Denied {
    /// What the answer must say beside its status: which versions, or which method, there are.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => vec![(ALLOW, HeaderValue::from_static("GET"))],
            StatusCode::UPGRADE_REQUIRED => vec![
                (UPGRADE, HeaderValue::from_static("websocket")),
                (CONNECTION, HeaderValue::from_static("upgrade")),
                (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            ],
            _ => Vec::new(),
        }
    }
}

impl Handshake {
    /// Copies what is kept of a request.
    pub fn from_parts(parts: &Parts, peer: Option<SocketAddr>) -> Self {
        let text = |name| once(&parts.headers, &name).map(Box::from);
        Self { peer, path: parts.uri.path().into(), origin: text(ORIGIN), authorization: text(AUTHORIZATION) }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("peer", &self.peer)
            .field("path", &self.path)
            .field("origin", &self.origin)
            .field("authorization", &self.authorization.as_ref().map(|_| format_args!("***")))
            .finish()
    }
}

/// `host[:port]`, of a `Host` or inside an origin.
struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => {
                let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                (host, Some(is_number.then(|| port.parse().ok())??))
            }
            _ => (text, None),
        };
        let (name, also) = match host.strip_prefix('[') {
            Some(address) => (address.strip_suffix(']')?, &b".:"[..]),
            None => (host, &b".-_"[..]),
        };
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte));
        (fits && !name.is_empty()).then_some(Self { host, port })
    }
}

/// Whether a page of this origin was served by this host; a port that is not said is the scheme's own on both sides, for
/// behind a proxy the host is seen without it.
fn is_same(origin: &str, host: &Authority<'_>) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    Authority::parse(rest).is_some_and(|from| {
        from.host.eq_ignore_ascii_case(host.host) && from.port.unwrap_or(usual) == host.port.unwrap_or(usual)
    })
}

/// The subprotocol to answer with; the offers may stand in several headers, as in one list.
fn subprotocol(headers: &HeaderMap) -> Result<Option<&'static str>, Denied> {
    let mut offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().peekable();
    if offered.peek().is_none() {
        return Ok(None);
    }
    let is_ours =
        |value: &HeaderValue| value.to_str().is_ok_and(|list| tokens(list).any(|one| one == PROTOCOL));
    if offered.any(is_ours) {
        Ok(Some(PROTOCOL))
    } else {
        Err(bad("none of the offered subprotocols is known: palabre.v1 is"))
    }
}

/// The value of a header that stands exactly once and is visible ASCII.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

fn has_token(list: &str, token: &str) -> bool {
    tokens(list).any(|one| one.eq_ignore_ascii_case(token))
}

fn bad(reason: &'static str) -> Denied {
    denied(StatusCode::BAD_REQUEST, reason)
}

fn denied(status: StatusCode, reason: &'static str) -> Denied {
    Denied { status, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("host", "chat.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// The good request with headers changed: `name: value` sets, `+name: value` adds, `-name` removes.
    fn request(changes: &[&str]) -> HeaderMap {
        let mut headers: HeaderMap = GOOD
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        for change in changes {
            let (name, value) = change.split_once(": ").unwrap_or((change, ""));
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            if let Some(name) = name.strip_prefix('-') {
                assert!(headers.remove(name).is_some());
            } else if let Some(name) = name.strip_prefix('+') {
                headers.append(name.parse::<HeaderName>().unwrap(), value);
            } else {
                headers.insert(name.parse::<HeaderName>().unwrap(), value);
            }
        }
        headers
    }

    fn status(changes: &[&str]) -> u16 {
        match check(&Method::GET, Version::HTTP_11, &request(changes)) {
            Ok(_) => 101,
            Err(denied) => denied.status.as_u16(),
        }
    }

    #[test]
    fn the_sample_of_the_standard_gets_its_answer() {
        let upgrade = check(&Method::GET, Version::HTTP_11, &request(&[])).unwrap();
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.protocol, None);
    }

    #[test]
    fn only_get_and_only_http_1_1_begin_a_websocket() {
        let headers = request(&[]);
        for method in [Method::POST, Method::HEAD, Method::CONNECT, Method::OPTIONS, Method::PUT] {
            let denied = check(&method, Version::HTTP_11, &headers).unwrap_err();
            assert_eq!(denied.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(denied.headers(), [(ALLOW, HeaderValue::from_static("GET"))]);
        }
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            let denied = check(&Method::GET, version, &headers).unwrap_err();
            assert_eq!(denied.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
    }

    #[test]
    fn each_header_is_wanted_once_and_well_formed() {
        let table: &[(&[&str], u16)] = &[
            (&[], 101),
            (&["-host"], 400),
            (&["+host: chat.example.com"], 400),
            (&["host: "], 400),
            (&["host: a b"], 400),
            (&["host: user@h"], 400),
            (&["host: h:99999"], 400),
            (&["host: h:+80"], 400),
            (&["host: [::1]:8080"], 101),
            (&["host: [::1"], 400),
            (&["-upgrade"], 426),
            (&["upgrade: WebSocket"], 101),
            (&["upgrade: h2c, websocket"], 101),
            (&["upgrade: h2c"], 426),
            (&["upgrade: websockets"], 426),
            (&["+upgrade: websocket"], 400),
            (&["-connection"], 400),
            (&["connection: keep-alive, Upgrade"], 101),
            (&["connection: keep-alive"], 400),
            (&["connection: upgraded"], 400),
            (&["+connection: keep-alive"], 400),
            (&["-sec-websocket-version"], 426),
            (&["sec-websocket-version: 8"], 426),
            (&["sec-websocket-version: 13, 8"], 426),
            (&["+sec-websocket-version: 13"], 426),
            (&["-sec-websocket-key"], 400),
            (&["sec-websocket-key: x"], 400),
            (&["sec-websocket-key: "], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ"], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZTE="], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==, x"], 400),
            (&["+sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
            (&["sec-websocket-extensions: permessage-deflate"], 101),
        ];
        for (changes, expected) in table {
            assert_eq!(status(changes), *expected, "{changes:?}");
        }
    }

    #[test]
    fn a_client_is_told_the_version_that_is_spoken() {
        let denied =
            check(&Method::GET, Version::HTTP_11, &request(&["sec-websocket-version: 8"])).unwrap_err();
        assert!(denied.headers().contains(&(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))));
    }

    #[test]
    fn a_known_subprotocol_is_chosen_and_only_unknown_ones_are_refused() {
        let table = [
            (&[][..], Ok(None)),
            (&["sec-websocket-protocol: palabre.v1"], Ok(Some(PROTOCOL))),
            (&["sec-websocket-protocol: x, palabre.v1"], Ok(Some(PROTOCOL))),
            (&["sec-websocket-protocol: x", "+sec-websocket-protocol: palabre.v1"], Ok(Some(PROTOCOL))),
            (&["sec-websocket-protocol: palabre.v1.msgpack"], Err(400)),
            (&["sec-websocket-protocol: PALABRE.V1"], Err(400)),
            (&["sec-websocket-protocol: "], Err(400)),
            (&["sec-websocket-protocol: é"], Err(400)),
        ];
        for (changes, expected) in table {
            let got = check(&Method::GET, Version::HTTP_11, &request(changes));
            let got = got.map(|upgrade| upgrade.protocol).map_err(|denied| denied.status.as_u16());
            assert_eq!(got, expected, "{changes:?}");
        }
    }

    #[test]
    fn a_page_connects_only_to_the_host_it_came_from() {
        let table: &[(&str, &[&str], u16)] = &[
            ("chat.example.com", &[], 101),
            ("chat.example.com", &["origin: https://chat.example.com"], 101),
            ("chat.example.com", &["origin: http://chat.example.com"], 101),
            ("chat.example.com", &["origin: https://CHAT.example.com"], 101),
            ("chat.example.com", &["origin: https://chat.example.com:443"], 101),
            ("chat.example.com:443", &["origin: https://chat.example.com"], 101),
            ("chat.example.com:80", &["origin: http://chat.example.com"], 101),
            ("chat.example.com:443", &["origin: http://chat.example.com"], 403),
            ("chat.example.com", &["origin: https://chat.example.com:8443"], 403),
            ("127.0.0.1:8080", &["origin: http://127.0.0.1:8080"], 101),
            ("127.0.0.1:8080", &["origin: http://127.0.0.1:8081"], 403),
            ("127.0.0.1:8080", &["origin: http://localhost:8080"], 403),
            ("[::1]:8080", &["origin: http://[::1]:8080"], 101),
            ("chat.example.com", &["origin: null"], 403),
            ("chat.example.com", &["origin: "], 403),
            ("chat.example.com", &["origin: chat.example.com"], 403),
            ("chat.example.com", &["origin: file://chat.example.com"], 403),
            ("chat.example.com", &["origin: https://evil-chat.example.com"], 403),
            ("chat.example.com", &["origin: https://chat.example.com.evil.org"], 403),
            ("chat.example.com", &["origin: https://evil.org/chat.example.com"], 403),
            ("chat.example.com", &["origin: https://chat.example.com@evil.org"], 403),
            ("chat.example.com", &["origin: https://evil.org@chat.example.com"], 403),
            ("chat.example.com", &["origin: https://chat.example.com/"], 403),
            ("chat.example.com", &["origin: https://chat.example.com evil.org"], 403),
            ("chat.example.com", &["origin: https://chat.example.com", "+origin: https://evil.org"], 403),
        ];
        for (host, changes, expected) in table {
            let host = format!("host: {host}");
            let mut all = vec![host.as_str()];
            all.extend_from_slice(changes);
            assert_eq!(status(&all), *expected, "{all:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_request_is_little_and_hides_its_credentials() {
        let (mut parts, ()) =
            hyper::Request::builder().uri("/ws?token=hunter2").body(()).unwrap().into_parts();
        parts.headers = request(&["authorization: Bearer hunter2", "origin: https://a.example"]);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let kept = Handshake::from_parts(&parts, Some(peer));
        assert_eq!(kept.authorization.as_deref(), Some("Bearer hunter2"));
        assert_eq!((&*kept.path, kept.origin.as_deref()), ("/ws", Some("https://a.example")));
        let shown = format!("{kept:?}");
        assert!(
            shown.contains("127.0.0.1:1") && shown.contains("***") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
