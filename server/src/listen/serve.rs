//! HTTP on a worker: the WebSocket's path is answered here, everything else by the application's router.

use crate::{
    connection::Doors,
    listen::{
        arrive::{arrive, upgraded},
        handshake::{self, Handshake},
    },
    worker::Worker,
};
use axum::{Router, body::Body};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    http::{HeaderValue, request::Parts},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// From the first byte of a request to the end of its headers.
const HEADERS_MAX: Duration = Duration::from_secs(5);

/// What a request's head may weigh; the least that hyper takes.
const HEAD_BYTES_MAX: usize = 8_192;

/// What is served on one listener.
pub(crate) struct Site {
    /// Where WebSockets are.
    pub(crate) path: Box<str>,
    /// Whatever else there is.
    pub(crate) app: Router,
}

/// Serves one connection until it ends, or is a WebSocket. `load` is dropped when either has ended.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    doors: Arc<Doors>,
    site: Arc<Site>,
    tcp: TcpStream,
    peer: SocketAddr,
    load: Rc<impl Sized + 'static>,
) {
    let app = TowerToHyperService::new(site.app.clone());
    let answer = |request: Request<Incoming>| {
        let (worker, doors, app, load) =
            (Rc::clone(&worker), Arc::clone(&doors), app.clone(), Rc::clone(&load));
        let is_socket = request.uri().path() == &*site.path;
        async move {
            if !is_socket {
                return app.call(request).await;
            }
            let (parts, body) = request.into_parts();
            let answer = open(&parts);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let handshake = Handshake::from_parts(&parts, Some(peer));
                let upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
                let (tasks, load) = (worker.tasks.clone(), Rc::clone(&load));
                tasks.spawn_local(async move {
                    let _load = load;
                    if let Some((tcp, early)) = upgraded(upgrade).await {
                        arrive(worker, doors, handshake, tcp, early).await;
                    }
                });
            }
            Ok::<_, Infallible>(answer)
        }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
    // An error here is the client's: it hung up, or spoke something else than HTTP, and was answered.
    drop(http.serve_connection(TokioIo::new(tcp), service_fn(answer)).with_upgrades().await);
}

/// The answer to a request for a WebSocket.
pub(crate) fn open(parts: &Parts) -> Response<Body> {
    match handshake::check(&parts.method, parts.version, &parts.headers) {
        Ok(upgrade) => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, upgrade.accept);
            if let Some(protocol) = upgrade.protocol {
                headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            }
            answer
        }
        Err(denied) => {
            let mut answer = Response::new(Body::from(denied.reason));
            *answer.status_mut() = denied.status;
            answer.headers_mut().extend(denied.headers());
            answer
        }
    }
}
