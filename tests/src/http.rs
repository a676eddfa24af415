//! HTTP by hand: one request a connection, written as a test spells it, and the answer taken apart.
//!
//! A client library would repair or refuse what some tests must send. Only answers with a `Content-Length`, or without a
//! body, are understood: a hub gives no others.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::machine::DEADLINE;

/// What a hub answered.
#[derive(Debug)]
pub struct Answer {
    /// The number of its first line.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
    head: String,
}

impl Answer {
    /// The value of a header that stands once; none if it does not stand there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let found = values.find(|(header, _)| header.eq_ignore_ascii_case(name));
        let again = values.find(|(header, _)| header.eq_ignore_ascii_case(name));
        assert!(again.is_none(), "{name} stands twice:\n{}", self.head);
        found.map(|(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// Asks for a path, as a browser would type it.
pub async fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await
}

/// Writes a request as it is, and reads the answer.
pub async fn ask(addr: SocketAddr, request: &str) -> Answer {
    ask_on(async || TcpStream::connect(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}")), request)
        .await
}

/// As [`ask`], from another address of loopback than the usual one.
pub async fn ask_from(from: IpAddr, addr: SocketAddr, request: &str) -> Answer {
    ask_on(async || connect_from(from, addr).await, request).await
}

/// A connection from another address of loopback than the usual one.
pub async fn connect_from(from: IpAddr, addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there is IPv4");
    socket.bind(SocketAddr::new(from, 0)).expect("every address of loopback is ours");
    socket.connect(addr).await.unwrap_or_else(|error| panic!("{addr} from {from}: {error}"))
}

async fn ask_on(connect: impl AsyncFnOnce() -> TcpStream, request: &str) -> Answer {
    let talk = async {
        let mut stream = connect().await;
        stream.write_all(request.as_bytes()).await.expect("the hub takes a request");
        let (head, mut body) = head(&mut stream).await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer =
            Answer { status: status.unwrap_or_else(|| panic!("no status: {head}")), body: Vec::new(), head };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a number"));
        // An answer to HEAD says how long the one to GET would be.
        let length = if request.starts_with("HEAD ") { 0 } else { length };
        while body.len() < length {
            let read = stream.read_buf(&mut body).await.expect("the body comes");
            assert!(read > 0, "the body ends after {} of {length} bytes", body.len());
        }
        answer.body = body;
        answer
    };
    timeout(DEADLINE, talk).await.unwrap_or_else(|_| panic!("no answer in {DEADLINE:?} to {request}"))
}

/// Writes bytes as they are, and reads until the connection ends, which must be soon: the statuses of the answers, none if
/// there was no answer.
pub async fn statuses(addr: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let talk = async {
        let mut stream = TcpStream::connect(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}"));
        // A hub that has closed already shows in what is read.
        stream.write_all(bytes).await.ok();
        let mut read = Vec::new();
        // A reset is an end as well.
        while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {}
        read
    };
    let read = timeout(DEADLINE, talk).await;
    let read =
        read.unwrap_or_else(|_| panic!("not closed in {DEADLINE:?}: {:?}", String::from_utf8_lossy(bytes)));
    let read = String::from_utf8_lossy(&read).into_owned();
    let firsts = read.match_indices("HTTP/1.").map(|(at, _)| read[at..].split(' ').nth(1));
    firsts
        .map(|status| status.and_then(|status| status.parse().ok()).expect("a status is a number"))
        .collect()
}

/// Writes a request, and bytes before it, and reads the head of its answer, if there is one before the connection ends.
pub async fn try_head(stream: &mut TcpStream, before: &[u8], request: &str) -> Option<String> {
    let talk = async {
        stream.write_all(&[before, request.as_bytes()].concat()).await.ok()?;
        let mut read = Vec::new();
        while !read.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        }
        Some(String::from_utf8_lossy(&read).into_owned())
    };
    timeout(DEADLINE, talk).await.ok()?
}

/// Reads an answer's head, without the blank line; what came after it is the second.
pub(crate) async fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            read.truncate(end);
            return (String::from_utf8(read).expect("a head is text"), rest);
        }
        let more = stream.read_buf(&mut read).await.expect("an answer comes");
        assert!(more > 0, "the hub hung up after {:?}", String::from_utf8_lossy(&read));
    }
}
