//! Requests that two programs may read differently: none of them is taken for two, or for one that nobody judged.

use std::net::SocketAddr;

use futures_util::future::join_all;
use palabre_tests::HubProcess;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::statuses;
use palabre_tests::raw::request;

/// What an attacker would have the hub take for a request of its own.
const HIDDEN: &str = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// Requests, and the statuses that they may be answered with before the connection ends.
fn table(addr: SocketAddr) -> Vec<(&'static str, String, &'static [u16])> {
    let get = |headers: &str| format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n");
    let post =
        |headers: &str, body: &str| format!("POST /health HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n{body}");
    let first = |line: &str| format!("{line}\r\nHost: {addr}\r\n\r\n");
    vec![
        ("two requests, the last one closing", get("") + &get("Connection: close\r\n"), &[200, 200]),
        // Where a body ends.
        (
            "length and encoding",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &[400],
        ),
        (
            "encoding and length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
            &[400],
        ),
        ("two lengths", post("Content-Length: 4\r\nContent-Length: 0\r\n", HIDDEN), &[400]),
        ("the same length twice", post("Content-Length: 0\r\nContent-Length: 0\r\n", ""), &[400]),
        ("two lengths in one", post("Content-Length: 0, 0\r\n", ""), &[400]),
        ("a signed length", post("Content-Length: +0\r\n", ""), &[400]),
        ("a length below zero", post("Content-Length: -1\r\n", ""), &[400]),
        ("a length beyond all", post("Content-Length: 99999999999999999999\r\n", ""), &[400]),
        ("a length in hexadecimal", post("Content-Length: 0x0\r\n", ""), &[400]),
        ("two encodings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", ""), &[400]),
        ("encoding that is not the last", post("Transfer-Encoding: chunked, gzip\r\n", ""), &[400]),
        ("an encoding before", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), &[400]),
        ("an unknown encoding", post("Transfer-Encoding: xchunked\r\n", ""), &[400]),
        ("a bad chunk", post("Transfer-Encoding: chunked\r\n", &format!("zz\r\n{HIDDEN}")), &[405]),
        (
            "a chunk's size beyond all",
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
            &[405],
        ),
        ("a body that nobody reads", post("Content-Length: 5\r\n", &format!("12345{HIDDEN}")), &[405]),
        ("a body of a get", get("Content-Length: 5\r\n") + "12345" + HIDDEN, &[200]),
        // Where a line ends.
        ("bare line feeds", get("").replace('\r', ""), &[400]),
        ("a header behind a bare line feed", get("X: a\nContent-Length: 40\r\n") + HIDDEN, &[400]),
        ("a second request in bare line feeds", get("") + &get("").replace('\r', ""), &[200, 400]),
        ("a bare carriage return", get("X: a\rContent-Length: 40\r\n"), &[400]),
        ("a folded line", get("X: a\r\n b\r\n"), &[400]),
        ("a folded first header", format!("GET / HTTP/1.1\r\n Host: {addr}\r\n\r\n"), &[400]),
        ("a space before the colon", get("Content-Length : 0\r\n"), &[400]),
        ("a NUL in a value", get("X: a\0b\r\n"), &[400]),
        ("no colon", get("nothing\r\n"), &[400]),
        // What a first line is.
        ("two spaces", first("GET  /health HTTP/1.1"), &[400]),
        ("no path", first("GET HTTP/1.1"), &[400]),
        ("a control character in the path", first("GET /\u{1}health HTTP/1.1"), &[400]),
        ("a whole address", first(&format!("GET http://{addr}/health HTTP/1.1")), &[400]),
        ("a whole address elsewhere", first("GET http://evil.example/health HTTP/1.1"), &[400]),
        (
            "a socket at a whole address",
            request(addr, "").replace("GET /ws", &format!("GET http://{addr}/ws")),
            &[400],
        ),
        ("HTTP/1.0", first("GET /health HTTP/1.0"), &[200]),
        ("HTTP/1.0 without a host", "GET /health HTTP/1.0\r\n\r\n".to_owned(), &[200]),
        (
            "HTTP/1.0 with an encoding",
            first("GET / HTTP/1.0").replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"),
            &[400],
        ),
        ("HTTP/0.9", "GET /health\r\n\r\n".to_owned(), &[400]),
        ("HTTP/1.2", first("GET /health HTTP/1.2"), &[400]),
        ("HTTP/2.0", first("GET /health HTTP/2.0"), &[400]),
        ("HTTP/2 by its preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        (
            "HTTP/2 by an upgrade that is not taken",
            get(
                "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            &[200],
        ),
        ("TLS", "\u{16}\u{3}\u{1}\0\u{5}hello".to_owned(), &[400]),
        // What only a proxy is asked.
        ("CONNECT", format!("CONNECT {addr} HTTP/1.1\r\nHost: {addr}\r\n\r\n{HIDDEN}"), &[405]),
        (
            "TRACE",
            first("TRACE /health HTTP/1.1").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
            &[405],
        ),
        (
            "an upgrade by POST",
            request(addr, "Connection: close\r\n")
                .replace("GET", "POST")
                .replace("Connection: Upgrade\r\n", ""),
            &[405],
        ),
        (
            "an upgrade with a body that is a request",
            request(addr, &format!("Content-Length: {}\r\n", HIDDEN.len())) + HIDDEN,
            &[400],
        ),
        ("a head beyond 8 KiB", get(&format!("X: {}\r\n", "x".repeat(9_000))), &[431]),
        ("more headers than anybody has", get(&"X: y\r\n".repeat(200)), &[431]),
    ]
}

#[tokio::test]
async fn a_request_has_one_meaning_or_none() {
    let hub = HubProcess::start(&[]).await;
    let addr = hub.addr();
    let table = table(addr);
    let answers =
        undisturbed(addr, join_all(table.iter().map(|(_, bytes, _)| statuses(addr, bytes.as_bytes())))).await;
    let wrong: Vec<_> = table
        .iter()
        .zip(&answers)
        .filter(|((_, _, expected), answered)| expected != answered)
        .map(|((what, _, expected), answered)| format!("{what}: {answered:?}, not {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
