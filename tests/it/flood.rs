//! One client against the others of its worker: a flood is answered to the end, and costs nobody else their turn.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use channel_layer::MemoryLayer;
use futures_util::FutureExt;
use futures_util::future::join_all;
use palabre::Hub;
use palabre::chat::{Chat, PREFIX};
use palabre::config::Rates;
use palabre::people::GuestGate;
use palabre_protocol::Limits;
use palabre_tests::raw::{TEXT, frame};
use palabre_tests::{Client, RawClient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const FRAMES: usize = 1_000_000;

/// Frames of one write: enough for the hub to have more to read at each turn than it may.
const FRAMES_A_WRITE: usize = 10_000;

/// So much longer than the flood takes that only a hub that has stopped answering reaches it.
const FLOOD_MAX: Duration = Duration::from_secs(300);

/// A hub with one worker, and where it listens.
fn start() -> (Hub, std::net::TcpListener) {
    let limits = Limits::default();
    let hub = Hub::builder(Arc::new(MemoryLayer::new()))
        .gate(GuestGate::new(None, limits))
        .mount(PREFIX, move |_| Chat::new(limits))
        .rates(Rates::unlimited())
        .workers(NonZeroUsize::MIN)
        .start()
        .expect("the hub starts");
    (hub, palabre::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port"))
}

/// Writes a million bad frames and reads the answers at the same time; returns how many came.
async fn flood(client: RawClient) -> usize {
    let (stream, mut read) = client.into_parts();
    let (mut from, mut to) = stream.into_split();
    let write = async move {
        let chunk = frame(TEXT, b"x").repeat(FRAMES_A_WRITE);
        for _ in 0..FRAMES / FRAMES_A_WRITE {
            to.write_all(&chunk).await.expect("the hub goes on reading");
        }
        // The hub must not see the end before it has answered all.
        to
    };
    let count = async move {
        const ANSWER: &[u8] = br#""code":"bad_json""#;
        let mut answers = 0;
        while answers < FRAMES {
            let found = read.windows(ANSWER.len()).filter(|part| *part == ANSWER).count();
            answers += found;
            // An answer may be cut by the end of what was read; its beginning stays.
            let keep = read.windows(ANSWER.len()).rposition(|part| part == ANSWER);
            let done =
                keep.map_or(0, |at| at + ANSWER.len()).max(read.len().saturating_sub(ANSWER.len() - 1));
            read.drain(..done);
            if answers < FRAMES && from.read_buf(&mut read).await.expect("the hub goes on answering") == 0 {
                break;
            }
        }
        answers
    };
    let (_to, answers) = tokio::join!(write, count);
    answers
}

/// Pings in a loop until the flood is over; returns how often it was answered, and the worst wait.
async fn bystand(client: &mut Client, over: &AtomicBool) -> (usize, Duration) {
    let (mut answered, mut worst) = (0, Duration::ZERO);
    while !over.load(Ordering::Acquire) {
        let asked = Instant::now();
        client.raw_text(r#"{"type":"ping"}"#).await;
        client.expect("pong").await;
        answered += 1;
        worst = worst.max(asked.elapsed());
    }
    (answered, worst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_answered_frame_by_frame_and_the_others_still_have_their_turn() {
    let (hub, listener) = start();
    let addr = listener.local_addr().unwrap();
    let serve = hub.serve(listener, "/ws", Router::new());
    let test = async {
        let mut bystander = Client::connect(addr).await;
        bystander.hello("Bo").await;
        let stream = TcpStream::connect(addr).await.unwrap();
        let mut flooder = RawClient::open(stream, &[]).await;
        flooder.hello().await;

        let over = AtomicBool::new(false);
        let begun = Instant::now();
        let flood = timeout(FLOOD_MAX, flood(flooder)).inspect(|_| over.store(true, Ordering::Release));
        let (answers, (answered, worst)) = tokio::join!(flood, bystand(&mut bystander, &over));
        let took = begun.elapsed();
        println!(
            "{FRAMES} bad frames in {took:?}; meanwhile {answered} pings answered, the worst in {worst:?}"
        );
        assert_eq!(answers.expect("the flood comes to an end"), FRAMES);
        assert!(answered >= 100, "{answered} pings answered during the flood");
        hub.drain().await;
    };
    let (served, ()) = tokio::join!(serve, test);
    served.unwrap();
}

/// An unfinished text message, and a fragment that does not end it.
const BEGUN: u8 = 0x01;
const GOES_ON: u8 = 0x00;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_that_never_end_a_message_hold_nobody_up() {
    let (hub, listener) = start();
    let addr = listener.local_addr().unwrap();
    let serve = hub.serve(listener, "/ws", Router::new());
    let test = async {
        let mut bystander = Client::connect(addr).await;
        bystander.hello("Bo").await;
        let over = AtomicBool::new(false);
        let attack = async || {
            let stream = TcpStream::connect(addr).await.unwrap();
            let mut attacker = RawClient::open(stream, &[]).await;
            attacker.hello().await;
            let (mut stream, _read) = attacker.into_parts();
            stream.write_all(&frame(BEGUN, b"\"")).await.unwrap();
            let fragments = frame(GOES_ON, b"").repeat(FRAMES_A_WRITE);
            for _ in 0..FRAMES / FRAMES_A_WRITE {
                stream.write_all(&fragments).await.expect("the hub goes on reading");
            }
        };
        let attacks = timeout(FLOOD_MAX, join_all([attack(), attack(), attack()]));
        let attacks = attacks.inspect(|_| over.store(true, Ordering::Release));
        let (attacks, (answered, worst)) = tokio::join!(attacks, bystand(&mut bystander, &over));
        println!("{answered} pings answered meanwhile, the worst in {worst:?}");
        attacks.expect("the attacks come to an end");
        assert!(answered >= 5, "{answered} pings answered during the attacks");
        hub.drain().await;
    };
    let (served, ()) = tokio::join!(serve, test);
    served.unwrap();
}
