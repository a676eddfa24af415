//! Signs of life, without a timer a socket: each second the worker visits every 25th place.
//!
//! The stride is the jitter: sockets that came together are visited together, and those of a second are never more
//! than a 25th of all. Newcomers stand in a queue of their own until they have said hello.

use crate::{socket::Socket, worker::Worker};
use palabre_protocol::{CloseCode, ErrorCode, ErrorFrame, Ping};
use std::{cell::Cell, mem, time::Duration};
use tokio::time::Instant;

/// Seconds between two visits to a place.
const STRIDE: usize = 25;

/// Who spoke just now need not be asked whether they are there; nor need who was spoken to so many visits ago.
const RECENT: Duration = Duration::from_secs(RECENT_S as u64);
const RECENT_S: usize = 5;

/// The longest silence of the hub, in seconds: a stride, and what counted as recent before it.
pub(crate) const PING_S: u32 = 30;

/// Not heard for so long: by the next visit but one after a ping.
const SILENT_MAX: Duration = Duration::from_secs(2 * 25 + 5);

/// From the handshake to the first frame.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// From a message's first byte to its last. The longest one by far, 64 KiB, needs 6.5 KiB a second for it.
const MESSAGE_MAX: Duration = Duration::from_secs(10);

/// A worker's seconds and turns so far.
#[derive(Default)]
pub(super) struct Beats {
    seconds: Cell<usize>,
    /// With one for each second.
    pub(super) turns: Cell<u64>,
    /// Which turn it was in each of the last seconds.
    recent: Cell<[u64; RECENT_S]>,
}

impl Worker {
    pub(crate) fn heartbeat(&self, now: Instant) {
        self.expect_hello(now);
        self.expect_ends(now);
        let Beats { seconds, recent, .. } = &self.beats;
        let beat = seconds.replace(seconds.get() + 1);
        let mut turns = recent.get();
        let first_recent = mem::replace(&mut turns[beat % RECENT_S], self.next_turn());
        recent.set(turns);
        self.tally.seconds.set(beat as u64 + 1);
        let ping = palabre_protocol::encode(&Ping);
        let sockets = self.sockets.borrow();
        for place in (beat % STRIDE..sockets.capacity()).step_by(STRIDE) {
            let Some(socket) = sockets.get(place).filter(|socket| socket.is_welcomed()) else { continue };
            let heard = socket.heard.get();
            if now.duration_since(heard) > SILENT_MAX && !socket.is_unread.get() {
                socket.close(CloseCode::NoPong);
            } else if now.duration_since(heard) > RECENT || socket.written.get() < first_recent {
                self.push(socket, ping.clone());
            }
        }
    }

    /// Another turn begins.
    pub(super) fn next_turn(&self) -> u64 {
        let turn = self.beats.turns.get() + 1;
        self.beats.turns.set(turn);
        turn
    }

    /// Notes since when a socket's client is in the middle of a message.
    pub(crate) fn watch(&self, socket: &Socket, begun: Option<Instant>) {
        socket.begun.set(begun);
        if begun.is_some() && !socket.watched.replace(true) {
            self.midway.borrow_mut().push(socket.id);
        }
    }

    /// Closes who does not come to the end of a message: what is begun takes memory here, and a link that slow is of no
    /// use to its owner.
    fn expect_ends(&self, now: Instant) {
        let mut midway = self.midway.borrow_mut();
        midway.retain(|id| {
            let Some(socket) = self.socket(*id) else { return false };
            let late = |begun| now.duration_since(begun) >= MESSAGE_MAX;
            let stays = socket.begun.get().is_some_and(|begun| !late(begun));
            if !stays && socket.begun.take().is_some() {
                socket.close(CloseCode::TooSlow);
            }
            socket.watched.set(stays);
            stays
        });
        if midway.is_empty() {
            *midway = Vec::new();
        }
    }

    fn expect_hello(&self, now: Instant) {
        loop {
            let late = match self.newcomers.borrow().front() {
                Some((arrived, id)) if now.duration_since(*arrived) >= HELLO_MAX => *id,
                _ => return,
            };
            self.newcomers.borrow_mut().pop_front();
            if let Some(socket) = self.socket(late).filter(|socket| !socket.is_welcomed()) {
                let code = ErrorCode::HelloRequired;
                let message = "no hello within 5 s";
                let error = ErrorFrame { reference: None, group: None, code, message };
                self.push(&socket, self.error(&error));
                socket.close(CloseCode::Unauthorised);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Stage, stream::Stream};
    use channel_layer::MemoryLayer;
    use palabre_protocol::frame::text;
    use std::{rc::Rc, sync::Arc};
    use tokio::net::{TcpListener, TcpStream};

    /// A worker with a socket that has said hello just now, and the client's end.
    async fn welcomed() -> (Rc<Worker>, Rc<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (worker, _mailbox) = Worker::new(Arc::new(MemoryLayer::new()), None, Arc::default());
        let socket = worker.admit(Stream::Plain(server)).unwrap();
        socket.stage.set(Stage::Welcomed);
        (worker, socket, client)
    }

    /// The next second's visit: whether the socket was sent a ping.
    fn visit(worker: &Rc<Worker>, socket: &Socket, now: Instant) -> bool {
        worker.heartbeat(now);
        let pinged = socket.outbox().bytes() == palabre_protocol::encode(&Ping).len();
        if pinged {
            // As its writes do.
            socket.written.set(worker.beats.turns.get());
            socket.with_outbox(|outbox| *outbox = Default::default());
        }
        pinged
    }

    #[tokio::test]
    async fn a_silent_client_is_pinged_within_thirty_seconds_and_closed_after_two_misses() {
        let (worker, socket, _client) = welcomed().await;
        let begun = socket.heard.get();
        let mut pings = Vec::new();
        for second in 0..200 {
            if visit(&worker, &socket, begun + Duration::from_secs(second)) {
                pings.push(second);
            }
            if socket.closing.get().is_some() {
                assert_eq!(socket.closing.get(), Some(CloseCode::NoPong));
                assert!((55..=80).contains(&second), "closed after {second} s, pings at {pings:?}");
                assert!(pings[0] <= 30 && pings.len() >= 2, "{pings:?}");
                return;
            }
        }
        panic!("still open, pings at {pings:?}");
    }

    #[tokio::test]
    async fn a_client_that_answers_is_pinged_for_ever_and_never_closed() {
        let (worker, socket, _client) = welcomed().await;
        let begun = socket.heard.get();
        let mut spoke = 0;
        for second in 0..600 {
            let now = begun + Duration::from_secs(second);
            if visit(&worker, &socket, now) {
                assert!(second - spoke <= u64::from(PING_S), "silent from {spoke} to {second}");
                spoke = second;
                socket.heard.set(now);
            }
        }
        assert_eq!(socket.closing.get(), None);
        assert!(spoke >= 570, "the last ping came at {spoke}");
    }

    #[tokio::test]
    async fn who_is_not_read_is_not_silent() {
        let (worker, socket, _client) = welcomed().await;
        let begun = socket.heard.get();
        worker.watch(&socket, Some(begun));
        socket.stop_reading();
        for second in 0..600 {
            visit(&worker, &socket, begun + Duration::from_secs(second));
        }
        assert_eq!(socket.closing.get(), None);
        socket.go_on_reading();
        let again = socket.heard.get();
        assert!(again >= begun);
        for second in 0..100 {
            visit(&worker, &socket, again + Duration::from_secs(second));
        }
        assert_eq!(socket.closing.get(), Some(CloseCode::NoPong));
    }

    #[tokio::test]
    async fn who_has_just_heard_and_spoken_is_not_pinged() {
        let (worker, socket, _client) = welcomed().await;
        let begun = socket.heard.get();
        for second in 0..100 {
            let now = begun + Duration::from_secs(second);
            socket.heard.set(now);
            socket.written.set(worker.beats.turns.get());
            assert!(!visit(&worker, &socket, now));
        }
        worker.push(&socket, text(b"{}"));
        assert!(socket.outbox().bytes() > 0, "the outbox shows what was sent");
    }

    #[tokio::test]
    async fn a_message_that_does_not_end_is_given_ten_seconds() {
        let (worker, socket, _client) = welcomed().await;
        let begun = Instant::now();
        worker.watch(&socket, Some(begun));
        worker.heartbeat(begun + Duration::from_secs(9));
        assert_eq!(socket.closing.get(), None);
        // The first came to its end, and another was begun.
        worker.watch(&socket, Some(begun + Duration::from_secs(9)));
        worker.heartbeat(begun + Duration::from_secs(18));
        assert_eq!(socket.closing.get(), None);
        assert_eq!(worker.midway.borrow().len(), 1);
        worker.heartbeat(begun + Duration::from_secs(19));
        assert_eq!(socket.closing.get(), Some(CloseCode::TooSlow));
        assert!(worker.midway.borrow().is_empty());
    }
}
