//! What comes in on a socket, as messages: tungstenite checks the protocol, this gives it bytes.
//!
//! tungstenite's own replies, pongs and the answer to a close, go into the socket's outbox like everything else, so
//! there is one order. Its buffers are small and explicit: an idle connection keeps a read buffer of two
//! kilobytes.

use crate::{socket::Socket, worker::Worker};
use bytes::{Buf, Bytes};
use palabre_protocol::CloseCode;
use std::{
    io::{self, Read, Write},
    rc::Rc,
};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::{CapacityError, ProtocolError},
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

/// What is read at once. Most messages are shorter, and an idle connection keeps this buffer.
const READ_BYTES: usize = 2_048;

/// What is read at once of what is not understood any more.
const DISCARD_BYTES: usize = 16 << 10;

/// One socket's incoming side.
pub(super) struct Wire {
    context: WebSocketContext,
    /// The client broke the protocol, so nobody knows where its next message begins.
    broken: bool,
    /// What the client sent together with its handshake.
    early: Bytes,
    /// Bytes that may still be taken in this turn, finished messages or not.
    budget: usize,
}

/// One thing that came in.
pub(super) enum Frame {
    Text(Utf8Bytes),
    Binary,
    /// A ping, a pong, the beginning of a goodbye: dealt with already.
    Control,
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    End(CloseCode),
    /// The client breaks the protocol, and is told by this code.
    Broken(CloseCode),
}

impl Wire {
    pub(super) fn new(early: Bytes, frame_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            // Only control frames are written by tungstenite, and the outbox takes them at once.
            .max_write_buffer_size(1 << 10)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        Self { context: WebSocketContext::new(Role::Server, Some(config)), broken: false, early, budget: 0 }
    }

    /// The next thing that came in. After [`Frame::Broken`] bytes are only taken off the connection, for one that is
    /// closed with some of them unread is reset, and the client may never see why.
    pub(super) fn read(&mut self, worker: &Worker, socket: &Rc<Socket>) -> Frame {
        let mut bytes = Through { worker, socket, early: &mut self.early, budget: &mut self.budget };
        if self.broken {
            return discard(&mut bytes);
        }
        let frame = match self.context.read(&mut bytes) {
            Ok(Message::Text(text)) => Frame::Text(text),
            Ok(Message::Binary(_)) => Frame::Binary,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => Frame::Control,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Frame::Nothing,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Frame::End(CloseCode::Normal),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_)) => {
                Frame::End(CloseCode::GoingAway)
            }
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Frame::Broken(CloseCode::TooBig),
            Err(Error::Utf8(_)) => Frame::Broken(CloseCode::InvalidUtf8),
            Err(_) => Frame::Broken(CloseCode::Protocol),
        };
        self.broken = matches!(frame, Frame::Broken(_));
        frame
    }

    /// A new turn begins, in which so many bytes may be taken. Fragments that never end a message count too.
    pub(super) fn begin_turn(&mut self, bytes_max: usize) {
        self.budget = bytes_max;
    }

    /// Whether reading stopped because the turn's bytes are used up.
    pub(super) fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Says goodbye; reading on ends when the client has answered.
    pub(super) fn close(&mut self, worker: &Worker, socket: &Rc<Socket>, code: CloseCode) {
        let frame = CloseFrame { code: code.code().into(), reason: code.reason().into() };
        let mut bytes = Through { worker, socket, early: &mut self.early, budget: &mut self.budget };
        // It may have been closed by the client already, and then there is nothing to say.
        drop(self.context.close(&mut bytes, Some(frame)));
    }
}

fn discard(bytes: &mut impl Read) -> Frame {
    match bytes.read(&mut [0; DISCARD_BYTES]) {
        Ok(0) => Frame::End(CloseCode::GoingAway),
        Ok(_) => Frame::Control,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Frame::Nothing,
        Err(_) => Frame::End(CloseCode::GoingAway),
    }
}

/// The socket as tungstenite sees it.
struct Through<'a> {
    worker: &'a Worker,
    socket: &'a Rc<Socket>,
    early: &'a mut Bytes,
    budget: &'a mut usize,
}

impl Read for Through<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if *self.budget == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.read_on(into)?;
        *self.budget = self.budget.saturating_sub(read);
        Ok(read)
    }
}

impl Through<'_> {
    fn read_on(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.early.has_remaining() {
            let length = self.early.len().min(into.len());
            self.early.copy_to_slice(&mut into[..length]);
            return Ok(length);
        }
        self.socket.stream.try_read(into)
    }
}

impl Write for Through<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.worker.push(self.socket, Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::stream::Stream;
    use channel_layer::MemoryLayer;
    use std::{sync::Arc, time::Duration};
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    /// A text message begun, and then empty fragments that never end it, masked with zeros.
    fn endless(bytes: usize) -> Vec<u8> {
        let mut sent = vec![0x01, 0x81, 0, 0, 0, 0, b'"'];
        while sent.len() < bytes {
            sent.extend([0x00, 0x80, 0, 0, 0, 0]);
        }
        sent
    }

    #[tokio::test]
    async fn a_turn_ends_by_its_bytes_although_no_message_does() {
        const TURN: usize = 8 << 10;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (worker, _mailbox) = Worker::new(Arc::new(MemoryLayer::new()), Arc::default());
        let socket = worker.admit(Stream::Plain(server)).unwrap();
        client.write_all(&endless(8 * TURN)).await.unwrap();

        let mut wire = Wire::new(Bytes::new(), 64 << 10);
        let mut turns = 0;
        while turns < 5 {
            wire.begin_turn(TURN);
            assert!(matches!(wire.read(&worker, &socket), Frame::Nothing), "no message is complete");
            if wire.is_spent() {
                turns += 1;
            } else {
                let more = timeout(Duration::from_secs(10), socket.stream.readable());
                more.await.expect("the turn ends by its bytes while there are some").unwrap();
            }
        }
    }
}
