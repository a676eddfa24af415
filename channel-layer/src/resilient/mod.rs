//! The layer of a deployment: a relay between nodes, and what makes it dependable.
//!
//! One owner, a task, has the publisher, the subscriptions and what comes in; so there is one order, and nothing here
//! needs a lock. It connects, for ever; subscribes to every group with members, confirmed; opens them all in one
//! round trip; and then says `healthy`. Whatever goes wrong with the relay ends its link and begins that again.
//! Without a link the state is `connecting`: sends that wait, and those without a verdict, are `Unavailable`.

mod backoff;
mod inbound;
mod publisher;
mod subscriptions;

use crate::{
    error::{Error, Result},
    history::{Recovered, Span},
    layer::{Answer, ChannelLayer, Sent},
    mailbox::Mailbox,
    message::{Message, Retention},
    name::{ChannelName, GroupName},
    position::Epoch,
    registry::{Registry, tail::TailRead},
    relay::{Incoming, Link, LinkError, Opened, Opening, Relay, Verdict},
    state::{Health, LayerState, Mode},
};
use backoff::Backoff;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::FuturesUnordered,
};
use inbound::{Inbound, Need};
use publisher::{Pending, Publisher};
use std::{collections::BTreeSet, future, sync::Arc, time::Duration};
use subscriptions::Subscriptions;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Calls that wait for the owner, which does no more than put each in its queue.
const COMMANDS_MAX: usize = 16_384;

/// What one opening or one repairing read brings: as much as a stream keeps.
const ENTRIES_MAX: usize = 1_000;

/// Arrivals taken in one go, before the owner looks at anything else.
const ARRIVALS_A_TURN: usize = 256;

/// A link that held this long is not part of the trouble before it.
const STABLE: Duration = Duration::from_secs(10);

/// A [`ChannelLayer`] over any [`Relay`].
#[derive(Debug)]
pub struct ResilientLayer {
    registry: Arc<Registry>,
    relay: Arc<dyn Relay>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<LayerState>,
    /// How long a caller waits for the backend.
    deadline: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
enum Command {
    Publish(Pending),
    Join(GroupName, oneshot::Sender<()>),
    Open(GroupName, oneshot::Sender<()>),
}

impl ResilientLayer {
    /// A layer over `relay`, whose callers wait at most `deadline` for the backend. Returns at once and connects in
    /// the background, on the runtime that this is called on.
    #[must_use]
    pub fn new(relay: Arc<dyn Relay>, mode: Mode, deadline: Duration) -> Self {
        let registry = Registry::new();
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (state, status) = watch::channel(LayerState::now(mode, Health::Connecting));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let owner = Owner {
            relay: Arc::clone(&relay),
            publisher: Publisher::default(),
            subscriptions: Subscriptions::default(),
            inbound: Inbound::new(Arc::clone(&registry)),
            registry: Arc::clone(&registry),
            state,
            flights: FuturesUnordered::new(),
            publishing: false,
            subscribing: false,
            unopened: BTreeSet::new(),
            opens: Vec::new(),
            generation: 0,
            link: None,
            linked_at: None,
            backoff: Backoff::default(),
            retry_at: None,
        };
        tasks.spawn(owner.run(queue, stop.clone(), deadline));
        Self { registry, relay, commands, status, deadline, stop, tasks }
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
        async move {
            match timeout_at(deadline, answer).await {
                Ok(answer) => answer.map_err(|_| Error::Closed),
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
        if let Err(closed) = self.open() {
            return ready(Err(closed)).boxed();
        }
        if to.node() == self.registry.node() {
            return ready(self.registry.deliver(to, message)).boxed();
        }
        let relay = Arc::clone(&self.relay);
        let deadline = Instant::now() + self.deadline;
        async move {
            match timeout_at(deadline, relay.send(to, message)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Error::Unavailable),
            }
        }
        .boxed()
    }

    fn group_add(&self, group: GroupName, channel: ChannelName) -> Answer<()> {
        match self.open().and_then(|()| self.registry.add(&group, &channel)) {
            Ok(true) => ready(Ok(())).boxed(),
            Ok(false) => {
                let (answer, answered) = oneshot::channel();
                let command = self.command(Command::Join(group, answer));
                self.answer(command, answered, Instant::now() + self.deadline)
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn group_discard(&self, group: &GroupName, channel: &ChannelName) {
        // The owner finds empty groups by itself, and leaves them late.
        self.registry.discard(group, channel);
    }

    fn group_send(&self, group: GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.deadline;
        let command = self.command(Command::Publish(Pending { group, message, retention, deadline, answer }));
        let answer = self.answer(command, answered, deadline);
        async move { answer.await? }.boxed()
    }

    fn history(&self, group: GroupName, span: Span, messages_max: usize) -> Answer<Recovered> {
        if let Err(closed) = self.open() {
            return ready(Err(closed)).boxed();
        }
        let read = self.registry.existing(&group, |group| match &mut group.tail {
            Some(tail) if group.synced => tail.read(span, messages_max, Instant::now()),
            _ => TailRead::Elsewhere,
        });
        if let Some(TailRead::Here(recovered)) = read {
            return ready(Ok(recovered)).boxed();
        }
        let (relay, commands) = (Arc::clone(&self.relay), self.commands.downgrade());
        let deadline = Instant::now() + self.deadline;
        let read = async move {
            match relay.read(group.clone(), span, messages_max).await {
                Err(LinkError::Unopened) => {}
                read => return read.ok(),
            }
            // It was quiet for so long that the backend has forgotten it, or nobody has used it yet.
            let (answer, opened) = oneshot::channel();
            commands.upgrade()?.try_send(Command::Open(group.clone(), answer)).ok()?;
            opened.await.ok()?;
            relay.read(group, span, messages_max).await.ok()
        };
        async move { timeout_at(deadline, read).await.ok().flatten().ok_or(Error::Unavailable) }.boxed()
    }

    fn status(&self) -> watch::Receiver<LayerState> {
        self.status.clone()
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

/// Whatever wakes the owner.
#[derive(Debug)]
enum Event {
    Stop,
    Command(Option<Command>),
    Arrived(Option<Incoming>),
    Done(Done),
    Retry,
    Tick,
}

/// A call of the relay that has been answered.
#[derive(Debug)]
enum Done {
    Connected(std::result::Result<Link, LinkError>),
    Subscribed(Vec<GroupName>, std::result::Result<(), LinkError>),
    Unsubscribed(std::result::Result<(), LinkError>),
    Opened(u64, Vec<GroupName>, std::result::Result<Vec<Opened>, LinkError>),
    Published(std::result::Result<Vec<std::result::Result<Verdict, LinkError>>, LinkError>),
    Read(GroupName, std::result::Result<Recovered, LinkError>),
}

struct Owner {
    relay: Arc<dyn Relay>,
    registry: Arc<Registry>,
    publisher: Publisher,
    subscriptions: Subscriptions,
    inbound: Inbound,
    state: watch::Sender<LayerState>,
    /// The relay's open calls. All of one link: they are dropped with it.
    flights: FuturesUnordered<BoxFuture<'static, Done>>,
    /// An opening or a batch is among them. One at a time: an opening never overtakes a publish.
    publishing: bool,
    /// A change of subscriptions is among them.
    subscribing: bool,
    /// Groups to be opened before their publishes, or their members, can go on.
    unopened: BTreeSet<GroupName>,
    /// Readers that wait for an opening.
    opens: Vec<(GroupName, oneshot::Sender<()>)>,
    generation: u64,
    link: Option<Link>,
    linked_at: Option<Instant>,
    backoff: Backoff,
    retry_at: Option<Instant>,
}

impl Owner {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken, grace: Duration) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends_at = None;
        self.connect();
        loop {
            if ends_at.is_some_and(|at| Instant::now() >= at || self.publisher.is_idle()) {
                break;
            }
            let event = tokio::select! {
                () = stop.cancelled(), if ends_at.is_none() => Event::Stop,
                command = commands.recv(), if !commands.is_closed() || !commands.is_empty() => Event::Command(command),
                arrived = arrival(&mut self.link) => Event::Arrived(arrived),
                Some(done) = self.flights.next() => Event::Done(done),
                () = at(self.retry_at) => Event::Retry,
                () = at(ends_at) => continue,
                _ = ticks.tick() => Event::Tick,
            };
            match event {
                Event::Stop => {
                    // What is queued by now may still go; nothing new comes in.
                    commands.close();
                    ends_at = Some(Instant::now() + grace);
                    while let Ok(command) = commands.try_recv() {
                        self.command(command);
                    }
                }
                // Nobody has the layer any more.
                Event::Command(None) => break,
                Event::Command(mut next) => {
                    while let Some(command) = next {
                        self.command(command);
                        next = commands.try_recv().ok();
                    }
                }
                Event::Arrived(arrived) => self.arrived(arrived),
                Event::Done(done) => self.done(done),
                Event::Retry => self.connect(),
                Event::Tick => self.tick(),
            }
            self.pump();
        }
        self.publisher.lose();
        self.registry.close();
    }

    fn fly(&mut self, flight: impl Future<Output = Done> + Send + 'static) {
        self.flights.push(flight.boxed());
    }

    fn connect(&mut self) {
        self.retry_at = None;
        let (relay, node) = (Arc::clone(&self.relay), self.registry.node().to_owned());
        self.fly(async move { Done::Connected(relay.connect(&node).await) });
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Publish(pending) => self.publisher.push(pending, Instant::now()),
            Command::Join(group, answer) => self.subscriptions.join(group, answer),
            Command::Open(group, answer) => {
                // Those who stopped waiting ask again, and would pile up during an outage.
                self.opens.retain(|(_, answer)| !answer.is_closed());
                self.opens.push((group.clone(), answer));
                self.unopened.insert(group);
            }
        }
    }

    fn arrived(&mut self, first: Option<Incoming>) {
        let mut next =
            first.or(Some(Incoming::Ended(LinkError::Closed("nothing comes in any more".to_owned()))));
        let mut taken = 0;
        while let Some(arrived) = next {
            match arrived {
                Incoming::Posted { group, position, message } => {
                    let need = self.inbound.accept(&group, position, message);
                    self.need(group, need);
                }
                // The mailbox may be gone; its sender was promised nothing.
                Incoming::Direct { to, message } => drop(self.registry.deliver(to, message)),
                Incoming::Ended(why) => return self.lose(&why),
            }
            taken += 1;
            let more = self.link.as_mut().filter(|_| taken < ARRIVALS_A_TURN);
            next = more.and_then(|link| link.incoming.try_recv().ok());
        }
    }

    fn need(&mut self, group: GroupName, need: Need) {
        match need {
            Need::Nothing => {}
            Need::Open => drop(self.unopened.insert(group)),
            Need::Read(after) => {
                let relay = Arc::clone(&self.relay);
                self.fly(async move {
                    let read = relay.read(group.clone(), Span::After(after), ENTRIES_MAX).await;
                    Done::Read(group, read)
                });
            }
        }
    }

    fn done(&mut self, done: Done) {
        let failed = match done {
            Done::Connected(Ok(link)) => return self.connected(link),
            Done::Connected(Err(_)) => return self.retry(),
            Done::Subscribed(groups, Ok(())) => {
                self.subscribing = false;
                for group in groups {
                    self.subscriptions.confirmed(&group);
                    self.unopened.insert(group);
                }
                return;
            }
            Done::Unsubscribed(Ok(())) => {
                self.subscribing = false;
                return;
            }
            Done::Opened(generation, groups, Ok(opened)) => return self.opened(generation, groups, opened),
            Done::Published(Ok(verdicts)) => {
                self.publishing = false;
                let settled = self.publisher.settle(verdicts);
                self.unopened.extend(settled.reopen);
                match settled.refused {
                    Some(why) => why,
                    None => return,
                }
            }
            Done::Read(group, Ok(recovered)) => {
                let need = self.inbound.read(&group, recovered);
                return self.need(group, need);
            }
            Done::Read(group, Err(LinkError::Unopened)) => {
                self.inbound.unsync(&group);
                self.unopened.insert(group);
                return;
            }
            Done::Subscribed(_, Err(why))
            | Done::Unsubscribed(Err(why))
            | Done::Opened(_, _, Err(why))
            | Done::Published(Err(why))
            | Done::Read(_, Err(why)) => why,
        };
        self.lose(&failed);
    }

    fn connected(&mut self, link: Link) {
        self.link = Some(link);
        self.linked_at = Some(Instant::now());
    }

    fn retry(&mut self) {
        self.retry_at = Some(Instant::now() + self.backoff.next(crate::random_u64()));
    }

    /// The link is of no use any more: everything that hangs on it goes, and it is made anew.
    fn lose(&mut self, why: &LinkError) {
        if self.linked_at.take().is_some_and(|since| since.elapsed() >= STABLE) {
            self.backoff.reset();
        }
        self.link = None;
        self.flights = FuturesUnordered::new();
        (self.publishing, self.subscribing) = (false, false);
        self.unopened.clear();
        self.opens.clear();
        self.publisher.lose();
        self.subscriptions.lose();
        self.inbound.lose();
        self.enter(Health::Connecting, Some(why));
        self.retry();
    }

    fn opened(&mut self, generation: u64, groups: Vec<GroupName>, opened: Vec<Opened>) {
        self.publishing = false;
        for (group, Opened { lineage, recovered }) in groups.into_iter().zip(opened) {
            self.publisher.opened(&group, generation, recovered.page().head, Instant::now());
            if self.subscriptions.is_heard(&group) {
                let need = self.inbound.opened(&group, &lineage, recovered);
                self.need(group.clone(), need);
                self.subscriptions.opened(&group);
            }
            for (_, answer) in self.opens.extract_if(.., |(opened, _)| *opened == group) {
                let _gone = answer.send(());
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.publisher.expire(now);
        let (registry, inbound) = (&self.registry, &mut self.inbound);
        let has_members =
            |group: &GroupName| registry.existing(group, |group| group.has_members()).unwrap_or(false);
        let left = self.subscriptions.leave(now, has_members, |group| registry.remove_if_empty(group));
        for group in &left {
            inbound.forget(group);
        }
        if !left.is_empty() && self.link.is_some() {
            self.unsubscribe(left);
        }
    }

    fn unsubscribe(&mut self, groups: Vec<GroupName>) {
        // Two changes of subscriptions in flight could pass each other.
        self.subscribing = true;
        let relay = Arc::clone(&self.relay);
        self.fly(async move { Done::Unsubscribed(relay.unsubscribe(groups).await) });
    }

    /// Starts what can be started: one change of subscriptions, one opening or batch.
    fn pump(&mut self) {
        if self.link.is_none() {
            return;
        }
        if !self.subscribing {
            let groups = self.subscriptions.wanted();
            if !groups.is_empty() {
                self.subscribing = true;
                let relay = Arc::clone(&self.relay);
                self.fly(async move {
                    let subscribed = relay.subscribe(groups.clone()).await;
                    Done::Subscribed(groups, subscribed)
                });
            }
        }
        if !self.publishing {
            self.open_or_publish();
        }
        if self.state.borrow().health == Health::Connecting && self.subscriptions.is_settled() {
            self.enter(Health::Healthy, None);
        }
    }

    fn open_or_publish(&mut self) {
        // A group that is being subscribed to is opened once that is confirmed: then its answer serves as the read.
        let groups: Vec<GroupName> = {
            let subscriptions = &self.subscriptions;
            self.unopened.extract_if(.., |group| !subscriptions.is_pending(group)).collect()
        };
        if groups.is_empty() {
            let (inbound, unopened) = (&self.inbound, &mut self.unopened);
            let batch = self.publisher.next_batch(Instant::now(), |group| inbound.head(group), unopened);
            if !batch.is_empty() {
                self.publishing = true;
                let relay = Arc::clone(&self.relay);
                self.fly(async move { Done::Published(relay.publish(batch).await) });
            } else if self.unopened.iter().any(|group| !self.subscriptions.is_pending(group)) {
                self.open_or_publish();
            }
            return;
        }
        self.publishing = true;
        self.generation += 1;
        let generation = self.generation;
        let opening = |group: &GroupName| Opening {
            group: group.clone(),
            generation,
            epoch: Epoch::random(),
            known: self.inbound.head(group),
            entries_max: ENTRIES_MAX,
        };
        let openings = groups.iter().map(opening).collect();
        let relay = Arc::clone(&self.relay);
        self.fly(async move { Done::Opened(generation, groups, relay.open(openings).await) });
    }

    fn enter(&mut self, health: Health, why: Option<&LinkError>) {
        let before = *self.state.borrow();
        if before.health == health {
            return;
        }
        match why {
            Some(why) => tracing::warn!(
                event = "layer.connecting",
                %why,
                "the link to the backend is lost; sends are refused until it is back"
            ),
            None => {
                tracing::info!(event = "layer.healthy", mode = before.mode.as_str(), "the nodes are joined");
            }
        }
        self.state.send_replace(LayerState::now(before.mode, health));
    }
}

/// The next arrival; never, without a link.
async fn arrival(link: &mut Option<Link>) -> Option<Incoming> {
    match link {
        Some(link) => link.incoming.recv().await,
        None => future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
