//! The writes: one a touched socket, and the wait for a socket that the kernel refuses.

use crate::{
    socket::{Socket, outbox::Flushed},
    worker::Worker,
};
use palabre_protocol::CloseCode;
use std::{rc::Rc, time::Duration};
use tokio::time::{Instant, timeout};

/// A turn writes to this many sockets, or this long; then whoever is ready to be read has their turn.
const SOCKETS_A_TURN: usize = 1_000;
const TURN: Duration = Duration::from_millis(2);

/// Reading the clock for every write would cost more than it tells.
const CLOCK_EVERY: usize = 16;

/// A client that takes nothing for so long is gone or stuck.
const BLOCKED_MAX: Duration = Duration::from_secs(30);

/// Whether sockets are left to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    None,
    Some,
}

impl Worker {
    /// Writes to the touched sockets, for a turn.
    pub(super) fn flush(self: &Rc<Self>) -> Left {
        let begun = Instant::now();
        for count in 1..=SOCKETS_A_TURN {
            let Some(socket) = self.touched.borrow_mut().pop_front() else { return Left::None };
            socket.touched.set(false);
            self.write(&socket, begun);
            if count % CLOCK_EVERY == 0 && begun.elapsed() >= TURN {
                break;
            }
        }
        if self.touched.borrow().is_empty() { Left::None } else { Left::Some }
    }

    pub(super) fn write(&self, socket: &Rc<Socket>, now: Instant) {
        if socket.blocked.get() {
            return;
        }
        let mut outbox = socket.outbox.borrow_mut();
        let was_half_full = outbox.is_half_full();
        let flushed = outbox.flush(&socket.stream);
        drop(outbox);
        socket.spoke.set(now);
        match flushed {
            // Its requests may have been waiting for room.
            Ok(Flushed::All) if was_half_full => socket.wake.notify_one(),
            Ok(Flushed::All) => {}
            Ok(Flushed::Blocked) => {
                socket.blocked.set(true);
                self.tasks.spawn_local(drain(Rc::clone(socket)));
            }
            // The reader will find out why.
            Err(_) => socket.close(CloseCode::GoingAway),
        }
    }
}

/// Writes to a blocked socket whenever the kernel takes something, until its outbox is empty.
async fn drain(socket: Rc<Socket>) {
    loop {
        let writable = timeout(BLOCKED_MAX, socket.stream.writable()).await;
        if !matches!(writable, Ok(Ok(()))) {
            break socket.close(CloseCode::TooSlow);
        }
        let flushed = socket.outbox.borrow_mut().flush(&socket.stream);
        match flushed {
            Ok(Flushed::Blocked) => {}
            Ok(Flushed::All) => break,
            Err(_) => break socket.close(CloseCode::GoingAway),
        }
    }
    socket.blocked.set(false);
    // Its requests may have been waiting for room.
    socket.wake.notify_one();
}
