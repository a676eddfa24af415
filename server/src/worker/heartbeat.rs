//! Signs of life, without a timer a socket: each second the worker visits every 25th place.
//!
//! The stride is the jitter: sockets that came together are visited together, and those of a second are never more
//! than a 25th of all. Newcomers stand in a queue of their own until they have said hello.

use crate::worker::Worker;
use palabre_protocol::{CloseCode, ErrorCode, ErrorFrame, Ping};
use std::time::Duration;
use tokio::time::Instant;

/// Seconds between two visits to a place.
const STRIDE: usize = 25;

/// Who spoke just now need not be asked whether they are there.
const RECENT: Duration = Duration::from_secs(5);

/// The longest silence of the hub, in seconds: a stride, and what counted as recent before it.
pub(crate) const PING_S: u32 = 30;

/// Not heard for so long: by the next visit but one after a ping.
const SILENT_MAX: Duration = Duration::from_secs(2 * 25 + 5);

/// From the handshake to the first frame.
const HELLO_MAX: Duration = Duration::from_secs(5);

impl Worker {
    pub(super) fn heartbeat(&self, now: Instant) {
        self.expect_hello(now);
        let beat = self.beat.replace(self.beat.get() + 1);
        let ping = palabre_protocol::encode(&Ping);
        let sockets = self.sockets.borrow();
        for place in (beat % STRIDE..sockets.capacity()).step_by(STRIDE) {
            let Some(socket) = sockets.get(place).filter(|socket| socket.welcomed.get()) else { continue };
            let (heard, spoke) = (socket.heard.get(), socket.spoke.get());
            if now.duration_since(heard) > SILENT_MAX {
                socket.close(CloseCode::NoPong);
            } else if now.duration_since(heard) > RECENT || now.duration_since(spoke) > RECENT {
                self.push(socket, ping.clone());
            }
        }
    }

    fn expect_hello(&self, now: Instant) {
        loop {
            let late = match self.newcomers.borrow().front() {
                Some((arrived, id)) if now.duration_since(*arrived) >= HELLO_MAX => *id,
                _ => return,
            };
            self.newcomers.borrow_mut().pop_front();
            if let Some(socket) = self.socket(late).filter(|socket| !socket.welcomed.get()) {
                let code = ErrorCode::HelloRequired;
                let message = "no hello within 5 s";
                let error = ErrorFrame { reference: None, group: None, code, message };
                self.push(&socket, palabre_protocol::encode(&error));
                socket.close(CloseCode::Unauthorised);
            }
        }
    }
}
