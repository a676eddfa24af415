//! Proxies that pass bytes: the PROXY protocol by hand, and as a real one speaks it.

use std::net::SocketAddr;
use std::process::Stdio;

use palabre_tests::HubProcess;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::{connect_from, try_head};
use palabre_tests::machine::{Folder, until};
use palabre_tests::raw::request;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::http::nowhere;

/// The status of the answer to a handshake that comes from this address, if there is an answer; and the connection.
async fn handshake(from: [u8; 4], addr: SocketAddr, preamble: &[u8]) -> (Option<u16>, TcpStream) {
    let mut stream = connect_from(from.into(), addr).await;
    let head = try_head(&mut stream, preamble, &request(addr, "")).await;
    let status = head.and_then(|head| head.split(' ').nth(1)?.parse().ok());
    (status, stream)
}

#[tokio::test]
async fn a_proxy_that_passes_bytes_says_first_who_is_behind_it() {
    let settings = [
        ("PALABRE_SERVER_CONNECTIONS_PER_ADDRESS", "3"),
        ("PALABRE_SERVER_TRUSTED_PROXIES", "127.0.0.9"),
        ("PALABRE_SERVER_PROXY_PROTOCOL", "true"),
    ];
    let hub = HubProcess::start_with(&[], &settings).await;
    let addr = hub.addr();
    let line = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 4711 80\r\n").into_bytes();
    // Version 2, of the same client.
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([203, 0, 113, 9, 127, 0, 0, 1, 0x12, 0x67, 0, 80]);
    let status = async |from: [u8; 4], preamble: &[u8]| handshake(from, addr, preamble).await.0;
    undisturbed(addr, async {
        let mut open = Vec::new();
        for preamble in [&line("203.0.113.9"), &binary, &binary] {
            let (answered, stream) = handshake([127, 0, 0, 9], addr, preamble).await;
            assert_eq!(answered, Some(101));
            open.push(stream);
        }
        assert_eq!(status([127, 0, 0, 9], &binary).await, Some(429));
        assert_eq!(status([127, 0, 0, 9], &line("203.0.113.9")).await, Some(429));
        assert_eq!(status([127, 0, 0, 9], &line("203.0.113.8")).await, Some(101));
        // The proxy itself asks whether we live.
        assert_eq!(status([127, 0, 0, 9], b"PROXY UNKNOWN\r\n").await, Some(101));
        // It is expected of a proxy, and understood from nobody else.
        assert_eq!(status([127, 0, 0, 9], b"").await, None);
        assert_eq!(status([127, 0, 0, 2], &line("203.0.113.7")).await, Some(400));
        assert_eq!(status([127, 0, 0, 2], b"").await, Some(101));
    })
    .await;
}

/// A real one, between `addr` and the hub, which is ended with the value.
async fn haproxy(folder: &Folder, addr: SocketAddr, hub: SocketAddr) -> Child {
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         listen hub\n  bind {addr}\n  source 127.0.0.9\n  server hub {hub} send-proxy-v2\n"
    );
    let file = folder.file("haproxy.cfg", &config);
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", &file]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = command.kill_on_drop(true).spawn();
    let process = process.unwrap_or_else(|error| panic!("haproxy (Debian: apt install haproxy): {error}"));
    until("haproxy listens", async || TcpStream::connect(addr).await.ok()).await;
    process
}

#[tokio::test]
async fn the_clients_behind_a_real_haproxy_are_told_apart() {
    // The port that nobody has is taken again at once; somebody else may still be faster.
    let addr = nowhere();
    let host = addr.to_string();
    let settings = [
        ("PALABRE_SERVER_HOSTS", host.as_str()),
        ("PALABRE_SERVER_CONNECTIONS_PER_ADDRESS", "2"),
        ("PALABRE_SERVER_TRUSTED_PROXIES", "127.0.0.9"),
        ("PALABRE_SERVER_PROXY_PROTOCOL", "true"),
    ];
    let hub = HubProcess::start_with(&[], &settings).await;
    let folder = Folder::new("haproxy");
    let _haproxy = haproxy(&folder, addr, hub.addr()).await;
    let mut open = Vec::new();
    for (client, status) in [(3, 101), (3, 101), (3, 429), (4, 101)] {
        let (answered, stream) = handshake([127, 0, 0, client], addr, b"").await;
        assert_eq!(answered, Some(status), "127.0.0.{client}");
        open.push(stream);
    }
    // People who talk through it come from one address, as two.
    undisturbed(addr, async { assert_eq!(handshake([127, 0, 0, 5], addr, b"").await.0, Some(101)) }).await;
}
