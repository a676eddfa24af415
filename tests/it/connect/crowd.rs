//! Many connections: how many a node and an address may have, how fast they are taken in, and what is left when there is
//! nothing left to accept with.

use std::io::ErrorKind::WouldBlock;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::{ask, ask_from, connect_from, try_head};
use palabre_tests::machine::until;
use palabre_tests::raw::request;
use palabre_tests::{HubProcess, RawClient};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Connections beyond the bound that are let in for an answer.
const REFUSED_MAX: usize = 64;

/// Connections of the two bystanders.
const BYSTANDERS: usize = 2;

/// What a handshake is answered with, with these headers besides.
async fn status(addr: SocketAddr, headers: &str) -> u16 {
    ask(addr, &request(addr, headers)).await.status
}

#[tokio::test]
async fn a_full_node_turns_websockets_away_and_still_says_how_it_is() {
    let max = (BYSTANDERS + 3).to_string();
    let hub = HubProcess::start_with(&[], &[("PALABRE_SERVER_CONNECTIONS_MAX", &max)]).await;
    let addr = hub.addr();
    undisturbed(addr, async {
        let mut inside = Vec::new();
        for _ in 0..3 {
            inside.push(RawClient::connect(addr).await);
        }
        for _ in 0..5 {
            let answer = ask(addr, &request(addr, "")).await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.header("connection"), Some("close"));
            let retry: u32 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=10).contains(&retry), "{retry}");
            assert_eq!(ask(addr, &format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await.status, 200);
        }
        inside.pop();
        until("somebody new gets the place", async || (status(addr, "").await == 101).then_some(())).await;
    })
    .await;
}

#[tokio::test]
async fn more_than_a_full_node_can_refuse_are_closed_and_room_comes_back() {
    let max = BYSTANDERS.to_string();
    let hub = HubProcess::start_with(&[], &[("PALABRE_SERVER_CONNECTIONS_MAX", &max)]).await;
    let addr = hub.addr();
    undisturbed(addr, async {
        let begun = Instant::now();
        let silent = join_all((0..200).map(|_| TcpStream::connect(addr))).await;
        let silent: Vec<_> = silent.into_iter().map(|stream| stream.expect("the kernel takes it")).collect();
        // So many wait for their refusal; the others get none.
        let is_closed =
            |stream: &&TcpStream| !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == WouldBlock);
        until("those beyond are closed", async || {
            let closed = silent.iter().filter(is_closed).count();
            assert!(closed <= silent.len() - REFUSED_MAX, "{closed} are closed, and nobody is to be refused");
            (closed == silent.len() - REFUSED_MAX).then_some(())
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "they were closed when their time was over");
        // Those who say nothing have their five seconds; then somebody else can be refused.
        until("somebody is answered", async || {
            let mut stream = TcpStream::connect(addr).await.ok()?;
            try_head(&mut stream, b"", &request(addr, "")).await.filter(|head| head.contains(" 503 "))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_address_has_only_so_many_connections_and_a_proxy_s_are_its_clients() {
    let settings =
        [("PALABRE_SERVER_CONNECTIONS_PER_ADDRESS", "3"), ("PALABRE_SERVER_TRUSTED_PROXIES", "127.0.0.9")];
    let hub = HubProcess::start_with(&[], &settings).await;
    let addr = hub.addr();
    undisturbed(addr, async {
        let _third = RawClient::connect(addr).await;
        let answer = ask(addr, &request(addr, "")).await;
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (429, true));
        // What somebody else's address is said to be changes nothing.
        assert_eq!(status(addr, "X-Forwarded-For: 203.0.113.9\r\n").await, 429);
        let from = |from: [u8; 4], headers: &str| {
            let request = request(addr, headers);
            async move { ask_from(from.into(), addr, &request).await.status }
        };
        assert_eq!(from([127, 0, 0, 2], "").await, 101);

        let behind = |client: &str| format!("X-Forwarded-For: {client}\r\n");
        let mut open = Vec::new();
        for _ in 0..3 {
            let stream = connect_from([127, 0, 0, 9].into(), addr).await;
            open.push(RawClient::open_with(stream, &behind("203.0.113.9"), &[]).await);
        }
        for client in ["203.0.113.9", "1.1.1.1, 203.0.113.9", "203.0.113.9:4711", "::ffff:203.0.113.9"] {
            assert_eq!(from([127, 0, 0, 9], &behind(client)).await, 429, "{client}");
        }
        for client in ["203.0.113.8", "203.0.113.9, 203.0.113.7"] {
            assert_eq!(from([127, 0, 0, 9], &behind(client)).await, 101, "{client}");
        }
        open.pop();
        until("a place is free again", async || {
            (from([127, 0, 0, 9], &behind("203.0.113.9")).await == 101).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_storm_waits_its_turn_and_nobody_is_refused() {
    const STORM: usize = 150;
    let hub = HubProcess::start_with(&[], &[("PALABRE_SERVER_ACCEPT_RATE", "50")]).await;
    let addr = hub.addr();
    undisturbed(addr, async {
        let begun = Instant::now();
        let storm = join_all((0..STORM).map(|_| status(addr, ""))).await;
        let took = begun.elapsed();
        assert_eq!(storm, [101; STORM]);
        // All of them at once, less the burst, are not faster than the rate.
        assert!(took >= Duration::from_secs(2), "{STORM} connections in {took:?}");
    })
    .await;
}

#[tokio::test]
async fn a_node_without_descriptors_waits_quietly_and_comes_back() {
    const DESCRIPTORS: usize = 40;
    let hub = HubProcess::start_limited(DESCRIPTORS, &[("PALABRE_SERVER_CONNECTIONS_MAX", "1000")]).await;
    let addr = hub.addr();
    undisturbed(addr, async {
        let mut taken = Vec::new();
        for _ in 0..DESCRIPTORS {
            // The kernel completes the connection, whether the hub can accept it or not.
            taken.push(TcpStream::connect(addr).await.unwrap());
        }
        let complaints = || hub.stderr().matches("listen.accept_failed").count();
        until("the hub says that it cannot accept", async || (complaints() > 0).then_some(())).await;
        let (before, since) = (hub.cpu(), Instant::now());
        // Those that said nothing are closed after five seconds, and then there are descriptors again.
        let answer = ask(addr, &request(addr, "")).await;
        assert_eq!(answer.status, 101);
        let (used, waited) = (hub.cpu() - before, since.elapsed());
        assert!(waited > Duration::from_secs(1), "there were descriptors all the time");
        assert!(used < waited / 2, "{used:?} of processor time in {waited:?}");
        assert_eq!(complaints(), 1, "{}", hub.stderr());
    })
    .await;
}
