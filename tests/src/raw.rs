//! A WebSocket by hand, byte for byte: for what no library would send, and for clients that do not behave.
//!
//! It answers nothing by itself, neither pings nor a close. What it reads is checked only as far as every frame of a hub
//! must be: in one piece, unmasked, without extensions.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::http::head;
use crate::machine::DEADLINE;

/// The first byte of a whole text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a close.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8a;

/// The bit of the first byte that ends a message.
const FIN: u8 = 0x80;

/// One open WebSocket.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    read: Vec<u8>,
}

impl RawClient {
    /// Opens a WebSocket without a subprotocol, and says nothing on it.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}"));
        Self::open(stream, &[]).await
    }

    /// As [`Self::connect`], with hardly any room in its own kernel: what it does not read stays with the hub.
    pub async fn connect_small(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("there is IPv4");
        socket.set_recv_buffer_size(4 << 10).expect("a buffer may be small");
        let stream = socket.connect(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}"));
        Self::open(stream, &[]).await
    }

    /// Opens a WebSocket on a connection; the request and `after` are written at once.
    pub async fn open(stream: TcpStream, after: &[u8]) -> Self {
        Self::open_with(stream, "", after).await
    }

    /// As [`Self::open_with`], at another path than the hub's.
    pub async fn open_at(path: &str, stream: TcpStream, headers: &str, after: &[u8]) -> Self {
        let addr = stream.peer_addr().expect("it is connected");
        let request = request(addr, headers).replace("GET /ws ", &format!("GET {path} "));
        Self::shake_hands(stream, [request.as_bytes(), after].concat()).await
    }

    /// As [`Self::open`], with more headers, each line with its end.
    pub async fn open_with(stream: TcpStream, headers: &str, after: &[u8]) -> Self {
        Self::open_at("/ws", stream, headers, after).await
    }

    async fn shake_hands(mut stream: TcpStream, bytes: Vec<u8>) -> Self {
        let opened = timeout(DEADLINE, async {
            stream.write_all(&bytes).await.expect("the hub takes a request");
            head(&mut stream).await
        });
        let (head, read) = opened.await.unwrap_or_else(|_| panic!("no handshake in {DEADLINE:?}"));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream, read }
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        // A hub that has closed shows in what is read next, which says more than a failed write.
        let written = timeout(DEADLINE, self.stream.write_all(bytes)).await;
        assert!(written.is_ok(), "the hub took nothing for {DEADLINE:?}");
    }

    /// Writes a text message in one frame.
    pub async fn text(&mut self, text: &str) {
        self.write(&frame(TEXT, text.as_bytes())).await;
    }

    /// The next frame: its first byte, and its payload. Who came and went is passed over: it is told by the second.
    pub async fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            let (first, payload) = self.next_frame().await;
            if !payload.starts_with(br#"{"type":"presence","group""#) {
                return (first, payload);
            }
        }
    }

    async fn next_frame(&mut self) -> (u8, Vec<u8>) {
        let next = timeout(DEADLINE, async {
            loop {
                if let Some(found) = take(&mut self.read) {
                    return found;
                }
                let read = self.stream.read_buf(&mut self.read).await;
                let read = read.unwrap_or_else(|error| panic!("instead of a frame: {error}"));
                assert!(read > 0, "the connection ended instead of a frame");
            }
        });
        next.await.unwrap_or_else(|_| panic!("no frame in {DEADLINE:?}"))
    }

    /// The next frame, which must be a text: its JSON.
    pub async fn json(&mut self) -> Value {
        let (first, payload) = self.next().await;
        assert_eq!(first, TEXT, "{payload:?}");
        serde_json::from_slice(&payload).expect("a hub speaks JSON")
    }

    /// Says hello and waits for the `welcome`.
    pub async fn hello(&mut self) {
        self.text(r#"{"type":"hello","ref":"hello"}"#).await;
        assert_eq!(self.json().await["type"], "welcome");
    }

    /// Says hello, and joins these groups, a hundred at most; passes over what it is told of them.
    pub async fn enter(&mut self, groups: &[String]) {
        self.hello().await;
        let named: Vec<_> = groups.iter().map(|group| json!({"group": group})).collect();
        self.text(&json!({"type": "join", "ref": "enter", "groups": named}).to_string()).await;
        for _ in groups {
            while self.json().await["type"] != "joined" {}
        }
    }

    /// Ends its own side, and still hears.
    pub async fn end_writing(&mut self) {
        self.stream.shutdown().await.expect("the connection is open");
    }

    /// Breaks the connection: the hub gets a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a TCP socket can be told to");
    }

    /// Reads so many bytes at most, for later; none at the end.
    pub async fn read_some(&mut self, bytes_max: usize) -> usize {
        let mut some = vec![0; bytes_max];
        // A reset is an end as well.
        let read = self.stream.read(&mut some).await.unwrap_or(0);
        self.read.extend(&some[..read]);
        read
    }

    /// Passes over what comes until the hub's close, and returns its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let (CLOSE, payload) = self.next().await {
                let code = payload.first_chunk().expect("a hub's close has a code");
                return u16::from_be_bytes(*code);
            }
        }
    }

    /// Waits for the end of the connection, before which nothing more must come.
    pub async fn ends(&mut self) {
        let end = timeout(DEADLINE, self.stream.read_buf(&mut self.read)).await;
        // A hub that did not read everything resets the connection; that is an end as well.
        let read = end.unwrap_or_else(|_| panic!("the connection did not end in {DEADLINE:?}")).unwrap_or(0);
        assert!(read == 0 && self.read.is_empty(), "after the end: {:?}", self.read);
    }

    /// Whether the connection has broken, as far as its own kernel knows. Reads nothing.
    pub async fn is_gone(&mut self) -> bool {
        // A pong that nobody asked for is passed over by a hub that lives.
        self.stream.write_all(&frame(PONG, b"")).await.is_err()
    }

    /// All whole frames until the end of the connection, which must come.
    pub async fn rest(&mut self) -> Vec<(u8, Vec<u8>)> {
        let end = timeout(DEADLINE, async {
            // A reset is an end as well.
            while self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0 {}
        });
        assert!(end.await.is_ok(), "the connection did not end in {DEADLINE:?}");
        std::iter::from_fn(|| take(&mut self.read)).collect()
    }

    /// The connection itself, and what was read from it already.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.read)
    }
}

/// The request for a WebSocket at a hub; `headers` are more lines, each with its end.
pub fn request(addr: SocketAddr, headers: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n{headers}\r\n"
    )
}

/// A client's frame: the first byte as it is, and the payload under a mask.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x4b, 0xb4, 0x00, 0x7f];
    const MASKED: u8 = 0x80;
    let mut bytes = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..=125), _) => bytes.push(MASKED | short),
        (_, Ok(medium)) => {
            bytes.push(MASKED | 126);
            bytes.extend(medium.to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Takes a whole frame off the front, if one is there.
pub fn take(read: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (&first, &second) = (read.first()?, read.get(1)?);
    assert!(first & 0x70 == 0 && first & FIN != 0 && second & 0x80 == 0, "no hub's frame: {first} {second}");
    let (start, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*read.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*read.get(2..)?.first_chunk()?)).expect("64 bits")),
        short => (2, usize::from(short)),
    };
    let payload = read.get(start..start + length)?.to_vec();
    read.drain(..start + length);
    Some((first, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_and_as_long_as_it_says() {
        assert_eq!(frame(TEXT, b"a"), [0x81, 0x81, 0x4b, 0xb4, 0x00, 0x7f, b'a' ^ 0x4b]);
        assert_eq!(frame(TEXT, &[0; 126])[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(frame(TEXT, &[0; 65_536])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn frames_are_taken_whole_and_in_order() {
        let mut read = vec![0x81, 1, b'a', 0x88, 126, 0, 2, 3];
        assert_eq!(take(&mut read), Some((TEXT, b"a".to_vec())));
        assert_eq!(take(&mut read), None);
        read.push(0xe8);
        assert_eq!(take(&mut read), Some((CLOSE, vec![3, 0xe8])));
        assert!(read.is_empty());
    }
}
