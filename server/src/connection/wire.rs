//! What comes in on a socket, as messages: tungstenite checks the protocol, this gives it bytes.
//!
//! tungstenite's own replies, pongs and the answer to a close, go into the socket's outbox like everything else, so
//! there is one order. Its limits are explicit: a header that claims more than a message may have is refused before
//! anything is reserved. Its state and its buffer live for as long as something is begun: an idle connection keeps none.
//! A text that comes whole, as nearly all do, begins nothing, and is read without it.

use crate::{
    connection::{scan::Scanner, whole::whole_text},
    socket::Socket,
    worker::Worker,
};
use bytes::{Buf, Bytes};
use palabre_protocol::CloseCode;
use std::{
    io::{self, Read, Write},
    rc::Rc,
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::{CapacityError, ProtocolError},
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

/// What is read at once where nothing is begun: more than most messages have.
const WHOLE_BYTES: usize = 16 << 10;

/// What is read at once where something is.
const READ_BYTES: usize = 2_048;

/// Pieces of one message. Browsers send one; who needs more than these sends crumbs.
const PIECES_MAX: u32 = 1_024;

/// What is taken in one turn; then whoever else is ready has theirs. Pieces that end no message count like any frame,
/// to the end of what was read at once.
pub(super) const FRAMES_A_TURN: usize = 64;
const BYTES_A_TURN: usize = 64 << 10;

/// What is read at once of what is not understood any more.
const DISCARD_BYTES: usize = 16 << 10;

/// One socket's incoming side.
pub(super) struct Wire {
    /// None while nothing is begun.
    context: Option<Box<WebSocketContext>>,
    scanner: Scanner,
    frame_bytes: usize,
    /// The client broke the protocol, so nobody knows where its next message begins.
    broken: bool,
    /// The kernel has said that it has no more, and will say when it has.
    is_drained: bool,
    /// What was read and not looked at yet: what the client sent together with its handshake, or is no whole text.
    ahead: Bytes,
    budget: Budget,
}

/// What may still be taken in this turn, finished messages or not.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    bytes: usize,
    frames: usize,
}

impl Budget {
    fn is_spent(self) -> bool {
        self.bytes == 0 || self.frames == 0
    }
}

/// One thing that came in.
pub(super) enum Frame {
    Text(Box<str>),
    Binary(Bytes),
    /// A ping, a pong, the beginning of a goodbye: dealt with already.
    Control,
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    End(CloseCode),
    /// The client breaks the protocol, and is told by this code.
    Broken(CloseCode),
}

impl Frame {
    /// How many WebSocket frames it is, without the pieces before the last.
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Text(_) | Self::Binary(_) | Self::Control => 1,
            Self::Nothing | Self::End(_) | Self::Broken(_) => 0,
        }
    }

    /// The bytes of its message.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Control | Self::Nothing | Self::End(_) | Self::Broken(_) => 0,
        }
    }
}

impl Wire {
    pub(super) fn new(early: Bytes, frame_bytes: usize) -> Self {
        Self {
            context: None,
            scanner: Scanner::default(),
            frame_bytes,
            broken: false,
            is_drained: false,
            ahead: early,
            budget: Budget::default(),
        }
    }

    /// The next thing that came in. After [`Frame::Broken`] bytes are only taken off the connection, for one that is
    /// closed with some of them unread is reset, and the client may never see why.
    pub(super) fn read(&mut self, worker: &Worker, socket: &Rc<Socket>) -> Frame {
        let is_at_rest = self.context.is_none() && self.ahead.is_empty() && !self.broken;
        if is_at_rest
            && !self.budget.is_spent()
            && let Some(frame) = self.read_whole(worker, socket)
        {
            return frame;
        }
        let mut bytes = Through {
            worker,
            socket,
            scanner: &mut self.scanner,
            ahead: &mut self.ahead,
            budget: &mut self.budget,
        };
        if self.broken {
            return discard(&mut bytes);
        }
        let spare = || worker.spare_context.take().unwrap_or_else(|| Box::new(context(self.frame_bytes)));
        let context = self.context.get_or_insert_with(spare);
        let mut frame = match context.read(&mut bytes) {
            Ok(Message::Text(text)) => Frame::Text(text.as_str().into()),
            Ok(Message::Binary(bytes)) => Frame::Binary(bytes),
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
        if self.scanner.has_bad_length() && !matches!(frame, Frame::End(_)) {
            frame = Frame::Broken(CloseCode::Protocol);
        }
        if self.scanner.pieces() > PIECES_MAX && !matches!(frame, Frame::End(_)) {
            frame = Frame::Broken(CloseCode::TooBig);
        }
        self.broken = matches!(frame, Frame::Broken(_));
        if self.broken {
            self.context = None;
        } else if matches!(frame, Frame::Nothing) && self.scanner.is_at_rest() {
            // All that was read has become messages: what comes next needs nothing of this, and the next who says something
            // anything of the kind.
            worker.spare_context.set(self.context.take());
        }
        frame
    }

    /// Reads where nothing is begun. What is more than nothing and no whole text goes `ahead`, and there is no frame yet.
    fn read_whole(&mut self, worker: &Worker, socket: &Socket) -> Option<Frame> {
        let mut buffer = worker.reading.borrow_mut();
        buffer.resize(WHOLE_BYTES, 0);
        let read = match socket.stream.try_read(&mut buffer[..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Frame::Nothing),
            // The end, or an error after which the kernel says the end.
            Ok(0) | Err(_) => return Some(Frame::End(CloseCode::GoingAway)),
            Ok(read) => read,
        };
        let is_drained = read < buffer.len();
        let Some(text) = whole_text(&mut buffer[..read], self.frame_bytes) else {
            self.ahead = Bytes::copy_from_slice(&buffer[..read]);
            return None;
        };
        self.is_drained = is_drained;
        self.budget.bytes = self.budget.bytes.saturating_sub(read);
        self.budget.frames = self.budget.frames.saturating_sub(1);
        let frame = text.map_or(Frame::Broken(CloseCode::InvalidUtf8), |text| Frame::Text(text.into()));
        self.broken = matches!(frame, Frame::Broken(_));
        Some(frame)
    }

    /// From now on bytes are only taken off the connection, as after [`Frame::Broken`]: nobody wants to know what they say.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
        self.context = None;
    }

    /// A new turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.is_drained = false;
        self.budget = Budget { bytes: BYTES_A_TURN, frames: FRAMES_A_TURN };
    }

    /// Whether reading stopped because the turn is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    /// Whether there is known to be no more for now.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Whether nothing is begun: neither a frame nor a message of several.
    pub(super) fn is_at_rest(&self) -> bool {
        self.scanner.is_at_rest()
    }

    /// Pieces that ended no message, since this was last asked.
    pub(super) fn take_pieces(&mut self) -> u32 {
        self.scanner.take_news()
    }

    /// Whether a message of several pieces is under way.
    pub(super) fn is_in_pieces(&self) -> bool {
        self.scanner.pieces() > 0
    }
}

fn context(frame_bytes: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        // Only control frames are written by tungstenite, and the outbox takes them at once.
        .max_write_buffer_size(1 << 10)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    WebSocketContext::new(Role::Server, Some(config))
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
    scanner: &'a mut Scanner,
    ahead: &'a mut Bytes,
    budget: &'a mut Budget,
}

impl Read for Through<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.budget.is_spent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.read_on(into)?;
        let begun = self.scanner.follow(&into[..read]);
        self.budget.bytes = self.budget.bytes.saturating_sub(read);
        self.budget.frames = self.budget.frames.saturating_sub(begun);
        Ok(read)
    }
}

impl Through<'_> {
    fn read_on(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ahead.has_remaining() {
            let length = self.ahead.len().min(into.len());
            self.ahead.copy_to_slice(&mut into[..length]);
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

    /// A socket whose client has sent these bytes, all of which the kernel has brought.
    async fn sent(bytes: &[u8]) -> (Rc<Worker>, Rc<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (worker, _mailbox) = Worker::new(Arc::new(MemoryLayer::new()), None, Arc::default());
        let socket = worker.admit(Stream::Plain(server)).unwrap();
        client.write_all(bytes).await.unwrap();
        (worker, socket, client)
    }

    async fn wait_for_more(socket: &Socket) {
        let more = timeout(Duration::from_secs(10), socket.stream.readable());
        more.await.expect("there is more to read").unwrap();
    }

    #[tokio::test]
    async fn a_turn_ends_although_no_message_does() {
        let (worker, socket, _client) = sent(&endless(6 * 900)).await;
        let mut wire = Wire::new(Bytes::new(), 64 << 10);
        let mut turns = 0;
        while turns < 2 {
            wire.begin_turn();
            assert!(matches!(wire.read(&worker, &socket), Frame::Nothing), "no message is complete");
            if wire.is_spent() {
                turns += 1;
            } else {
                wait_for_more(&socket).await;
            }
        }
    }

    #[tokio::test]
    async fn a_message_of_too_many_pieces_is_refused() {
        let (worker, socket, _client) = sent(&endless(6 * 2_000)).await;
        let mut wire = Wire::new(Bytes::new(), 64 << 10);
        loop {
            wire.begin_turn();
            match wire.read(&worker, &socket) {
                Frame::Nothing if wire.is_spent() => {}
                Frame::Nothing => wait_for_more(&socket).await,
                Frame::Broken(code) => break assert_eq!(code, CloseCode::TooBig),
                _ => panic!("no message is complete"),
            }
        }
        assert!(wire.scanner.pieces() <= PIECES_MAX + 400, "{}", wire.scanner.pieces());
    }

    #[tokio::test]
    async fn an_idle_connection_keeps_no_buffer() {
        let mut long = vec![0x81, 0xfe, 0x40, 0x00, 0, 0, 0, 0];
        long.resize(long.len() + 0x4000, b' ');
        let (worker, socket, mut client) = sent(&long).await;
        let mut wire = Wire::new(Bytes::new(), 64 << 10);
        let (first, rest) = [0x89, 0x80, 0, 0, 0, 0].split_at(3);
        assert!(matches!(next(&mut wire, &worker, &socket).await, Frame::Text(_)));
        assert!(matches!(wire.read(&worker, &socket), Frame::Nothing));
        assert!(wire.context.is_none() && wire.is_at_rest());
        client.write_all(first).await.unwrap();
        while wire.is_at_rest() {
            wait_for_more(&socket).await;
            assert!(matches!(wire.read(&worker, &socket), Frame::Nothing));
        }
        assert!(wire.context.is_some(), "half a ping is kept");
        client.write_all(rest).await.unwrap();
        assert!(matches!(next(&mut wire, &worker, &socket).await, Frame::Control));
        assert!(matches!(wire.read(&worker, &socket), Frame::Nothing));
        assert!(wire.context.is_none() && wire.is_at_rest());
    }

    #[tokio::test]
    async fn who_is_given_up_is_read_to_the_end_and_not_listened_to() {
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        let (worker, socket, client) = sent(&ping.repeat(10_000)).await;
        let mut wire = Wire::new(Bytes::new(), 64 << 10);
        wire.give_up();
        drop(client);
        let mut reads = 0;
        while !matches!(next(&mut wire, &worker, &socket).await, Frame::End(_)) {
            reads += 1;
        }
        assert!(reads < 1_000, "{reads} reads");
        assert_eq!(socket.outbox().bytes(), 0, "a ping was answered");
    }

    /// The next thing that came in.
    async fn next(wire: &mut Wire, worker: &Worker, socket: &Rc<Socket>) -> Frame {
        loop {
            wire.begin_turn();
            match wire.read(worker, socket) {
                Frame::Nothing => wait_for_more(socket).await,
                frame => return frame,
            }
        }
    }

    /// Enough for a second or two in a build without optimization.
    const INPUTS: u64 = 20_000;

    /// Frames as clients send them, under a mask of zeros, and some that break a rule.
    fn corpus() -> Vec<Vec<u8>> {
        let frame = |first: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
        };
        let ping = br#"{"type":"ping"}"#;
        vec![
            frame(0x81, ping),
            frame(0x82, &[0, 1, 2]),
            frame(0x89, b"ping"),
            frame(0x8a, b""),
            frame(0x88, b"\x03\xe8bye"),
            [frame(0x01, &ping[..4]), frame(0x89, b"between"), frame(0x00, b""), frame(0x80, &ping[4..])]
                .concat(),
            [frame(0x81, "\u{1f333}".as_bytes()), frame(0x81, b"\xff")].concat(),
            [&[0x81, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b' '; 126]].concat(),
            vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            endless(600),
        ]
    }

    #[test]
    fn a_whole_text_is_what_tungstenite_reads_and_nothing_else_is() {
        const TEXT_MAX: usize = 4 << 10;
        let lying = |text: &mut [u8]| whole_text(text, TEXT_MAX).map(|text| text.map(str::to_owned));
        let masked = |first: u8, text: &str| {
            let payload = text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let length = u16::try_from(text.len()).unwrap();
            let mut frame = match u8::try_from(length) {
                Ok(short @ ..=125) => vec![first, 0x80 | short],
                _ => [&[first, 0xfe][..], &length.to_be_bytes()].concat(),
            };
            frame.extend([1, 2, 3, 4]);
            frame.extend(payload);
            frame
        };
        for length in [0, 1, 3, 4, 125, 126, 127, TEXT_MAX] {
            let text = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            assert_eq!(lying(&mut masked(0x81, &text)).unwrap().unwrap(), text);
        }
        assert_eq!(lying(&mut masked(0x81, &"x".repeat(TEXT_MAX + 1))), None, "it is too long");
        let mut long_winded = [0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x'];
        assert_eq!(lying(&mut long_winded), None, "its length is spelled as the protocol does not allow");
        let mut corpus = corpus();
        corpus.extend([masked(0x81, &"x".repeat(TEXT_MAX + 1)), masked(0x81, "one"), masked(0x82, "two")]);
        corpus.push([masked(0x81, "one"), masked(0x81, "two")].concat());
        let mut whole = 0_u64;
        palabre_fuzz::each(&corpus, INPUTS, |bytes| {
            let (mut sent, mut ahead) = (Sent(bytes), bytes.to_vec());
            let Some(text) = lying(&mut ahead) else {
                return assert_eq!(ahead, bytes, "tungstenite needs it as it was");
            };
            whole += 1;
            match (context(TEXT_MAX).read(&mut sent), text) {
                (Ok(Message::Text(read)), Ok(text)) => assert_eq!(read.as_str(), text),
                (Err(Error::Utf8(_)), Err(_)) => {}
                (read, text) => panic!("{read:?}, but {text:?}"),
            }
            assert!(sent.0.is_empty(), "there is more than the text");
        });
        assert!(whole > INPUTS / 100, "{whole} whole texts");
    }

    /// What somebody has sent, which is nothing to answer.
    struct Sent<'a>(&'a [u8]);

    impl Read for Sent<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0.read(into)
        }
    }

    impl Write for Sent<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            panic!("it is answered {bytes:?}");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whatever_bytes_come_are_messages_or_an_end() {
        let (worker, socket, _client) = sent(b"").await;
        let (mut messages, mut ends) = (0_u64, 0_u64);
        palabre_fuzz::each(&corpus(), INPUTS, |bytes| {
            let mut wire = Wire::new(Bytes::copy_from_slice(bytes), 4 << 10);
            // Each turn takes a byte or more, each message two or more.
            for _ in 0..2 * bytes.len() + 2 {
                wire.begin_turn();
                match wire.read(&worker, &socket) {
                    Frame::Nothing if wire.is_spent() => {}
                    Frame::Nothing => {
                        assert_eq!(wire.context.is_some(), !wire.broken && !wire.is_at_rest());
                        return;
                    }
                    Frame::Text(text) => {
                        assert!(text.len() <= 4 << 10);
                        messages += 1;
                    }
                    Frame::Binary(_) | Frame::Control => messages += 1,
                    Frame::Broken(code) => {
                        let codes = [CloseCode::Protocol, CloseCode::InvalidUtf8, CloseCode::TooBig];
                        assert!(codes.contains(&code), "{code:?}");
                        ends += 1;
                    }
                    Frame::End(_) => {
                        ends += 1;
                        return;
                    }
                }
            }
            panic!("it goes round in circles");
        });
        assert!(messages > INPUTS / 10 && ends > INPUTS / 10, "{messages} messages, {ends} ends");
    }
}
