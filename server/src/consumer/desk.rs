//! A connection as its consumers know it, on the worker's thread: what they ask for is done here.

pub(super) mod deferred;

use crate::{
    consumer::{
        Context, Failure, Identity,
        apart::Apart,
        errands::{Answer, ERRANDS_A_TURN, Errand, Join, Overflown},
        hands::Hands,
        joined::{Hold, Joined, Joining},
    },
    socket::Socket,
    worker::{Worker, held::Asked, tally::Tally},
};
use bytes::Bytes;
use channel_layer::{Error, GroupName};
use deferred::PutOff;
use palabre_protocol::{CloseCode, ErrorCode, ErrorFrame, Limits, Refusal};
use serde::Serialize;
use std::{cell::RefCell, future::poll_fn, pin::pin, rc::Rc, sync::Arc, task::Poll};
use tokio::task::yield_now;

/// What a connection and its consumers act with.
pub(crate) struct Desk {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
    hands: Arc<Hands>,
    groups_max: usize,
    put_off: PutOff,
    joins: Joining,
    /// Joins of consumers that were read, and not admitted yet.
    entries: RefCell<Vec<Option<Hold>>>,
}

impl Desk {
    /// Made within the connection's task.
    pub(crate) async fn new(
        worker: Rc<Worker>,
        socket: Rc<Socket>,
        identity: Identity,
        limits: &Limits,
    ) -> Rc<Self> {
        let hands = Hands::new(&worker, &socket, identity, limits.open_requests);
        poll_fn(|cx| {
            hands.errands.are_of(cx.waker());
            Poll::Ready(())
        })
        .await;
        let (put_off, joins, entries) = Default::default();
        Rc::new(Self {
            worker,
            socket,
            hands: Arc::new(hands),
            groups_max: limits.groups,
            put_off,
            joins,
            entries,
        })
    }

    /// A consumer's context, which runs where it says.
    pub(crate) fn context(&self, apart: Option<Apart>) -> Context {
        Context::new(Arc::clone(&self.hands), apart)
    }

    /// What its worker counts.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.worker.tally
    }

    /// Sends a frame that is ready.
    pub(crate) fn write(&self, frame: Bytes) {
        self.worker.push(&self.socket, frame);
    }

    /// Sends a frame to this client.
    pub(crate) fn reply(&self, frame: &impl Serialize) {
        self.write(palabre_protocol::encode(frame));
    }

    /// Answers a request, about `group` if it was about one, that failed.
    pub(crate) fn refuse(&self, reference: Option<&str>, group: Option<&str>, failure: &Failure) {
        let Failure(Refusal { code, message }) = failure;
        self.write(self.worker.error(&ErrorFrame { reference, group, code: *code, message }));
    }

    /// Holds a place in a group's room for the client.
    ///
    /// # Errors
    ///
    /// `too_many_groups`; `closed` when the connection has ended.
    pub(crate) fn hold(&self, group: &GroupName) -> Result<Hold, Failure> {
        let groups = &self.socket.groups;
        if groups.len() >= self.groups_max && !groups.contains(group) {
            let message = format!("at most {} groups a connection", self.groups_max);
            return Err(Refusal::new(ErrorCode::TooManyGroups, message).into());
        }
        Hold::take(&self.worker, &self.socket, &self.joins, group)
    }

    /// What the client asked for when it came to a group, if it still waits for the answer.
    pub(crate) fn awaits(&self, group: &GroupName) -> Option<Asked> {
        self.worker.asked(group, &self.socket)
    }

    pub(crate) fn leave(&self, group: &GroupName) {
        self.worker.leave_room(group, &self.socket);
    }

    /// Waits until the client has taken so much of what was sent to it that more may be queued. Until its request is done
    /// nothing more of it is read.
    ///
    /// # Errors
    ///
    /// The connection is closing.
    pub(crate) async fn room(self: &Rc<Self>) -> Result<(), CloseCode> {
        self.socket.stop_reading();
        loop {
            // One may be to close it.
            self.run_errands();
            if let Some(code) = self.socket.closing.get() {
                return Err(code);
            }
            if !self.socket.is_half_full() {
                return Ok(());
            }
            // Whatever else this wakes for is looked at again when the request is done.
            tokio::select! {
                () = self.socket.wake.woken() => {}
                () = self.asked() => yield_now().await,
            }
        }
    }

    /// A handler is about to go on.
    pub(super) fn begin(&self) {
        self.hands.attend(self.socket.heard.get());
    }

    /// Runs a handler, here or what waits for it elsewhere, and does what it asks for: meanwhile, and all of it before this ends.
    pub(crate) async fn attending<T>(self: &Rc<Self>, handler: impl Future<Output = T>) -> T {
        let mut handler = pin!(handler);
        let done = poll_fn(|cx| {
            self.begin();
            let polled = handler.as_mut().poll(cx);
            if polled.is_pending() {
                self.run_errands();
                if self.hands.errands.are_due() {
                    cx.waker().wake_by_ref();
                }
            }
            polled
        })
        .await;
        self.catch_up().await;
        done
    }

    /// Waits until a consumer asks for something, outside its handlers. Cancel safe.
    pub(crate) async fn asked(&self) {
        poll_fn(|_| if self.hands.errands.are_due() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Does what was asked for before this, a turn's worth at a time.
    pub(crate) async fn catch_up(self: &Rc<Self>) {
        if self.run_errands() < ERRANDS_A_TURN {
            return;
        }
        let mut left = self.hands.errands.len();
        while left > 0 {
            yield_now().await;
            left = left.saturating_sub(self.run_errands().max(1));
        }
    }

    /// Does what waits to be done, up to a turn's worth; says how much.
    pub(crate) fn run_errands(self: &Rc<Self>) -> usize {
        for done in 0..ERRANDS_A_TURN {
            match self.hands.errands.next() {
                None => return done,
                Some(Ok(errand)) => self.run(errand),
                Some(Err(Overflown)) => {
                    tracing::warn!(
                        event = "consumer.overflowed",
                        "a handler asked for more at a time than its connection can do; it is closed"
                    );
                    self.socket.close(CloseCode::Internal);
                }
            }
        }
        ERRANDS_A_TURN
    }

    fn run(self: &Rc<Self>, errand: Errand) {
        match errand {
            Errand::Write(frame) => self.write(frame),
            Errand::Close(code) => self.socket.close(code),
            Errand::Join(join) => self.join(*join),
            Errand::Admit(entry, snapshot) => {
                if let Some(hold) = self.take_entry(entry) {
                    // Whoever joined the same group since is the one that is admitted.
                    hold.admit(|| snapshot).ok();
                }
            }
            Errand::LetGo(entry) => drop(self.take_entry(entry)),
            Errand::Leave(group) => self.leave(&group),
            // Who asked may be gone.
            Errand::Count(group, answer) => drop(answer.send(self.worker.members(&group))),
            Errand::Defer(None, work) => self.put_off.keep(work),
            Errand::Defer(Some(apart), work) => self.put_off.keep(self.from(&apart, work)),
            Errand::Await(id, work) => self.await_message(id, work),
        }
    }

    /// Begins a consumer's join: a place from now on, and what is read of the history when it is there.
    fn join(self: &Rc<Self>, join: Join) {
        let Join { group, span, messages_max, answer } = join;
        let was_in = self.socket.groups.contains(&group);
        let hold = self.begin_join(&group);
        let desk = Rc::downgrade(self);
        self.worker.tasks.spawn_local(async move {
            let mut answer = answer;
            let read = async { hold?.read(span, messages_max).await };
            let read = tokio::select! {
                read = read => read,
                () = answer.given_up() => return,
            };
            let Some(desk) = desk.upgrade() else { return };
            match answer {
                Answer::Read(answer) => {
                    let joined = read.and_then(|(recovered, hold)| {
                        let recovered = recovered.ok_or(Error::Unavailable)?;
                        Ok(Joined::new(recovered, Arc::clone(&desk.hands), desk.keep_entry(hold)))
                    });
                    // One that nobody waits for any more lets go of its entry.
                    drop(answer.send(joined));
                }
                // Nor does this one become a member.
                Answer::Admitted(answer) if answer.is_closed() => {}
                Answer::Admitted(answer) => {
                    // Who asked for no history lacks none.
                    let admitted = read.and_then(|(recovered, hold)| match recovered {
                        Some(_) => hold.admit(Bytes::new),
                        None => hold.begin_here(),
                    });
                    if answer.send(admitted) == Err(Ok(())) && !was_in {
                        desk.leave(&group);
                    }
                }
            }
        });
    }

    fn begin_join(&self, group: &GroupName) -> Result<Hold, Failure> {
        if self.joins.under_way() >= self.groups_max {
            let message = format!("at most {} joins at a time", self.groups_max);
            return Err(Refusal::new(ErrorCode::TooManyGroups, message).into());
        }
        self.hold(group)
    }

    fn take_entry(&self, entry: usize) -> Option<Hold> {
        self.entries.borrow_mut().get_mut(entry)?.take()
    }

    /// Keeps a hold, and says where.
    fn keep_entry(&self, hold: Hold) -> usize {
        let mut entries = self.entries.borrow_mut();
        let free = entries.iter().position(Option::is_none).unwrap_or(entries.len());
        if free == entries.len() {
            entries.push(None);
        }
        entries[free] = Some(hold);
        free
    }

    /// The connection has ended: whatever was asked of it, or put off, is nobody's any more.
    pub(crate) fn end(&self) {
        for errand in self.hands.errands.end() {
            if let Errand::Defer(Some(apart), work) = errand {
                // Its end is application code as well.
                drop(apart.finish(async { drop(work) }, self.tally()));
            }
        }
        self.put_off.end();
        drop(self.entries.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::scene::Scene;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn who_is_waited_for_is_not_read_meanwhile() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        let identity = Identity { id: "ana".into(), name: "Ana".into() };
        let desk =
            Desk::new(Rc::clone(&scene.worker), Rc::clone(&socket), identity, &Limits::default()).await;
        socket.begun.set(Some(tokio::time::Instant::now()));
        desk.write(vec![b'x'; 600 << 10].into());
        assert!(desk.room().now_or_never().is_none());
        assert!(socket.is_unread.get() && socket.begun.get().is_none());
        // What its consumers ask for meanwhile is done.
        let cx = desk.context(None);
        let (room, ()) = tokio::join!(desk.room(), async { cx.close(CloseCode::Banned) });
        assert_eq!(room, Err(CloseCode::Banned));
    }
}
