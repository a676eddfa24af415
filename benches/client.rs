//! One socket of the crowd: bytes in by way of a shared buffer, bytes out with whatever the kernel refused kept.
//!
//! A client keeps no buffer while it has nothing cut: ten thousand of them cost little more than their sockets.
//! A connection that ends is remembered here, never an error of the whole program: it is a figure like any other.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::speech::Kind;
use crate::wire::{self, Frame};

/// How the reading of a socket goes on after a read that did not fill the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Nothing more waits: with edge-triggered events a short read says so, and a second read would only double
    /// the number of calls.
    Drained,
    /// The peer has closed: read on, to see its end.
    Closed,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for the answer to its handshake.
    Upgrading,
    /// Waits for so many answers to what it said first.
    Greeting(u8),
    /// Takes part.
    Ready,
    /// Gone, with the code of the close frame if there was one.
    Closed(Option<u16>),
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) stage: Stage,
    /// The start of a frame whose end has not arrived.
    partial: Vec<u8>,
    unsent: Vec<u8>,
    writable: bool,
}

impl Client {
    /// Connects and asks for the upgrade.
    ///
    /// The connect blocks, so that the order of the server's accepts is the order of the calls; on loopback it
    /// takes microseconds.
    pub(crate) fn connect(
        address: SocketAddr,
        path: &str,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let stream =
            std::net::TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut client =
            Self { stream, stage: Stage::Upgrading, partial: Vec::new(), unsent: Vec::new(), writable: true };
        client.send(&wire::upgrade_request(&address.to_string(), path));
        Ok(client)
    }

    /// Reads once. Gives how many bytes of `buffer` are now filled, from its start, with what was kept from the
    /// last time in front, or `None` when there is nothing new.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let kept = self.partial.len();
        buffer[..kept].copy_from_slice(&self.partial);
        loop {
            match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => self.end(None),
                Ok(count) => {
                    self.partial.clear();
                    return Some(kept + count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.end(None),
            }
            return None;
        }
    }

    /// Keeps what could not be used yet.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Writes `bytes`, or keeps what the kernel refuses.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let taken = if self.unsent.is_empty() { self.offer(bytes) } else { 0 };
        self.unsent.extend_from_slice(&bytes[taken..]);
    }

    /// Writes as many of these equally long frames as the kernel takes now; gives how many that were.
    ///
    /// Of a frame that was cut the rest is kept, so that whatever is sent next, a pong above all, begins a frame.
    pub(crate) fn send_some(&mut self, frames: &[u8], frame_bytes: usize) -> usize {
        if !self.unsent.is_empty() {
            return 0;
        }
        let taken = self.offer(frames);
        let whole = taken.next_multiple_of(frame_bytes);
        self.unsent.extend_from_slice(&frames[taken..whole]);
        whole / frame_bytes
    }

    /// Writes what it can of `bytes`, keeps nothing, and says how much that was.
    fn offer(&mut self, bytes: &[u8]) -> usize {
        if !self.writable || self.is_closed() {
            return 0;
        }
        loop {
            match self.stream.write(bytes) {
                Ok(count) => return count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.writable = false;
                    return 0;
                }
                Err(_) => {
                    self.end(None);
                    return 0;
                }
            }
        }
    }

    /// The kernel has room again.
    pub(crate) fn flush(&mut self) {
        self.writable = true;
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let taken = self.offer(&unsent);
            self.unsent.extend_from_slice(&unsent[taken..]);
        }
    }

    /// Takes one answer to the greeting; says whether it was the last, so that the client takes part from now on.
    pub(crate) fn is_let_in_by(&mut self, answer: Kind) -> bool {
        let (Stage::Greeting(missing), Kind::Welcome | Kind::Joined) = (self.stage, answer) else {
            return false;
        };
        self.stage = if missing == 1 { Stage::Ready } else { Stage::Greeting(missing - 1) };
        self.stage == Stage::Ready
    }

    /// Answers a control frame. The code of a close is kept.
    pub(crate) fn control(&mut self, frame: &Frame<'_>) {
        match frame.opcode {
            wire::PING => self.send_frame(wire::PONG, frame.payload),
            wire::CLOSE => {
                self.send_frame(wire::CLOSE, frame.payload);
                self.end(frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code)));
            }
            _ => {}
        }
    }

    fn send_frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(payload.len() + 16);
        wire::put_masked(&mut bytes, opcode, payload);
        self.send(&bytes);
    }

    /// The first end counts: what follows a close frame is only the end of the TCP connection.
    fn end(&mut self, code: Option<u16>) {
        if !self.is_closed() {
            self.stage = Stage::Closed(code);
            self.unsent = Vec::new();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed(_))
    }
}
