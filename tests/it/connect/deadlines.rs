//! Every phase of a connection ends in time, whatever the client does, or does not do.

use std::net::SocketAddr;
use std::time::Duration;

use palabre_tests::HubProcess;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::connect_from;
use palabre_tests::machine::DEADLINE;
use palabre_tests::raw::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

/// No phase is cut short, and none is much longer: the machine may be busy.
const EARLIEST: Duration = Duration::from_secs(4);

/// Waits for the end of a connection, and says how long it took and what came.
async fn end(mut stream: TcpStream, what: &str) -> (Duration, String) {
    let begun = Instant::now();
    let mut read = Vec::new();
    let end = timeout(DEADLINE, async { while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {} });
    assert!(end.await.is_ok(), "{what}: not closed in {DEADLINE:?}");
    (begun.elapsed(), String::from_utf8_lossy(&read).into_owned())
}

/// A connection on which these bytes were said.
async fn said(addr: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("the hub listens");
    stream.write_all(bytes.as_bytes()).await.expect("the kernel takes it");
    stream
}

async fn silent(addr: SocketAddr, what: &str, bytes: &str) {
    let (took, came) = end(said(addr, bytes).await, what).await;
    assert!(took >= EARLIEST && came.is_empty(), "{what}: {took:?}, {came}");
}

/// From a proxy that is expected to say first who is behind it, and does not come to the end of that.
async fn begun(addr: SocketAddr, what: &str, preamble: &[u8]) {
    let mut stream = connect_from([127, 0, 0, 9].into(), addr).await;
    stream.write_all(preamble).await.expect("the kernel takes it");
    let (took, came) = end(stream, what).await;
    assert!(took >= EARLIEST && came.is_empty(), "{what}: {took:?}, {came}");
}

/// A byte from time to time is progress, and not enough.
async fn dripped(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).await.expect("the hub listens");
    let mut ticks = interval(Duration::from_millis(100));
    let begun = Instant::now();
    for byte in request(addr, &format!("X: {}\r\n", "x".repeat(500))).bytes() {
        ticks.tick().await;
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "a head that never ends is read for ever");
    }
    assert!(begun.elapsed() >= EARLIEST, "closed after {:?}", begun.elapsed());
}

/// Answered, and then nothing more is asked.
async fn idle(addr: SocketAddr) {
    let get = format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let (took, came) = end(said(addr, &get).await, "idle").await;
    assert!(took >= EARLIEST && came.starts_with("HTTP/1.1 200 "), "{took:?}, {came}");
}

/// A body that is announced and does not come: nobody waits for it.
async fn half_a_body(addr: SocketAddr) {
    for length in
        ["Content-Length: 10", "Transfer-Encoding: chunked", "Content-Length: 10\r\nExpect: 100-continue"]
    {
        let post = format!("POST /health HTTP/1.1\r\nHost: {addr}\r\n{length}\r\n\r\n1");
        let (_, came) = end(said(addr, &post).await, length).await;
        assert!(came.starts_with("HTTP/1.1 405 ") && came.contains("connection: close"), "{length}: {came}");
    }
}

/// Asks for more than both kernels hold, and takes nothing of it.
async fn unread(addr: SocketAddr) {
    let socket = TcpSocket::new_v4().expect("there is IPv4");
    socket.set_recv_buffer_size(4 << 10).expect("it may be small");
    let mut stream = socket.connect(addr).await.expect("the hub listens");
    let get = format!("GET /app.js HTTP/1.1\r\nHost: {addr}\r\n\r\n").repeat(1_000);
    let reset = async {
        // The hub stops reading when its answers are not taken, so this blocks until it gives up.
        while stream.write_all(get.as_bytes()).await.is_ok() {}
    };
    let begun = Instant::now();
    assert!(timeout(DEADLINE * 2, reset).await.is_ok(), "answers that nobody takes are kept for ever");
    assert!(begun.elapsed() >= EARLIEST, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn no_phase_of_a_connection_lasts_for_ever() {
    let hub = HubProcess::start(&[]).await;
    let addr = hub.addr();
    let whole = request(addr, "");
    undisturbed(addr, async {
        tokio::join!(
            silent(addr, "silent from the beginning", ""),
            silent(addr, "an empty line", "\r\n"),
            silent(addr, "half a first line", "GET /w"),
            silent(addr, "half a head", &whole[..whole.len() / 2]),
            silent(addr, "a head without its end", &whole[..whole.len() - 2]),
            dripped(addr),
            idle(addr),
            half_a_body(addr),
            unread(addr),
        )
    })
    .await;
}

#[tokio::test]
async fn a_proxy_is_not_waited_for_for_ever_either() {
    let settings =
        [("PALABRE_SERVER_TRUSTED_PROXIES", "127.0.0.9"), ("PALABRE_SERVER_PROXY_PROTOCOL", "true")];
    let hub = HubProcess::start_with(&[], &settings).await;
    let addr = hub.addr();
    let whole = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
    undisturbed(addr, async {
        tokio::join!(
            begun(addr, "nothing", b""),
            begun(addr, "half a line", &whole[..20]),
            begun(addr, "a line without its end", &whole[..whole.len() - 1]),
            begun(addr, "half of version 2", b"\r\n\r\n\0\r\nQUIT\n\x21"),
            begun(addr, "a preamble alone", whole),
        )
    })
    .await;
}
