//! The layer of a deployment: a relay between nodes, and what makes it dependable.
//!
//! Calls are put in the queue of one [`owner`], a task, which has the order; what this node has a copy of is answered from
//! the registry. A message is kept until it is seen back in the history. If that takes longer than the deadline, or the backend is
//! away, the members here get it without a position, and its sender is told how far it got.

mod backoff;
mod calls;
mod canary;
mod copy;
mod core;
mod held;
mod inbound;
mod openings;
mod owner;
mod pending;
mod presence;
mod presenter;
mod publisher;
mod reads;
mod repairs;
mod room;
mod rows;
#[cfg(test)]
mod sim;
mod spool;
mod spooled;
mod subscriptions;

use crate::{
    amend::{Amendment, Amends},
    bounds::Bounds,
    delivery::Delivery,
    error::{Error, Result},
    history::{Recovered, Span},
    layer::{Answer, ChannelLayer, Sent},
    mailbox::Mailbox,
    message::{Message, MessageId, Retention},
    name::{ChannelName, GroupName},
    presence::{Presence, PresenceRules, table::Table},
    registry::Registry,
    relay::Relay,
    report::{Census, Report},
    state::{Health, LayerState, Mode},
};
use calls::{Calls, READS_MAX};
use core::{Command, Core};
use futures_util::{FutureExt, future::ready};
use owner::Owner;
use pending::Pending;
use presence::{SharedPresence, presence};
use reads::Reader;
use room::Room;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Calls that wait for the owner, which does no more than put each in its queue.
const COMMANDS_MAX: usize = 16_384;

/// A [`ChannelLayer`] over any [`Relay`].
#[derive(Debug)]
pub struct ResilientLayer {
    registry: Arc<Registry>,
    reader: Reader,
    commands: mpsc::Sender<Command>,
    /// What may wait for the backend, in bytes.
    room: Room,
    /// Who is where; its task ends with the layer, whoever still has the other side of it.
    presence: (Arc<SharedPresence>, DropGuard),
    status: watch::Receiver<LayerState>,
    census: watch::Receiver<Census>,
    /// How long a caller waits for the backend.
    deadline: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ResilientLayer {
    /// A layer over `relay`, whose callers wait at most `deadline` for the backend. Returns at once and connects in
    /// the background, on the runtime that this is called on.
    #[must_use]
    pub fn new(relay: Arc<dyn Relay>, mode: Mode, deadline: Duration) -> Self {
        Self::with_bounds(relay, mode, deadline, Bounds::default())
    }

    /// The same, with other bounds on what this node remembers; `history` is the relay's business.
    #[must_use]
    pub fn with_bounds(relay: Arc<dyn Relay>, mode: Mode, deadline: Duration, bounds: Bounds) -> Self {
        Self::with_presence(relay, mode, deadline, bounds, PresenceRules::default())
    }

    /// The same, with presence by these rules.
    #[must_use]
    pub fn with_presence(
        relay: Arc<dyn Relay>,
        mode: Mode,
        deadline: Duration,
        bounds: Bounds,
        rules: PresenceRules,
    ) -> Self {
        let bounds = bounds.fitted();
        let registry = Registry::new(bounds.node_bytes);
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (state, status) = watch::channel(LayerState::now(mode, Health::Connecting));
        let (seen, census) = watch::channel(Census::default());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (table, farewell) =
            (Arc::new(Table::among_others(registry.node(), rules)), CancellationToken::new());
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let calls = Calls::new(Arc::clone(&relay), registry.node(), Arc::clone(&reads));
        let random = Box::new(crate::random_u64);
        let core = Core::new(
            Arc::clone(&registry),
            &bounds,
            Arc::clone(&table),
            state,
            seen,
            random,
            Instant::now(),
        );
        tasks.spawn(Owner::new(core, calls).run(queue, stop.clone(), farewell.clone(), deadline));
        let (presence, presenter) =
            presence(Arc::clone(&relay), table, Arc::clone(&registry), status.clone(), deadline);
        let presence_stop = stop.child_token();
        tasks.spawn(presenter.run(presence_stop.clone(), farewell));
        let presence = (Arc::new(presence), presence_stop.drop_guard());
        let room = Room::new();
        let reader =
            Reader::new(relay, Arc::clone(&registry), commands.downgrade(), reads, tasks.clone(), deadline);
        Self { registry, reader, commands, room, presence, status, census, deadline, stop, tasks }
    }

    fn open(&self) -> Result<()> {
        if self.stop.is_cancelled() { Err(Error::Closed) } else { Ok(()) }
    }

    fn command(&self, command: Command) -> Result<()> {
        self.open()?;
        self.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })
    }

    /// Takes its place in the queue now; the answer waits.
    fn publish(&self, group: GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        let room = match message.check().and_then(|()| self.room.take(&message)) {
            Ok(room) => room,
            Err(refused) => return ready(Err(refused)).boxed(),
        };
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.deadline;
        let pending = Pending { group, message, retention, deadline, answer, room };
        if let Err(error) = self.command(Command::Publish(pending)) {
            return ready(Err(error)).boxed();
        }
        // The owner has the deadline, and keeps it.
        async move { answered.await.unwrap_or(Err(Error::Closed)) }.boxed()
    }

    /// What the owner answers, or [`Error::Unavailable`] at the deadline.
    fn answer<T: Send + 'static>(
        &self,
        command: Result<()>,
        answer: oneshot::Receiver<T>,
        deadline: Instant,
    ) -> Answer<T> {
        if let Err(error) = command {
            return ready(Err(error)).boxed();
        }
        let stop = self.stop.clone();
        async move {
            match timeout_at(deadline, answer).await {
                // Without an answer it went with the link, or with the layer.
                Ok(answer) => {
                    answer.map_err(|_| if stop.is_cancelled() { Error::Closed } else { Error::Unavailable })
                }
                Err(_) => Err(Error::Unavailable),
            }
        }
        .boxed()
    }
}

impl ChannelLayer for ResilientLayer {
    fn new_channel(&self, capacity: usize) -> Mailbox {
        self.registry.new_channel(capacity)
    }

    fn send(&self, to: ChannelName, message: Message) -> Answer<()> {
        if let Err(refused) = self.open().and_then(|()| message.check()) {
            return ready(Err(refused)).boxed();
        }
        if to.node() == self.registry.node() {
            return ready(self.registry.deliver(to, message)).boxed();
        }
        let room = match self.room.take(&message) {
            Ok(room) => room,
            Err(full) => return ready(Err(full)).boxed(),
        };
        let (answer, answered) = oneshot::channel();
        let command = self.command(Command::Send(to, message, answer, room));
        let answer = self.answer(command, answered, Instant::now() + self.deadline);
        async move { answer.await? }.boxed()
    }

    fn group_add(&self, group: GroupName, channel: ChannelName) -> Answer<()> {
        match self.open().and_then(|()| self.registry.add(&group, &channel)) {
            Ok(true) => ready(Ok(())).boxed(),
            Ok(false) => {
                let (answer, answered) = oneshot::channel();
                if let Err(refused) = self.command(Command::Join(group, answer)) {
                    return ready(Err(refused)).boxed();
                }
                let (deadline, stop) = (Instant::now() + self.deadline, self.stop.clone());
                // What is sent here arrives from now on. What is sent elsewhere will, for whoever reads the history first.
                async move {
                    match timeout_at(deadline, answered).await {
                        Ok(Err(_)) if stop.is_cancelled() => Err(Error::Closed),
                        _ => Ok(()),
                    }
                }
                .boxed()
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn group_discard(&self, group: &GroupName, channel: &ChannelName) {
        // The owner finds empty groups by itself, and leaves them late.
        self.registry.discard(group, channel);
    }

    fn group_send(&self, group: GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        self.publish(group, message, retention)
    }

    fn amend(
        &self,
        group: GroupName,
        target: MessageId,
        message: Message,
        amendment: Amendment,
    ) -> Answer<Sent> {
        if message.owner.is_none() {
            return ready(Err(Error::Forbidden)).boxed();
        }
        self.publish(group, message.amending(Amends { target, amendment }), Retention::Kept)
    }

    fn history(&self, group: GroupName, span: Span, messages_max: usize) -> Answer<Recovered> {
        if let Err(closed) = self.open() {
            return ready(Err(closed)).boxed();
        }
        let is_alone = matches!(self.status.borrow().health, Health::Degraded | Health::Healing);
        self.reader.read(group, span, messages_max, is_alone)
    }

    fn unplaced(&self, group: &GroupName) -> Vec<Delivery> {
        self.registry.existing(group, |group| group.unplaced().collect()).unwrap_or_default()
    }

    fn presence(&self) -> Arc<dyn Presence> {
        Arc::clone(&self.presence.0) as Arc<dyn Presence>
    }

    fn status(&self) -> watch::Receiver<LayerState> {
        self.status.clone()
    }

    fn report(&self) -> Report {
        self.registry.report(self.census.borrow().clone())
    }

    fn shutdown(&self) -> Answer<()> {
        self.stop.cancel();
        self.tasks.close();
        let tasks = self.tasks.clone();
        async move {
            tasks.wait().await;
            Ok(())
        }
        .boxed()
    }
}
