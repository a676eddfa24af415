//! Replies that wait for the message that they are about: an ack is looked for when what it acknowledges is handed out, and goes
//! to its sender's socket in the same write.
//!
//! Over a backend the answer to a send and the message reach the worker from another thread, some ten microseconds apart. An
//! answer that was waited for by itself would wake this thread once more, and be a write of its own, which is what a delivery
//! costs. Whose message does not come back within moments, because it was refused, is a repeat, or the backend is slow, has its
//! answer waited for like any other.

use crate::worker::Worker;
use channel_layer::MessageId;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    fmt, future,
    pin::Pin,
    rc::Rc,
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A busy backend nearby takes a few milliseconds; nobody sees a refusal come so much later.
const MOMENTS: Duration = Duration::from_millis(20);

/// Writes a reply if it is there by now, and leaves it to its connection if not.
type Look = Box<dyn FnOnce()>;

/// Replies that wait for a message.
#[derive(Default)]
pub(super) struct Awaited {
    looks: RefCell<HashMap<MessageId, Look>>,
    /// Since when, the oldest first; of some the message has come.
    since: RefCell<VecDeque<(Instant, MessageId)>>,
    /// The loop has a timer for the oldest.
    is_timed: Cell<bool>,
}

impl Awaited {
    /// The message is handed out next.
    pub(super) fn meet(&self, id: MessageId) {
        if self.looks.borrow().is_empty() {
            return;
        }
        let look = self.looks.borrow_mut().remove(&id);
        if let Some(look) = look {
            look();
        }
    }
}

impl Worker {
    /// Has a reply looked for when the message is handed out here, or in a while.
    pub(crate) fn await_message(&self, id: MessageId, look: Look) {
        // Of a message and its repeat the later goes with it.
        let earlier = self.awaited.looks.borrow_mut().insert(id, look);
        if let Some(look) = earlier {
            look();
        }
        self.awaited.since.borrow_mut().push_back((Instant::now(), id));
        if !self.awaited.is_timed.get() && !self.awake.replace(true) {
            self.written.wake();
        }
    }
}

/// How long replies wait, as the loop that delivers knows it. With it end those that do: each holds its worker.
pub(super) struct Patience {
    worker: Rc<Worker>,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        Self { worker, timer: Box::pin(sleep(MOMENTS)) }
    }

    /// Waits until the oldest has waited for long enough; for ever while there is none. Cancel safe.
    pub(super) async fn over(&mut self) {
        if self.worker.awaited.is_timed.get() {
            self.timer.as_mut().await;
        } else {
            future::pending::<()>().await;
        }
    }

    /// Looks for replies whose time is over, and sets the timer for the next.
    pub(super) fn look(&mut self, now: Instant) {
        let Awaited { looks, since, is_timed } = &self.worker.awaited;
        if is_timed.get() && now < self.timer.deadline() {
            return;
        }
        let next_due = || since.borrow_mut().pop_front_if(|(at, _)| *at + MOMENTS <= now);
        while let Some((_, id)) = next_due() {
            let look = looks.borrow_mut().remove(&id);
            if let Some(look) = look {
                look();
            }
        }
        let next = since.borrow().front().map(|(at, _)| *at + MOMENTS);
        is_timed.set(next.is_some());
        if let Some(next) = next {
            self.timer.as_mut().reset(next);
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        drop(self.worker.awaited.looks.take());
    }
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        consumer::{Context, Identity},
        socket::Socket,
        worker::scene::Scene,
    };
    use channel_layer::Message;
    use futures_util::FutureExt;
    use palabre_protocol::{CloseCode, frame::text};
    use std::{future::poll_fn, io::ErrorKind, mem, task::Poll};
    use tokio::{io::AsyncReadExt, net::TcpStream, sync::oneshot, task::LocalSet};

    const ACK: &[u8] = br#"{"type":"ack"}"#;

    fn id(n: u128) -> MessageId {
        MessageId::from_u128(n)
    }

    fn context(scene: &Scene, socket: &Rc<Socket>) -> Context {
        let identity = Identity { id: "ana".into(), name: "Ana".into() };
        Context::new(Rc::clone(&scene.worker), Rc::clone(socket), identity, 1)
    }

    /// Puts an ack off until `message` is handed out, and gives what it waits for.
    fn put_off(cx: &Context, message: MessageId) -> oneshot::Sender<()> {
        let (answer, answered) = oneshot::channel();
        let work = async move {
            answered.await.ok()?;
            Some(text(ACK))
        };
        cx.defer_until(message, work).unwrap();
        answer
    }

    async fn send(scene: &Scene, message: MessageId) {
        scene.send(Message::frame(message, r#"{"type":"x"}"#)).await;
    }

    async fn read(client: &mut TcpStream) -> Vec<u8> {
        let mut got = vec![0; 4_096];
        let length = client.read(&mut got).await.unwrap();
        got.truncate(length);
        got
    }

    #[tokio::test]
    async fn an_ack_is_written_with_its_message_or_in_a_while_without() {
        let story = async {
            let scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            scene.join(&socket).await;
            let cx = context(&scene, &socket);
            put_off(&cx, id(1)).send(()).unwrap();
            let nothing = client.try_read(&mut [0; 9]).unwrap_err();
            assert_eq!((nothing.kind(), cx.open()), (ErrorKind::WouldBlock, 1));
            send(&scene, id(1)).await;
            send(&scene, id(2)).await;
            let worker = scene.start();
            let got = read(&mut client).await;
            let both = String::from_utf8_lossy(&got);
            assert_eq!(
                (both.matches("ack").count(), both.matches(r#""type":"x""#).count()),
                (1, 2),
                "{both}"
            );
            assert!(got.starts_with(&text(ACK)), "{both}");
            put_off(&cx, id(3)).send(()).unwrap();
            assert_eq!(cx.open(), 1);
            assert_eq!(read(&mut client).await, text(ACK));
            assert_eq!(cx.open(), 0);
            drop(worker);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn an_ack_that_comes_after_its_message_or_after_a_repeat_is_the_connections_to_wait_for() {
        let mut scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        scene.join(&socket).await;
        let cx = context(&scene, &socket);
        let _repeated = put_off(&cx, id(1));
        let _repeat = put_off(&cx, id(1));
        assert_eq!(cx.take_deferred().len(), 1);
        send(&scene, id(1)).await;
        scene.deliver_all();
        assert_eq!((cx.take_deferred().len(), cx.open()), (1, 2));
        // Who had too much under way is read again.
        put_off(&cx, id(2)).send(()).unwrap();
        socket.stop_reading();
        assert!(socket.wake.woken().now_or_never().is_some(), "the one before");
        send(&scene, id(2)).await;
        scene.deliver_all();
        assert!(socket.wake.woken().now_or_never().is_some());
        // What nobody will wait for is let go.
        let ended = put_off(&cx, id(3));
        cx.end();
        send(&scene, id(3)).await;
        scene.deliver_all();
        assert!(ended.is_closed());
    }

    #[tokio::test]
    async fn a_reply_that_panics_ends_its_connection_and_the_message_is_delivered() {
        let mut scene = Scene::new();
        let (socket, mut client) = scene.socket().await;
        scene.join(&socket).await;
        let cx = context(&scene, &socket);
        let mut is_seen = false;
        let work = poll_fn(move |_| {
            assert!(!mem::replace(&mut is_seen, true), "on purpose");
            Poll::Pending
        });
        cx.defer_until(id(1), work).unwrap();
        send(&scene, id(1)).await;
        scene.deliver_all();
        assert_eq!(socket.closing.get(), Some(CloseCode::Internal));
        assert_eq!(scene.got(&socket, &mut client).await.len(), 1);
    }

    #[tokio::test]
    async fn what_waits_when_the_worker_ends_is_let_go() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        let cx = context(&scene, &socket);
        let answer = put_off(&cx, id(1));
        drop(Patience::new(Rc::clone(&scene.worker)));
        assert!(answer.is_closed());
    }
}
