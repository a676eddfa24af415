//! What is under a socket: tried, never awaited, but for becoming ready.
//!
//! Plain TCP so far. TLS is one more arm here, and nobody else notices.

use socket2::SockRef;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};
use tokio::{io::Interest, net::TcpStream};

/// What the kernel holds for a client that does not read, as the system counts it (Linux takes the double, and counts
/// its own overhead in). Left to itself it grows to megabytes with a client that once read fast.
const SEND_BYTES_MAX: usize = 256 << 10;

/// The byte stream of one connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
}

impl Stream {
    /// Bounds what the kernel holds of it.
    pub(crate) fn bound(&self) {
        let Self::Plain(tcp) = self;
        // A connection that is gone has no buffer to bound, and says so when it is read.
        SockRef::from(tcp).set_send_buffer_size(SEND_BYTES_MAX).ok();
    }

    /// Its number, for as long as it is open.
    pub(crate) fn descriptor(&self) -> RawFd {
        let Self::Plain(tcp) = self;
        tcp.as_raw_fd()
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when nothing is.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let Self::Plain(tcp) = self;
        let read = tcp.try_read(into)?;
        if 0 < read && read < into.len() {
            // The kernel had no more, and will say so by an edge when it has. Without this the next call would ask
            // it, one system call a message for nothing.
            let nothing_left: io::Result<()> =
                tcp.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
            debug_assert!(nothing_left.is_err());
        }
        Ok(read)
    }

    /// Writes one piece, as far as the kernel takes it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when it takes nothing.
    pub(crate) fn try_write(&self, piece: &[u8]) -> io::Result<usize> {
        let Self::Plain(tcp) = self;
        // Asked of the kernel itself, which knows best: the runtime's notion of being writable stands in memory of its
        // own, one miss of the cache for every delivery.
        let written = SockRef::from(tcp).send(piece);
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            let waits: io::Result<()> =
                tcp.try_io(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()));
            debug_assert!(waits.is_err());
        }
        written
    }

    /// Writes several pieces in one call, as far as the kernel takes them.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when it takes nothing.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Plain(tcp) = self;
        tcp.try_write_vectored(pieces)
    }

    /// Ends the writing side: the client sees the end after all that was written, and may still write itself.
    pub(crate) fn end_writing(&self) {
        let Self::Plain(tcp) = self;
        // A connection that is gone has no side left to end.
        drop(SockRef::from(tcp).shutdown(Shutdown::Write));
    }

    /// Ends it at once, in both directions, with a reset: whoever waits for it wakes and finds out, and the kernel holds
    /// nothing for a client that takes nothing.
    pub(crate) fn abort(&self) {
        let Self::Plain(tcp) = self;
        let tcp = SockRef::from(tcp);
        // Errors mean that it has ended already.
        tcp.set_linger(Some(Duration::ZERO)).ok();
        tcp.shutdown(Shutdown::Both).ok();
    }

    /// Waits until there may be something to read, or the end. Cancel safe; of two that wait, the later is woken.
    pub(crate) fn readable(&self) -> impl Future<Output = io::Result<()>> {
        let Self::Plain(tcp) = self;
        // One waits, its connection's task: a place for one costs less than a list of those who wait.
        poll_fn(|cx| tcp.poll_read_ready(cx))
    }

    /// Waits until the kernel may take more. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        let Self::Plain(tcp) = self;
        tcp.writable().await
    }
}
