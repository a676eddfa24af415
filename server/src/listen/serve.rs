//! HTTP on a worker: the WebSocket's path is answered here, everything else by the application's router.
//!
//! Every request is judged by the [rules](crate::listen::rules) first. A connection that was only let in to be turned
//! away gets one answer, which for a WebSocket is that it should come back later. One whose request has a body gets no
//! second answer either: no route of the hub's reads a body, and what follows one that was not read is anybody's guess.

use crate::{
    connection::Doors,
    listen::{
        arrive::{Purpose, arrive, upgraded},
        crowd::{Claim, Crowd, Place},
        denied::Denied,
        guarded::{Guarded, lock},
        handshake::{self, Handshake, Upgrade},
        lines::Lines,
        preamble,
        rules::{Rules, Seen},
    },
    socket::roll::Listed,
    worker::Worker,
};
use axum::{Router, body::Body};
use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    http::{HeaderValue, request::Parts},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    cell::Cell,
    convert::Infallible,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpStream;

/// From when a request may come, the connection's beginning or the last answer's end, to the end of its headers.
const HEADERS_MAX: Duration = Duration::from_secs(5);

/// What a request's head may weigh; the least that hyper takes.
const HEAD_BYTES_MAX: usize = 8_192;

/// Where a WebSocket is sent back what it says.
const ECHO_PATH: &str = "/echo";

/// What is served on one listener.
pub(crate) struct Site {
    /// Where WebSockets are.
    pub(crate) path: Box<str>,
    /// Whatever else there is.
    pub(crate) app: Router,
    /// What every request is judged by.
    pub(crate) rules: Rules,
    /// Everybody who is connected.
    pub(crate) crowd: Arc<Crowd>,
    /// Whether there is a WebSocket beside the hub's that only echoes.
    pub(crate) echo: Echo,
    /// Whether trusted proxies say who is behind them before they pass anything on.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// Whether `/echo` is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Absent,
    Present,
}

/// Whether the PROXY protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    Absent,
    Expected,
}

/// A connection that HTTP is spoken on.
struct Visit {
    worker: Rc<Worker>,
    doors: Arc<Doors>,
    site: Arc<Site>,
    /// The other end of the TCP connection.
    peer: SocketAddr,
    /// Whose connection it is, as far as is known before there is a request: the peer, or whom it speaks for.
    from: SocketAddr,
    lines: Arc<Mutex<Lines>>,
    /// Requests so far.
    requests: Cell<u32>,
    /// What is given back when the connection has ended, and the WebSocket that came of it.
    place: Rc<Place>,
}

/// Serves one connection until it ends, or is a WebSocket. `place` is given back when either has ended.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    doors: Arc<Doors>,
    site: Arc<Site>,
    mut tcp: TcpStream,
    // After the connection, for so it is dropped before.
    listed: Listed,
    peer: SocketAddr,
    place: Place,
) {
    let (mut from, mut early) = (peer, Bytes::new());
    if site.proxy_protocol == ProxyProtocol::Expected && site.rules.proxies.trust(peer.ip()) {
        // A proxy that says nothing of its client is closed: whatever it passed on would pass for its own.
        let Ok((source, rest)) = preamble::read(&mut tcp).await else { return };
        (from, early) = (source.unwrap_or(peer), rest.into());
    }
    let lines = Arc::new(Mutex::new(Lines::default()));
    let io = TokioIo::new(Guarded::new(tcp, listed, early, Arc::clone(&lines)));
    let may_stay = place.turned_away().is_none();
    let place = Rc::new(place);
    let visit = Rc::new(Visit { worker, doors, site, peer, from, lines, requests: Cell::new(0), place });
    let answer = |request| {
        let visit = Rc::clone(&visit);
        async move { Ok::<_, Infallible>(visit.answer(request).await) }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(may_stay);
    // An error here is the client's: it hung up, or spoke something else than HTTP, and was answered.
    drop(http.serve_connection(io, service_fn(answer)).with_upgrades().await);
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let is_last = !body.is_end_stream();
        let mut response = match self.judge(&parts) {
            Err(denied) => denied.response(),
            Ok(seen) if parts.uri.path() == &*self.site.path => {
                let handshake = Handshake::from_parts(&parts, Some(self.peer), seen.client);
                self.open(parts, body, &seen, Purpose::Hub(Arc::new(handshake)))
            }
            Ok(seen) if parts.uri.path() == ECHO_PATH && self.site.echo == Echo::Present => {
                self.open(parts, body, &seen, Purpose::Echo)
            }
            Ok(_) => {
                let app = TowerToHyperService::new(self.site.app.clone());
                app.call(Request::from_parts(parts, body)).await.unwrap_or_else(|never| match never {})
            }
        };
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn judge(&self, parts: &Parts) -> Result<Seen, Denied> {
        let request = self.requests.replace(self.requests.get() + 1);
        match lock(&self.lines).flaw_of(request) {
            Some(flaw) => Err(Denied::bad(flaw)),
            None => self.site.rules.judge(parts, Some(self.from)),
        }
    }

    /// Answers a request for a WebSocket, and sees to what becomes of it.
    fn open(&self, parts: Parts, body: Incoming, seen: &Seen, purpose: Purpose) -> Response<Body> {
        let (upgrade, claim) = match self.admit(&parts, seen) {
            Ok(admitted) => admitted,
            Err(denied) => return denied.response(),
        };
        let on_upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
        let (worker, doors, place) =
            (Rc::clone(&self.worker), Arc::clone(&self.doors), Rc::clone(&self.place));
        self.worker.tasks.spawn_local(async move {
            let _stay = (place, claim);
            if let Some((tcp, early)) = upgraded(on_upgrade).await
                && let Some(connection) = arrive(worker, doors, purpose, tcp, early)
            {
                connection.await;
            }
        });
        switching(upgrade)
    }

    /// Whether there is a WebSocket to be had, and room for it.
    fn admit(&self, parts: &Parts, seen: &Seen) -> Result<(Upgrade, Option<Box<Claim>>), Denied> {
        let upgrade = handshake::check(parts, &self.site.rules, seen)?;
        if let Some(denied) = self.place.turned_away() {
            return Err(denied);
        }
        // Of a proxy's connections each is somebody else's; of all others the peer was counted on arrival.
        let behind = seen.client.filter(|_| self.site.rules.proxies.trust(self.peer.ip()));
        let claim = behind.map(|client| self.site.crowd.claim(client)).transpose()?.flatten();
        Ok((upgrade, claim.map(Box::new)))
    }
}

/// The answer to a request for a WebSocket on somebody else's server, and what is known of it if it becomes one.
pub(crate) fn open(
    parts: &Parts,
    rules: &Rules,
    peer: Option<SocketAddr>,
) -> (Response<Body>, Option<Handshake>) {
    let checked =
        rules.judge(parts, peer).and_then(|seen| Ok((handshake::check(parts, rules, &seen)?, seen)));
    match checked {
        Ok((upgrade, seen)) => (switching(upgrade), Some(Handshake::from_parts(parts, peer, seen.client))),
        Err(denied) => (denied.response(), None),
    }
}

fn switching(upgrade: Upgrade) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, upgrade.accept);
    if let Some(protocol) = upgrade.protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}
