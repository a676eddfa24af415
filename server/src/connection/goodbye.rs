//! The end of a connection: the close frame, and the time that a client has to take it in.
//!
//! Who is slow is owed the end of what was queued, and the reason; who takes nothing for a while is not waited for, and is
//! reset when its place is given up. Nothing is queued any more, so either way it ends.

use crate::{
    connection::{Connection, wire::Frame},
    socket::Socket,
    worker::Worker,
};
use palabre_protocol::CloseCode;
use std::{pin::pin, rc::Rc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a client has to take in a close frame and hang up; and, while more waits for it, to take some of that.
const LINGER: Duration = Duration::from_secs(5);

impl Connection {
    /// Ends with a close frame, and waits until the client has answered it or hung up, as long as it takes what waits.
    pub(super) async fn say_goodbye(&mut self, code: CloseCode) {
        self.worker.push_close(&self.socket, code);
        if code == CloseCode::Flood {
            // There may be megabytes more on the way, and reading them is what it costs.
            self.wire.give_up();
        }
        let (worker, socket, wire) = (&self.worker, &self.socket, &mut self.wire);
        let mut answered = pin!(async {
            loop {
                wire.begin_turn();
                match wire.read(worker, socket) {
                    Frame::Nothing if wire.is_spent() => tokio::task::yield_now().await,
                    Frame::Nothing => drop(socket.stream.readable().await),
                    Frame::End(_) => return,
                    // What it still says comes too late.
                    Frame::Text(_) | Frame::Binary(_) | Frame::Control | Frame::Broken(_) => {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        loop {
            let left = socket.outbox().bytes();
            if timeout(LINGER, &mut answered).await.is_ok() {
                return hear_out(worker, socket).await;
            }
            if socket.outbox().bytes() == left {
                return;
            }
        }
    }
}

/// Waits until the kernel has taken what is queued, as long as it takes some of that.
pub(super) async fn hear_out(worker: &Worker, socket: &Rc<Socket>) {
    // What is queued may not have been offered yet.
    worker.write(socket);
    let mut left = socket.outbox().bytes();
    let mut until = Instant::now() + LINGER;
    while socket.blocked.get() {
        if timeout_at(until, socket.wake.woken()).await.is_err() {
            let now_left = socket.outbox().bytes();
            if now_left == left {
                return;
            }
            left = now_left;
            until += LINGER;
        }
    }
}
