//! What is queued for a socket, and the writes: one a touched socket, and the wait for a socket that the kernel refuses.

use crate::{
    socket::{
        Socket,
        outbox::{Flushed, Full},
    },
    worker::Worker,
};
use bytes::Bytes;
use palabre_protocol::{CloseCode, frame};
use std::{rc::Rc, time::Duration};
use tokio::time::{Instant, timeout};

/// A turn writes to this many sockets, or this long; then whoever is ready to be read has their turn.
const SOCKETS_A_TURN: usize = 1_000;
const TURN: Duration = Duration::from_millis(2);

/// Reading the clock for every write would cost more than it tells.
const CLOCK_EVERY: usize = 16;

/// A client that takes nothing for so long is gone or stuck.
const BLOCKED_MAX: Duration = Duration::from_secs(30);

/// What a turn has written so far.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) begun: Instant,
    /// Which of the worker's turns it is.
    number: u64,
    writes: usize,
    is_spent: bool,
}

impl Turn {
    pub(super) fn begin(worker: &Worker) -> Self {
        Self { begun: Instant::now(), number: worker.next_turn(), writes: 0, is_spent: false }
    }

    /// Counts a write; gives `false` instead when the turn is over.
    pub(super) fn write(&mut self) -> bool {
        if self.writes >= SOCKETS_A_TURN
            || self.writes % CLOCK_EVERY == CLOCK_EVERY - 1 && self.begun.elapsed() >= TURN
        {
            self.is_spent = true;
        }
        self.writes += usize::from(!self.is_spent);
        !self.is_spent
    }

    /// Counts what was queued; gives `false` when the turn is over with it.
    pub(super) fn queued(&mut self, pieces: usize) -> bool {
        self.writes += pieces;
        self.writes < SOCKETS_A_TURN && self.begun.elapsed() < TURN
    }
}

/// Whether sockets are left to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    None,
    Some,
}

impl Worker {
    /// Queues whole frames for a socket, to be written before the worker sleeps.
    pub(crate) fn push(&self, socket: &Rc<Socket>, frames: Bytes) {
        let mut pushed = socket.with_outbox(|outbox| outbox.push(frames));
        if let Err(Full(frames)) = pushed {
            // The kernel may not have been asked yet; a burst is no fault of the client's.
            self.write(socket);
            pushed = socket.with_outbox(|outbox| outbox.push(frames));
        }
        if pushed.is_err() {
            // Never skipped in silence: it comes back and resumes.
            socket.cut();
        }
        self.touch(socket);
    }

    /// Queues a frame for everybody who listens.
    pub(super) fn tell_everybody(&self, frame: &Bytes) {
        for (_, socket) in self.sockets.borrow().iter() {
            if socket.is_welcomed() {
                self.push(socket, frame.clone());
            }
        }
    }

    /// Queues the last frame for a socket, unless one is queued.
    pub(crate) fn push_close(&self, socket: &Rc<Socket>, code: CloseCode) {
        socket.with_outbox(|outbox| outbox.end_with(frame::close(code)));
        self.touch(socket);
    }

    pub(super) fn touch(&self, socket: &Rc<Socket>) {
        // A blocked socket is written by the task that waits for it.
        if !socket.blocked.get() && !socket.touched.replace(true) {
            self.touched.borrow_mut().push_back(Rc::clone(socket));
            if !self.awake.replace(true) {
                self.written.wake();
            }
        }
    }

    /// Writes to the touched sockets, for what is left of a turn.
    pub(super) fn flush(self: &Rc<Self>, turn: &mut Turn) -> Left {
        while turn.write() {
            let Some(socket) = self.touched.borrow_mut().pop_front() else { return Left::None };
            socket.touched.set(false);
            self.write(&socket);
        }
        if self.touched.borrow().is_empty() { Left::None } else { Left::Some }
    }

    /// Offers a piece to the kernel at once, for as long as the turn lasts, where nothing stands before it and nothing was
    /// written in this turn; else, and what is not taken, is queued.
    ///
    /// A fan-out walks its members' memory once instead of twice, and most of what waits nowhere is never queued.
    pub(super) fn write_through(&self, socket: &Rc<Socket>, piece: &Bytes, turn: &mut Turn) {
        let is_first = !socket.blocked.get() && socket.written.get() != turn.number && socket.is_idle();
        if !is_first || !turn.write() {
            return self.push(socket, piece.clone());
        }
        match socket.stream.try_write(piece) {
            Ok(written) if written == piece.len() => socket.written.set(turn.number),
            // Whatever went wrong goes wrong again at the flush, which knows what to do.
            refused => {
                let written = refused.unwrap_or(0);
                socket.with_outbox(|outbox| outbox.go_on(piece.clone(), written));
                self.touch(socket);
            }
        }
    }

    /// Offers the kernel what waits, unless it has refused already.
    pub(crate) fn write(&self, socket: &Rc<Socket>) {
        if socket.blocked.get() {
            return;
        }
        let was_half_full = socket.is_half_full();
        let flushed = socket.with_outbox(|outbox| outbox.flush(&socket.stream));
        socket.written.set(self.beats.turns.get());
        match flushed {
            // Its requests may have been waiting for room.
            Ok(Flushed::All) if was_half_full => socket.wake.wake(),
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
        match timeout(BLOCKED_MAX, socket.stream.writable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break socket.close(CloseCode::GoingAway),
            Err(_) => {
                // Its connection waits for it a little, then resets it, and that ends the wait here.
                socket.cut();
                continue;
            }
        }
        let flushed = socket.with_outbox(|outbox| outbox.flush(&socket.stream));
        match flushed {
            Ok(Flushed::Blocked) => {}
            Ok(Flushed::All) => break,
            Err(_) => break socket.close(CloseCode::GoingAway),
        }
    }
    socket.blocked.set(false);
    // Its requests may have been waiting for room.
    socket.wake.wake();
}
