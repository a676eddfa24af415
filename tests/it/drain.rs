//! The end of a node that was asked to end: its clients are told, and it does not wait for them for ever.

mod rolling;

use std::time::Duration;

use palabre_tests::http::get;
use palabre_tests::machine::{Signal, until};
use palabre_tests::raw::{CLOSE, frame};
use palabre_tests::{Client, HubProcess, RawClient};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn clients_are_told_when_to_come_back_and_the_node_ends_well() {
    let mut hub = HubProcess::start(&[]).await;
    let mut clients = Vec::new();
    for name in ["Ana", "Bo", "Cy"] {
        let mut client = Client::connect(hub.addr()).await;
        client.hello(name).await;
        client.join("lobby").await;
        clients.push(client);
    }
    // Somebody who has not said hello yet has to come back as well.
    clients.push(Client::connect(hub.addr()).await);

    let told = async {
        for client in &mut clients {
            let drain = client.expect("drain").await;
            assert!(drain["reconnect_ms"].as_u64().is_some_and(|wait| wait <= 10_000), "{drain}");
            assert_eq!(client.closed().await, 4000);
        }
    };
    let (status, ()) = tokio::join!(hub.terminate(), told);
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn what_was_acked_is_seen_before_the_drain() {
    let mut hub = HubProcess::start(&[]).await;
    let mut ana = Client::connect(hub.addr()).await;
    let mut bo = Client::connect(hub.addr()).await;
    for client in [&mut ana, &mut bo] {
        client.hello("").await;
        client.join("lobby").await;
    }
    for text in 0..100 {
        ana.send("lobby", &text.to_string()).await;
    }
    let seen = async {
        assert_eq!((ana.closed().await, bo.closed().await), (4000, 4000));
        for client in [&mut ana, &mut bo] {
            for offset in 1..=100 {
                assert_eq!(client.message().await.0, offset);
            }
            client.expect("drain").await;
        }
    };
    let (status, ()) = tokio::join!(hub.terminate(), seen);
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_not_waited_for() {
    let mut hub = HubProcess::start(&[]).await;
    let mut silent = RawClient::connect(hub.addr()).await;
    silent.hello().await;
    // One that has not even asked for anything, and one that has stopped in the middle of a frame.
    let idle = TcpStream::connect(hub.addr()).await.unwrap();
    let mut stuck = RawClient::connect(hub.addr()).await;
    stuck.write(&frame(0x81, b"never finished")[..8]).await;

    assert_eq!(hub.terminate().await.code(), Some(0));
    assert_eq!(silent.json().await["type"], "drain");
    let (first, payload) = silent.next().await;
    assert_eq!((first, &payload[..2]), (CLOSE, &4000_u16.to_be_bytes()[..]));
    silent.ends().await;
    assert_eq!(stuck.close_code().await, 4000);
    drop(idle);
}

#[tokio::test]
async fn a_node_that_has_ended_leaves_its_port_to_the_next() {
    let mut hub = HubProcess::start(&[]).await;
    let listen = hub.addr().to_string();
    let mut client = Client::connect(hub.addr()).await;
    client.hello("Ana").await;
    let (status, code) = tokio::join!(hub.terminate(), client.closed());
    assert_eq!((status.code(), code), (Some(0), 4000));

    let next = HubProcess::start(&["--listen", &listen]).await;
    let back = tokio::time::timeout(Duration::from_secs(10), Client::connect(next.addr())).await;
    back.unwrap().hello("Ana").await;
}

/// Waits until a node that was asked to end has noticed.
async fn notices(hub: &HubProcess) {
    until("the node begins to end", async || hub.stderr().contains("hub.draining").then_some(())).await;
}

#[tokio::test]
async fn a_node_that_goes_says_so_first_and_serves_until_it_is_time() {
    let mut hub = HubProcess::start_with(&[], &[("PALABRE_DRAIN_DELAY", "3s")]).await;
    let mut ana = Client::connect(hub.addr()).await;
    ana.hello("Ana").await;
    ana.join("lobby").await;
    assert_eq!(get(hub.addr(), "/readyz").await.status, 200);
    hub.send(Signal::Term);
    notices(&hub).await;
    let ready = get(hub.addr(), "/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("draining"), "{}", ready.text());
    assert_eq!(get(hub.addr(), "/livez").await.status, 200);
    assert!(get(hub.addr(), "/health").await.text().contains(r#""status":"unhealthy""#));
    // What balances the load has not noticed yet, and goes on sending clients.
    let mut bo = Client::connect(hub.addr()).await;
    bo.hello("Bo").await;
    bo.join("lobby").await;
    bo.send("lobby", "late").await;
    assert_eq!(ana.message().await.1["text"], "late");
    assert_eq!((ana.closed().await, bo.closed().await), (4000, 4000));
    assert_eq!(hub.ended().await.code(), Some(0));
}

#[tokio::test]
async fn clients_are_told_at_once_and_leave_one_after_the_other() {
    let mut hub = HubProcess::start_with(&[], &[("PALABRE_DRAIN_RATE", "10")]).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("").await;
        client.join("lobby").await;
        clients.push(client);
    }
    hub.send(Signal::Term);
    let mut times = Vec::new();
    for client in &mut clients {
        times.push(client.expect("drain").await["reconnect_ms"].as_u64().unwrap());
    }
    assert!(times.iter().all(|time| *time < 2_000), "20 clients at 10 a second: {times:?}");
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(last - first > 500, "{times:?}");
    // Who has the longest time still hears the others, and what they say.
    let last = times.iter().position(|time| time == last).unwrap();
    let mut stays = clients.swap_remove(last);
    stays.send("lobby", "still here").await;
    let begun = Instant::now();
    for client in &mut clients {
        assert_eq!(client.closed().await, 4000);
    }
    assert_eq!(stays.closed().await, 4000);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(hub.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_node_ends_at_once() {
    // What it must not wait for is far longer than a loaded machine takes to end a process.
    let mut hub = HubProcess::start_with(&[], &[("PALABRE_DRAIN_WINDOW", "20s")]).await;
    let begun = Instant::now();
    assert_eq!(hub.terminate().await.code(), Some(0), "also in the moment after it said where it is");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_whatever_is_left() {
    for (signal, code) in [(Signal::Term, 143), (Signal::Int, 130)] {
        let mut hub =
            HubProcess::start_with(&[], &[("PALABRE_DRAIN_DELAY", "20s"), ("PALABRE_DRAIN_WINDOW", "0s")])
                .await;
        let mut ana = Client::connect(hub.addr()).await;
        ana.hello("Ana").await;
        hub.send(Signal::Term);
        notices(&hub).await;
        let begun = Instant::now();
        hub.send(signal);
        assert_eq!(hub.ended().await.code(), Some(code));
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        let log = hub.stderr();
        assert!(
            log.lines().any(|line| line.contains("drain.cut_short") && line.contains("connections=1")),
            "{log}"
        );
    }
}
