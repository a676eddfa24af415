//! The TCP connection under HTTP: no wait for a client that takes nothing, and an eye on what it sends.
//!
//! hyper gives a request's head its time and would wait for ever for an answer to be taken. The deadline here is between
//! two bits of progress, so a long answer to a slow client is fine. A WebSocket takes the connection out of this: from there
//! on others see to it.

use crate::{listen::lines::Lines, socket::roll::Listed};
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long a client may leave an answer without taking any of it.
const STALL_MAX: Duration = Duration::from_secs(5);

/// A TCP connection that HTTP is spoken on.
pub(crate) struct Guarded {
    /// Comes first, for so it is dropped first.
    _listed: Listed,
    tcp: TcpStream,
    /// What was read before there was HTTP.
    early: Bytes,
    /// A mutex because hyper may move a connection between threads, which never happens here.
    lines: Arc<Mutex<Lines>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// `early` was read from it already, and comes first.
    pub(crate) fn new(tcp: TcpStream, listed: Listed, early: Bytes, lines: Arc<Mutex<Lines>>) -> Self {
        Self { _listed: listed, tcp, early, lines, stalled: None }
    }

    /// The connection itself, listed no more, and what is left of what was read before.
    pub(crate) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.tcp, self.early)
    }

    /// Whether the client has taken too long, when it takes nothing; else what it took.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// What was read of a connection, for whoever answers it.
pub(crate) fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.tcp).poll_read(cx, into))?;
        } else {
            let length = self.early.len().min(into.remaining());
            into.put_slice(&self.early.split_to(length));
        }
        lock(&self.lines).feed(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, from);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, from);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}
