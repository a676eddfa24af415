//! The relay: a node's calls, put into the broker's queue, and its answers.

use super::broker::{Broker, Reply, Request, Trouble, closed};
use channel_layer::{
    Answered, ChannelName, GroupName, Link, LinkError, Message, Opened, Opening, Outgoing, Presented,
    Recovered, Relay, RowStored, RowWrite, Span, Verdict,
};
use futures_util::FutureExt;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// Requests that wait for the broker, and arrivals that wait for a node.
const REQUESTS_MAX: usize = 1_024;
pub(crate) const ARRIVALS_MAX: usize = 1_024;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// A [`Relay`] to a broker.
#[derive(Debug)]
pub(crate) struct BrokerRelay {
    requests: mpsc::Sender<Request>,
    /// The present connection; 0: there has been none.
    connection: AtomicU64,
}

impl BrokerRelay {
    /// Starts a broker, and gives a relay to it.
    pub(crate) fn new() -> Self {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        TaskTracker::new().spawn(Broker::default().run(queue));
        Self { requests, connection: AtomicU64::new(0) }
    }

    /// Another relay to the same broker, for another node.
    pub(crate) fn another(&self) -> Self {
        Self { requests: self.requests.clone(), connection: AtomicU64::new(0) }
    }

    /// Makes trouble, to see how nodes get over it.
    pub(crate) async fn trouble(&self, trouble: Trouble) -> Result<(), LinkError> {
        self.ask(|_, reply| Request::Trouble(trouble, reply)).await
    }

    fn ask<'a, T: Send + 'a>(&'a self, request: impl FnOnce(u64, Reply<T>) -> Request) -> Answered<'a, T> {
        let (reply, answer) = oneshot::channel();
        let request = request(self.connection.load(Ordering::Acquire), reply);
        let asked = async move {
            self.requests.send(request).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        async move { timeout(DEADLINE, asked).await.unwrap_or(Err(LinkError::TimedOut)) }.boxed()
    }
}

impl Relay for BrokerRelay {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        async move {
            let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
            let connection = self.ask(|_, reply| Request::Connect(node.to_owned(), arrivals, reply)).await?;
            self.connection.store(connection, Ordering::Release);
            Ok(Link { incoming })
        }
        .boxed()
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        self.ask(|from, reply| Request::Open(from, groups, reply))
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        self.ask(|from, reply| Request::Publish(from, batch, reply))
    }

    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()> {
        self.ask(|from, reply| Request::Send(from, to, message, reply))
    }

    fn probe(&self, number: u64) -> Answered<'_, ()> {
        self.ask(|from, reply| Request::Probe(from, number, reply))
    }

    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.ask(|from, reply| Request::Subscribe(from, groups, reply))
    }

    fn unsubscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.ask(|from, reply| Request::Unsubscribe(from, groups, reply))
    }

    fn present(&self, lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>> {
        self.ask(|from, reply| Request::Present(from, lease, writes, reply))
    }

    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>> {
        self.ask(|from, reply| Request::Rows(from, groups, reply))
    }

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        self.ask(|from, reply| Request::Read(from, group, span, messages_max, reply))
    }
}
