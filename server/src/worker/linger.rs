//! Acks that wait a moment for company: what they acknowledge, most often, which then goes to the same socket.
//!
//! Over a backend the ack of a message and its delivery reach the worker some ten microseconds apart, and two writes cost
//! the kernel twice what one does. Whatever else is written to the socket takes the ack along; at the latest it is written
//! by itself when the moment is over.

use crate::{socket::Socket, worker::Worker};
use bytes::Bytes;
use std::{pin::Pin, rc::Rc, time::Duration};
use tokio::time::{Instant, Sleep, sleep};

/// The runtime's shortest timer.
const MOMENT: Duration = Duration::from_millis(1);

/// The end of the moment in which sockets linger, as the loop that writes knows it.
pub(super) struct Linger {
    timer: Pin<Box<Sleep>>,
    /// Some linger, and the timer runs for the first of them.
    is_set: bool,
}

impl Linger {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep(MOMENT)), is_set: false }
    }

    /// Waits until those who linger have done so for long enough; for ever while nobody does. Cancel safe.
    pub(super) async fn over(&mut self) {
        if self.is_set {
            self.timer.as_mut().await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}

impl Worker {
    /// Queues whole frames for a socket, to be written with whatever comes next for it, or within moments.
    pub(crate) fn push_with_company(&self, socket: &Rc<Socket>, frames: Bytes) {
        // What is not idle is being written, or lingers.
        if !socket.outbox.borrow().is_idle() {
            return self.push(socket, frames);
        }
        socket.outbox.borrow_mut().push(frames).expect("an idle outbox has room for anything");
        self.lingering.borrow_mut().push(Rc::clone(socket));
        // The loop has to set its timer.
        if !self.awake.replace(true) {
            self.written.wake();
        }
    }

    /// Sets the timer where somebody lingers, and has those written whose moment is over.
    pub(super) fn look_after_lingering(&self, linger: &mut Linger, now: Instant) {
        let mut lingering = self.lingering.borrow_mut();
        if linger.is_set && linger.timer.deadline() <= now {
            linger.is_set = false;
            for socket in lingering.drain(..) {
                if !socket.outbox.borrow().is_idle() {
                    self.touch(&socket);
                }
            }
        } else if !linger.is_set && !lingering.is_empty() {
            linger.is_set = true;
            linger.timer.as_mut().reset(now + MOMENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::scene::Scene;
    use palabre_protocol::frame::text;
    use std::io::ErrorKind;
    use tokio::{io::AsyncReadExt, task::LocalSet, time::timeout};

    const ACK: &[u8] = br#"{"type":"ack"}"#;

    #[tokio::test]
    async fn an_ack_is_written_with_what_comes_next_for_its_socket() {
        let story = async {
            let scene = Scene::new();
            let (socket, client) = scene.socket().await;
            scene.join(&socket).await;
            scene.worker.push_with_company(&socket, text(ACK));
            scene.worker.push_with_company(&socket, text(ACK));
            assert_eq!(client.try_read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
            scene.send_frames(1).await;
            let worker = scene.start();
            client.readable().await.unwrap();
            let mut got = [0; 4_096];
            let length = client.try_read(&mut got).unwrap();
            let got = String::from_utf8_lossy(&got[..length]);
            assert_eq!(got.matches("ack").count(), 2);
            assert!(got.find("ack") < got.find(r#""type":"x""#), "{got}");
            drop(worker);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn an_ack_without_company_is_written_all_the_same() {
        let story = async {
            let scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            let worker = scene.start();
            for _ in 0..3 {
                worker.push_with_company(&socket, text(ACK));
                let mut got = vec![0; text(ACK).len()];
                timeout(Duration::from_secs(10), client.read_exact(&mut got)).await.unwrap().unwrap();
                assert_eq!(got, text(ACK));
            }
        };
        LocalSet::new().run_until(story).await;
    }
}
