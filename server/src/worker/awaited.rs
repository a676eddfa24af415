//! Replies that wait for the message that they are about: an ack is looked for when what it acknowledges is handed out, and goes
//! to its sender's socket in the same write.
//!
//! Over a backend the answer to a send and the message reach the worker from another thread, some ten microseconds apart. An
//! answer that was waited for by itself would wake this thread once more, and be a write of its own, which is what a delivery
//! costs. Whose message does not come back soon, because it was refused, is a repeat, or the backend is slow, has its answer
//! waited for like any other.

use crate::worker::Worker;
use channel_layer::MessageId;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    future,
    pin::Pin,
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A busy backend nearby takes a few milliseconds.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// A connection that has a reply which waits for a message.
pub(crate) trait Answering {
    /// Queues the reply if it is there by now, and has the connection's task wait for it if not.
    fn try_answer(&self, id: MessageId);
}

/// Who waits for which message.
#[derive(Default)]
pub(super) struct Awaited {
    waiting: RefCell<HashMap<MessageId, Weak<dyn Answering>>>,
    /// Since when, the oldest first; some wait no longer.
    since: RefCell<VecDeque<(Instant, MessageId)>>,
    /// The loop has a timer for the oldest.
    is_timed: Cell<bool>,
}

impl Awaited {
    /// The message is handed out next, or its time is over. No room may be held: what a reply is made by is not known here.
    pub(super) fn meet(&self, id: MessageId) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let waiting = self.waiting.borrow_mut().remove(&id);
        if let Some(waiting) = waiting.and_then(|waiting| waiting.upgrade()) {
            waiting.try_answer(id);
        }
    }
}

impl Worker {
    /// Has a reply looked for when the message is handed out here, or in a while.
    pub(crate) fn await_message(&self, id: MessageId, who: Weak<dyn Answering>) {
        let earlier = self.awaited.waiting.borrow_mut().insert(id, who);
        self.awaited.since.borrow_mut().push_back((Instant::now(), id));
        if !self.awaited.is_timed.get() && !self.awake.replace(true) {
            self.written.wake();
        }
        // Of a message and its repeat the later goes with it.
        if let Some(earlier) = earlier.and_then(|earlier| earlier.upgrade()) {
            earlier.try_answer(id);
        }
    }
}

/// How long replies wait, as the loop that delivers knows it.
pub(super) struct Patience {
    worker: Rc<Worker>,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        Self { worker, timer: Box::pin(sleep(WAIT_MAX)) }
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
        let Awaited { waiting, since, is_timed } = &self.worker.awaited;
        if is_timed.get() && now < self.timer.deadline() {
            return;
        }
        // Most were met by their message long ago.
        let is_over =
            |(at, id): &mut (Instant, MessageId)| *at + WAIT_MAX <= now || !waiting.borrow().contains_key(id);
        let next_over = || since.borrow_mut().pop_front_if(is_over);
        while let Some((_, id)) = next_over() {
            self.worker.awaited.meet(id);
        }
        let next = since.borrow().front().map(|(at, _)| *at + WAIT_MAX);
        is_timed.set(next.is_some());
        match next {
            Some(next) => self.timer.as_mut().reset(next),
            // What grew in a burst is given back.
            None => drop((since.take(), waiting.take())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        consumer::{Identity, desk::Desk},
        socket::Socket,
        worker::scene::Scene,
    };
    use channel_layer::Message;
    use futures_util::FutureExt;
    use palabre_protocol::{CloseCode, Limits, frame::text};
    use std::io::ErrorKind;
    use tokio::{io::AsyncReadExt, net::TcpStream, sync::oneshot, task::LocalSet};

    const ACK: &[u8] = br#"{"type":"ack"}"#;

    fn id(n: u128) -> MessageId {
        MessageId::from_u128(n)
    }

    async fn desk(scene: &Scene, socket: &Rc<Socket>) -> Rc<Desk> {
        let identity = Identity { id: "ana".into(), name: "Ana".into() };
        Desk::new(Rc::clone(&scene.worker), Rc::clone(socket), identity, &Limits::default()).await
    }

    /// Puts an ack off until `message` is handed out, and gives what it waits for.
    fn put_off(desk: &Rc<Desk>, message: MessageId) -> oneshot::Sender<()> {
        let (answer, answered) = oneshot::channel();
        let work = async move {
            answered.await.ok()?;
            Some(text(ACK))
        };
        desk.context(None).defer_with_message(message, work).unwrap();
        desk.run_errands();
        answer
    }

    async fn send(scene: &Scene, message: MessageId) {
        scene.send(Message::frame(message, r#"{"type":"x"}"#)).await;
    }

    /// What came at once with the next ack; who is there may be told at any time.
    async fn written_with_ack(client: &mut TcpStream) -> String {
        let mut got = [0; 4_096];
        loop {
            let length = client.read(&mut got).await.unwrap();
            assert!(length > 0, "the connection ended");
            let text = String::from_utf8_lossy(&got[..length]);
            if text.contains("ack") {
                return text.into_owned();
            }
        }
    }

    #[tokio::test]
    async fn an_ack_is_written_with_its_message_or_in_a_while_without() {
        let story = async {
            let scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            scene.join(&socket).await;
            let desk = desk(&scene, &socket).await;
            put_off(&desk, id(1)).send(()).unwrap();
            let nothing = client.try_read(&mut [0; 9]).unwrap_err();
            assert_eq!((nothing.kind(), desk.open()), (ErrorKind::WouldBlock, 1));
            send(&scene, id(1)).await;
            send(&scene, id(2)).await;
            let worker = scene.start();
            let both = written_with_ack(&mut client).await;
            assert_eq!(both.matches(r#""type":"x""#).count(), 2, "{both}");
            assert!(both.find("ack") < both.find(r#""type":"x""#), "{both}");
            put_off(&desk, id(3)).send(()).unwrap();
            assert_eq!(desk.open(), 1);
            written_with_ack(&mut client).await;
            assert_eq!(desk.open(), 0);
            drop(worker);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn an_ack_that_comes_after_its_message_or_after_a_repeat_is_the_connections_to_wait_for() {
        let mut scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        scene.join(&socket).await;
        let desk = desk(&scene, &socket).await;
        let _repeated = put_off(&desk, id(1));
        let _repeat = put_off(&desk, id(1));
        let repeated = desk.take_deferred(false);
        send(&scene, id(1)).await;
        scene.deliver_all();
        let repeat = desk.take_deferred(false);
        assert_eq!((repeated.len(), repeat.len(), desk.open()), (1, 1, 2));
        // Who had too much under way is read again.
        put_off(&desk, id(2)).send(()).unwrap();
        socket.stop_reading();
        assert!(socket.wake.woken().now_or_never().is_some(), "the one before");
        send(&scene, id(2)).await;
        scene.deliver_all();
        assert!(socket.wake.woken().now_or_never().is_some());
        // One whose client has to wait for it waits for nothing else.
        let _pending = put_off(&desk, id(3));
        assert_eq!((desk.take_deferred(false).len(), desk.take_deferred(true).len()), (0, 1));
    }

    #[tokio::test]
    async fn as_many_acks_as_are_there_go_out_in_one_turn() {
        const ACKS: u128 = 200;
        let story = async {
            let mut scene = Scene::new();
            let (socket, _client) = scene.socket().await;
            scene.join(&socket).await;
            let mut connections = Vec::new();
            for _ in 0..ACKS / 50 {
                connections.push(desk(&scene, &socket).await);
            }
            for n in 0..ACKS {
                put_off(&connections[(n / 50) as usize], id(n)).send(()).unwrap();
                send(&scene, id(n)).await;
            }
            // In a task, as the loop is: the runtime allows each so much at a time.
            let tasks = scene.worker.tasks.clone();
            tasks.spawn_local(async move { scene.deliver_all() }).await.unwrap();
            assert_eq!(connections.iter().map(|desk| desk.open()).sum::<usize>(), 0);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn what_a_connection_waits_for_when_it_ends_is_let_go() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        let desk = desk(&scene, &socket).await;
        let answer = put_off(&desk, id(1));
        desk.end();
        assert!(answer.is_closed());
        assert!(put_off(&desk, id(2)).is_closed());
    }

    #[tokio::test]
    async fn a_reply_that_panics_ends_its_connection_and_the_message_is_delivered() {
        let mut scene = Scene::new();
        let (socket, mut client) = scene.socket().await;
        scene.join(&socket).await;
        let desk = desk(&scene, &socket).await;
        let panics = async { panic!("on purpose") };
        desk.context(None).defer_with_message(id(1), panics).unwrap();
        desk.run_errands();
        send(&scene, id(1)).await;
        scene.deliver_all();
        assert_eq!(socket.closing.get(), Some(CloseCode::Internal));
        assert_eq!(scene.got(&socket, &mut client).await.len(), 1);
    }
}
