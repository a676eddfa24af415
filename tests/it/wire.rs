//! The wire that other tests break does what they say of it.

#![expect(clippy::unwrap_used, reason = "all of this is tests and helpers without the attribute too")]

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use palabre_tests::{
    Wire,
    machine::{DEADLINE, until},
    wire::{Course, Direction, Door, End},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

/// So long nothing comes that would have come at once.
const QUIET: Duration = Duration::from_millis(100);

/// A server that says back what it hears, and ends when its client has.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tasks.spawn(async move {
                let (mut from, mut to) = stream.split();
                let _gone = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn wired() -> (Wire, TcpStream) {
    let wire = Wire::to(echo().await, 7).await;
    let stream = TcpStream::connect(wire.address()).await.unwrap();
    (wire, stream)
}

async fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hears(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(DEADLINE, stream.read_exact(&mut heard)).await.expect("it comes in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let heard = timeout(QUIET, stream.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// How the next read ends.
async fn end(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut byte = [0];
    timeout(DEADLINE, stream.read(&mut byte)).await.expect("it ends in time").map_err(|error| error.kind())
}

#[tokio::test]
async fn a_whole_wire_carries_all_both_ways() {
    let (wire, mut stream) = wired().await;
    let much = "x".repeat(1 << 20);
    let (mut from, mut to) = stream.split();
    let sending = async { to.write_all(much.as_bytes()).await.unwrap() };
    let mut heard = vec![0; much.len()];
    let (_, read) = tokio::join!(sending, timeout(DEADLINE, from.read_exact(&mut heard)));
    read.expect("it comes in time").unwrap();
    assert!(heard.iter().all(|byte| *byte == b'x'));
    assert_eq!((wire.accepted(), wire.standing()), (1, vec![0]));
    drop(stream);
    until("nothing stands", async || wire.standing().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_is_swallowed_is_gone_and_what_is_stalled_comes_later() {
    for (course, later) in [(Course::Swallow, "later"), (Course::Stall, "now later")] {
        for direction in [Direction::ToServer, Direction::FromServer] {
            let (wire, mut stream) = wired().await;
            says(&mut stream, "before").await;
            hears(&mut stream, "before").await;
            wire.set(direction, course);
            says(&mut stream, if course == Course::Stall { "now " } else { "now" }).await;
            hears_nothing(&mut stream).await;
            wire.set(direction, Course::Pass);
            says(&mut stream, "later").await;
            hears(&mut stream, later).await;
        }
    }
}

#[tokio::test]
async fn a_delay_is_kept_and_changes_no_order() {
    let (wire, mut stream) = wired().await;
    let delay = Duration::from_millis(80);
    wire.set(Direction::ToServer, Course::Delay(delay, delay));
    let began = Instant::now();
    for text in ["one ", "two ", "three"] {
        says(&mut stream, text).await;
        stream.flush().await.unwrap();
    }
    hears(&mut stream, "one two three").await;
    assert!(began.elapsed() >= delay);
}

#[tokio::test]
async fn pieces_are_as_small_as_was_asked_for() {
    let (wire, mut stream) = wired().await;
    wire.set_both(Course::Slice(1));
    says(&mut stream, "in single letters").await;
    hears(&mut stream, "in single letters").await;
}

#[tokio::test]
async fn one_direction_can_end_while_the_other_goes_on() {
    let (wire, mut stream) = wired().await;
    says(&mut stream, "before").await;
    hears(&mut stream, "before").await;
    wire.set(Direction::FromServer, Course::HalfClose);
    assert_eq!(end(&mut stream).await, Ok(0));
    says(&mut stream, "still taken").await;
}

#[tokio::test]
async fn connections_end_as_by_a_peer_that_closes_or_has_forgotten_them() {
    let (wire, mut stream) = wired().await;
    let mut other = TcpStream::connect(wire.address()).await.unwrap();
    for stream in [&mut stream, &mut other] {
        says(stream, "hello").await;
        hears(stream, "hello").await;
    }
    wire.cut_one(0, End::Reset);
    assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(wire.standing(), [1]);
    says(&mut other, "still here").await;
    hears(&mut other, "still here").await;
    wire.cut(End::Closed);
    assert_eq!(end(&mut other).await, Ok(0));
}

#[tokio::test]
async fn a_door_is_closed_or_opens_on_nothing_and_opens_again() {
    let (wire, mut stream) = wired().await;
    says(&mut stream, "before").await;
    hears(&mut stream, "before").await;
    wire.door(Door::Closed).await;
    let refused = TcpStream::connect(wire.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    says(&mut stream, "stands").await;
    hears(&mut stream, "stands").await;
    wire.door(Door::Silent).await;
    let mut silent = TcpStream::connect(wire.address()).await.unwrap();
    says(&mut silent, "is anybody there?").await;
    hears_nothing(&mut silent).await;
    wire.door(Door::Open).await;
    let mut open = TcpStream::connect(wire.address()).await.unwrap();
    says(&mut open, "at last").await;
    hears(&mut open, "at last").await;
    assert_eq!(wire.accepted(), 3);
}
