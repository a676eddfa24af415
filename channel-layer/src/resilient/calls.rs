//! What the owner has asked of the relay and has no answer to yet.
//!
//! All calls are of one link and are dropped with it. An opening and a batch are never under way together, for an
//! opening must not overtake a publish; nor are two changes of subscriptions, which could pass each other.

use crate::{
    error::{Error, Result},
    history::{Recovered, Span},
    message::Message,
    name::{ChannelName, GroupName},
    position::Position,
    relay::{Link, LinkError, Opened, Opening, Outgoing, Relay, Verdict},
    report::Census,
    resilient::room::Taken,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// What one opening or one repairing read brings: as much as a history keeps.
pub(super) const ENTRIES_MAX: usize = 1_000;

/// Reads under way at the backend, whoever asks. They share its connection with the publishes and the questions whether it
/// is alive, and one may bring a megabyte; who asks for more waits, or is told that it is unavailable.
pub(super) const READS_MAX: usize = 4;

type Answer<T> = std::result::Result<T, LinkError>;

/// A call that has been answered.
#[derive(Debug)]
pub(super) enum Done {
    Connected(Answer<Link>),
    Subscribed(Vec<GroupName>, Answer<()>),
    Unsubscribed(Answer<()>),
    /// Under which generation which groups were opened.
    Opened(u64, Vec<GroupName>, Answer<Vec<Opened>>),
    Published(Answer<Vec<Answer<Verdict>>>),
    Read(GroupName, Answer<Recovered>),
    /// A direct message; its caller has the answer.
    Passed,
    Announced(Answer<Census>),
}

#[derive(Debug)]
pub(super) struct Calls {
    relay: Arc<dyn Relay>,
    open: FuturesUnordered<BoxFuture<'static, Done>>,
    /// An opening or a batch is among them.
    publishing: bool,
    /// A change of subscriptions is among them.
    subscribing: bool,
    /// Places for reads of the backend; those who ask for history share them.
    places: Arc<Semaphore>,
    /// Reads that are among them, with a place or about to get one.
    reading: usize,
}

impl Calls {
    pub(super) fn new(relay: Arc<dyn Relay>, places: Arc<Semaphore>) -> Self {
        Self {
            relay,
            open: FuturesUnordered::new(),
            publishing: false,
            subscribing: false,
            places,
            reading: 0,
        }
    }

    pub(super) fn is_publishing(&self) -> bool {
        self.publishing
    }

    pub(super) fn is_subscribing(&self) -> bool {
        self.subscribing
    }

    /// Whether there may be a place for a read.
    pub(super) fn may_read(&self) -> bool {
        self.reading < READS_MAX
    }

    /// The next answer; `None` when nothing is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let done = self.open.next().await?;
        match done {
            Done::Subscribed(..) | Done::Unsubscribed(_) => self.subscribing = false,
            Done::Opened(..) | Done::Published(_) => self.publishing = false,
            Done::Read(..) => self.reading -= 1,
            Done::Connected(_) | Done::Passed | Done::Announced(_) => {}
        }
        Some(done)
    }

    pub(super) fn drop_all(&mut self) {
        *self = Self::new(Arc::clone(&self.relay), Arc::clone(&self.places));
    }

    fn call(&mut self, call: impl Future<Output = Done> + Send + 'static) {
        self.open.push(call.boxed());
    }

    pub(super) fn connect(&mut self, node: &str) {
        let (relay, node) = (Arc::clone(&self.relay), node.to_owned());
        self.call(async move { Done::Connected(relay.connect(&node).await) });
    }

    pub(super) fn subscribe(&mut self, groups: Vec<GroupName>) {
        self.subscribing = true;
        let relay = Arc::clone(&self.relay);
        self.call(async move {
            let subscribed = relay.subscribe(groups.clone()).await;
            Done::Subscribed(groups, subscribed)
        });
    }

    pub(super) fn unsubscribe(&mut self, groups: Vec<GroupName>) {
        self.subscribing = true;
        let relay = Arc::clone(&self.relay);
        self.call(async move { Done::Unsubscribed(relay.unsubscribe(groups).await) });
    }

    pub(super) fn open(&mut self, generation: u64, openings: Vec<Opening>, groups: Vec<GroupName>) {
        self.publishing = true;
        let relay = Arc::clone(&self.relay);
        self.call(async move { Done::Opened(generation, groups, relay.open(openings).await) });
    }

    pub(super) fn publish(&mut self, batch: Vec<Outgoing>) {
        self.publishing = true;
        let relay = Arc::clone(&self.relay);
        self.call(async move { Done::Published(relay.publish(batch).await) });
    }

    pub(super) fn read(&mut self, group: GroupName, after: Position) {
        self.reading += 1;
        let (relay, places) = (Arc::clone(&self.relay), Arc::clone(&self.places));
        self.call(async move {
            let _place = places.acquire().await;
            let read = relay.read(group.clone(), Span::After(after), ENTRIES_MAX).await;
            Done::Read(group, read)
        });
    }

    pub(super) fn announce(&mut self, node: &str) {
        let (relay, node) = (Arc::clone(&self.relay), node.to_owned());
        self.call(async move { Done::Announced(relay.announce(&node).await) });
    }

    /// The last call of all.
    pub(super) fn withdraw(&self, node: &str) -> impl Future<Output = ()> + Send + use<> {
        let (relay, node) = (Arc::clone(&self.relay), node.to_owned());
        // A lease that cannot be given back runs out.
        async move { drop(relay.withdraw(&node).await) }
    }

    pub(super) fn send(
        &mut self,
        to: ChannelName,
        message: Message,
        answer: oneshot::Sender<Result<()>>,
        room: Taken,
    ) {
        let relay = Arc::clone(&self.relay);
        self.call(async move {
            let _room = room;
            let sent = relay.send(to, message).await.map_err(|_| Error::Unavailable);
            // A caller that dropped the answer does not want to know.
            let _unheard = answer.send(sent);
            Done::Passed
        });
    }
}
