//! Whether a request may become a WebSocket, and what is kept of it when it does.
//!
//! Pure: a request's head that has passed the rules for all requests in, an answer or a refusal out. It is strict where
//! leniency would let two parties read one request differently: what RFC 6455 section 4.2.1 wants once must stand exactly
//! once, and there is no body. Which pages may connect is for the rules to say; programs send no `Origin` and are judged
//! by their first frame instead. No extension is ever accepted.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::listen::denied::Denied;
use crate::listen::rules::{Rules, Seen, once};

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

/// What the hub keeps of the request that a connection began with.
///
/// Only copies: a header's value is a slice of the whole buffer that the request was read into, and would keep those
/// 8 KiB alive as long as the connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The address of the other end of the TCP connection: the client, or a proxy before it.
    pub peer: Option<SocketAddr>,
    /// The client's address: the peer's, or who is behind it where the peer is a trusted proxy.
    pub client: Option<IpAddr>,
    /// The path, without the query.
    pub path: Box<str>,
    /// The page's origin; none from a program.
    pub origin: Option<Box<str>>,
    /// The header `Authorization`, if it is text.
    pub authorization: Option<Box<str>>,
}

/// Checks a request for a WebSocket, of which the rules have `seen` what every request must have.
///
/// # Errors
///
/// [`Denied`] with the status and the reason to answer with.
pub(crate) fn check(parts: &Parts, rules: &Rules, seen: &Seen) -> Result<Upgrade, Denied> {
    let headers = &parts.headers;
    if parts.method != Method::GET {
        return Err(Denied::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket begins with GET"));
    }
    if parts.version != Version::HTTP_11 {
        let reason = "a WebSocket begins with HTTP/1.1";
        return Err(Denied::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, reason));
    }
    let length = once(headers, &CONTENT_LENGTH)?;
    if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return Err(Denied::bad("a request for a WebSocket has no body"));
    }
    let Some(upgrade) = only(headers, &UPGRADE, "exactly one Upgrade is needed")? else {
        return Err(Denied::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket"));
    };
    if !has_token(upgrade, "websocket") {
        return Err(Denied::new(StatusCode::UPGRADE_REQUIRED, "Upgrade must name websocket"));
    }
    let connection = only(headers, &CONNECTION, "exactly one Connection is needed")?;
    if !connection.is_some_and(|connection| has_token(connection, "upgrade")) {
        return Err(Denied::bad("Connection must name upgrade"));
    }
    if only(headers, &SEC_WEBSOCKET_VERSION, "exactly one Sec-WebSocket-Version is needed")? != Some("13") {
        return Err(Denied::new(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY, "exactly one Sec-WebSocket-Key is needed")?;
    let key = key.filter(|key| BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16));
    let key = key.ok_or_else(|| Denied::bad("Sec-WebSocket-Key must be the base64 form of 16 bytes"))?;
    let protocol = subprotocol(headers)?;
    let origin = only(headers, &ORIGIN, "at most one Origin may stand")?;
    if origin.is_some_and(|origin| !rules.welcomes(origin, seen)) {
        let reason = "pages of this origin may not connect here: an operator lists it in server.origins";
        return Err(Denied::new(StatusCode::FORBIDDEN, reason));
    }
    if rules.are_shedding() {
        let reason = "this node is without the others, and takes nobody in";
        return Err(Denied::new(StatusCode::SERVICE_UNAVAILABLE, reason));
    }
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header's value");
    Ok(Upgrade { accept, protocol })
}

impl Handshake {
    /// Copies what is kept of a request.
    pub fn from_parts(parts: &Parts, peer: Option<SocketAddr>, client: Option<IpAddr>) -> Self {
        let text = |name| once(&parts.headers, &name).ok().flatten().map(Box::from);
        let (origin, authorization) = (text(ORIGIN), text(AUTHORIZATION));
        Self { peer, client, path: parts.uri.path().into(), origin, authorization }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("peer", &self.peer)
            .field("client", &self.client)
            .field("path", &self.path)
            .field("origin", &self.origin)
            .field("authorization", &self.authorization.as_ref().map(|_| format_args!("***")))
            .finish()
    }
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
        Err(Denied::bad("none of the offered subprotocols is known: palabre.v1 is"))
    }
}

/// The value of a header that must not stand more than once, and what is said if it does.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    reason: &'static str,
) -> Result<Option<&'a str>, Denied> {
    once(headers, name).map_err(|_| Denied::bad(reason))
}

fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

fn has_token(list: &str, token: &str) -> bool {
    tokens(list).any(|one| one.eq_ignore_ascii_case(token))
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

    fn parts(changes: &[&str]) -> Parts {
        let (mut parts, ()) =
            hyper::Request::builder().uri("/ws?token=hunter2").body(()).unwrap().into_parts();
        parts.headers = request(changes);
        parts
    }

    fn checked(parts: &Parts) -> Result<Upgrade, Denied> {
        let rules = Rules::default();
        rules.judge(parts, None).and_then(|seen| check(parts, &rules, &seen))
    }

    fn status(changes: &[&str]) -> u16 {
        checked(&parts(changes)).map_or_else(|denied| denied.status.as_u16(), |_| 101)
    }

    #[test]
    fn the_sample_of_the_standard_gets_its_answer() {
        let upgrade = checked(&parts(&[])).unwrap();
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.protocol, None);
    }

    #[test]
    fn only_get_and_only_http_1_1_begin_a_websocket() {
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT, Method::CONNECT] {
            let mut parts = parts(&[]);
            parts.method = method;
            assert_eq!(checked(&parts).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        }
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
            let mut parts = parts(&[]);
            parts.version = version;
            assert_eq!(checked(&parts).unwrap_err().status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
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
            (&["sec-websocket-version: 013"], 426),
            (&["+sec-websocket-version: 13"], 400),
            (&["-sec-websocket-key"], 400),
            (&["sec-websocket-key: x"], 400),
            (&["sec-websocket-key: "], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ"], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZTE="], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==, x"], 400),
            (&["+sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ= ="], 400),
            (&["sec-websocket-key: dGhlIHNhbXBsZSBub25jZR=="], 400),
            (&["sec-websocket-extensions: permessage-deflate"], 101),
            (&["origin: http://chat.example.com"], 101),
            (&["origin: http://evil.example"], 403),
            (&["origin: http://chat.example.com", "+origin: http://chat.example.com"], 400),
            (&["content-length: 0"], 101),
            (&["content-length: 1"], 400),
            (&["content-length: 0", "+content-length: 0"], 400),
            (&["transfer-encoding: chunked"], 400),
        ];
        for (changes, expected) in table {
            assert_eq!(status(changes), *expected, "{changes:?}");
        }
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
            let got = checked(&parts(changes));
            let got = got.map(|upgrade| upgrade.protocol).map_err(|denied| denied.status.as_u16());
            assert_eq!(got, expected, "{changes:?}");
        }
    }

    #[test]
    fn what_is_kept_of_a_request_is_little_and_hides_its_credentials() {
        let parts = parts(&["authorization: Bearer hunter2", "origin: https://a.example"]);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let kept = Handshake::from_parts(&parts, Some(peer), Some(peer.ip()));
        assert_eq!(kept.authorization.as_deref(), Some("Bearer hunter2"));
        assert_eq!((&*kept.path, kept.origin.as_deref()), ("/ws", Some("https://a.example")));
        let shown = format!("{kept:?}");
        assert!(
            shown.contains("127.0.0.1:1") && shown.contains("***") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
