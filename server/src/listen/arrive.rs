//! Upgraded → connection: the bytes under a WebSocket, found again and put on their worker.

use crate::{
    connection::{self, Doors, echo},
    listen::{guarded::Guarded, handshake::Handshake},
    socket::stream::Stream,
    worker::Worker,
};
use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use std::{rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// The TCP stream under an upgraded request, and what the client sent together with its handshake.
///
/// `None` when the client has gone, or when something else than plain TCP is under it.
pub(crate) async fn upgraded(upgrade: OnUpgrade) -> Option<(TcpStream, Bytes)> {
    let (tcp, early) = match upgrade.await.ok()?.downcast::<TokioIo<Guarded>>() {
        Ok(parts) => {
            let (tcp, unread) = parts.io.into_inner().into_parts();
            if !unread.is_empty() {
                return Some((tcp, [parts.read_buf, unread].concat().into()));
            }
            (tcp, parts.read_buf)
        }
        Err(upgraded) => foreign(upgraded)?,
    };
    // A copy: what hyper read is a slice of a buffer of 8 KiB that would live as long as the connection.
    Some((tcp, Bytes::copy_from_slice(&early)))
}

/// The same for a server that is not ours: axum's, or hyper's own for HTTP/1, which has another shape.
fn foreign(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Some((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
            Some((parts.io.into_inner(), parts.read_buf))
        }
    }
}

/// What a WebSocket is for.
pub(crate) enum Purpose {
    /// The hub. In a box, for whoever waits for the upgrade keeps room for it.
    Hub(Arc<Handshake>),
    /// To be sent back what it says.
    Echo,
}

/// What runs the connection behind a WebSocket, on this worker, to its end; `None` when it has ended already.
///
/// In a box of its own: who waits for it keeps no room for it meanwhile, and what a message touches of it stands together.
pub(crate) fn arrive(
    worker: Rc<Worker>,
    doors: Arc<Doors>,
    purpose: Purpose,
    tcp: TcpStream,
    early: Bytes,
) -> Option<LocalBoxFuture<'static, ()>> {
    // A small frame must not wait for the acknowledgement of the one before it.
    tcp.set_nodelay(true).ok()?;
    let stream = Stream::Plain(tcp);
    Some(match purpose {
        Purpose::Hub(handshake) => connection::run(worker, doors, handshake, stream, early)?.boxed_local(),
        Purpose::Echo => echo::run(worker, doors, stream, early).boxed_local(),
    })
}
