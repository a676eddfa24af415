//! What is asked of the relay, and has no answer yet.
//!
//! All calls are of one link and are dropped with it. An opening and a batch are never under way together, for an
//! opening must not overtake a publish; nor are two changes of subscriptions, which could pass each other.

use crate::{
    error::{Error, Result},
    history::{Recovered, Remembered, Span},
    message::Message,
    name::{ChannelName, GroupName},
    position::{Epoch, Position},
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

/// Something to be asked of the relay.
#[derive(Debug)]
pub(super) enum Call {
    Connect,
    /// Of the link that is lost nothing is waited for any more.
    End,
    Subscribe(Vec<GroupName>),
    Unsubscribe(Vec<GroupName>),
    /// Under which generation which groups are opened, and how.
    Open(u64, Vec<Opening>, Vec<GroupName>),
    Publish(Vec<Outgoing>),
    PutBack(GroupName, Epoch, Vec<Remembered>),
    /// What came after a position.
    Read(GroupName, Position),
    Send(ChannelName, Message, oneshot::Sender<Result<()>>, Taken),
    Announce,
    /// The canary of this number.
    Probe(u64),
}

/// A call that has been answered.
#[derive(Debug)]
pub(super) enum Done {
    Connected(Answer<()>),
    Subscribed(Vec<GroupName>, Answer<()>),
    Unsubscribed(Answer<()>),
    /// Under which generation which groups were opened.
    Opened(u64, Vec<GroupName>, Answer<Vec<Opened>>),
    Published(Answer<Vec<Answer<Verdict>>>),
    PutBack(GroupName, Answer<()>),
    Read(GroupName, Answer<Recovered>),
    /// A direct message; its caller has the answer.
    Passed,
    Announced(Answer<Census>),
    Probed(Answer<()>),
}

/// The calls that are under way.
#[derive(Debug)]
pub(super) struct Calls {
    relay: Arc<dyn Relay>,
    /// The name of this process.
    node: Arc<str>,
    open: FuturesUnordered<BoxFuture<'static, (Done, Option<Link>)>>,
    /// Places for reads of the backend; those who ask for history share them.
    places: Arc<Semaphore>,
}

impl Calls {
    pub(super) fn new(relay: Arc<dyn Relay>, node: &str, places: Arc<Semaphore>) -> Self {
        Self { relay, node: node.into(), open: FuturesUnordered::new(), places }
    }

    /// The next answer, with the link if that is what it brings; `None` when nothing is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<(Done, Option<Link>)> {
        self.open.next().await
    }

    pub(super) fn make(&mut self, call: Call) {
        let (relay, node) = (Arc::clone(&self.relay), Arc::clone(&self.node));
        let answer = match call {
            Call::End => {
                *self = Self::new(relay, &node, Arc::clone(&self.places));
                return;
            }
            Call::Connect => {
                let connecting = async move {
                    match relay.connect(&node).await {
                        Ok(link) => (Done::Connected(Ok(())), Some(link)),
                        Err(why) => (Done::Connected(Err(why)), None),
                    }
                };
                self.open.push(connecting.boxed());
                return;
            }
            Call::Subscribe(groups) => async move {
                let subscribed = relay.subscribe(groups.clone()).await;
                Done::Subscribed(groups, subscribed)
            }
            .boxed(),
            Call::Unsubscribe(groups) => {
                async move { Done::Unsubscribed(relay.unsubscribe(groups).await) }.boxed()
            }
            Call::Open(generation, openings, groups) => {
                async move { Done::Opened(generation, groups, relay.open(openings).await) }.boxed()
            }
            Call::Publish(batch) => async move { Done::Published(relay.publish(batch).await) }.boxed(),
            Call::PutBack(group, epoch, lost) => {
                async move { Done::PutBack(group.clone(), relay.put_back(group, epoch, lost).await) }.boxed()
            }
            Call::Read(group, after) => {
                let places = Arc::clone(&self.places);
                async move {
                    let _place = places.acquire().await;
                    let read = relay.read(group.clone(), Span::After(after), ENTRIES_MAX).await;
                    Done::Read(group, read)
                }
                .boxed()
            }
            Call::Probe(number) => async move { Done::Probed(relay.probe(number).await) }.boxed(),
            Call::Announce => async move { Done::Announced(relay.announce(&node).await) }.boxed(),
            Call::Send(to, message, answer, room) => async move {
                let _room = room;
                let sent = relay.send(to, message).await.map_err(|_| Error::Unavailable);
                // A caller that dropped the answer does not want to know.
                let _unheard = answer.send(sent);
                Done::Passed
            }
            .boxed(),
        };
        self.open.push(answer.map(|done| (done, None)).boxed());
    }

    /// The last call of all: a lease that cannot be given back runs out.
    pub(super) async fn withdraw(self) {
        let _runs_out = self.relay.withdraw(&self.node).await;
    }
}
