//! The hop between nodes: all that a new backend writes.
//!
//! A relay has no retry, no timer towards callers and no local delivery: order, deadlines, gaps and reconnection are
//! written once above it. It answers, or says that its link has ended; whoever uses it then connects again.

use crate::{
    delivery::Posted,
    history::{Lineage, Recovered, Remembered, Span},
    message::Message,
    name::{ChannelName, GroupName},
    position::{Epoch, Position},
    presence::{Presented, RowStored, RowWrite},
    report::Census,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Why a relay did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// A connection was refused, or has ended.
    #[error("the connection failed: {0}")]
    Closed(String),
    /// What is published does not come back.
    #[error("what is published does not come back")]
    Silent,
    /// There was no answer in time; whether the backend did what it was asked is unknown.
    #[error("no answer in time")]
    TimedOut,
    /// The backend answered that it would not.
    #[error("the backend refused: {0}")]
    Refused(String),
    /// The backend does not hold the group: nobody has opened it, or it has expired since.
    #[error("the group is not open")]
    Unopened,
    /// The backend answered something that this version does not understand.
    #[error("the backend's answer makes no sense: {0}")]
    Malformed(&'static str),
}

/// What a relay gives.
pub type Answered<'a, T> = BoxFuture<'a, Result<T, LinkError>>;

/// Fresh connections to the backend, which end together.
#[derive(Debug)]
pub struct Link {
    /// What arrives. It ends with [`Incoming::Ended`], or at the latest when the channel closes.
    pub incoming: mpsc::Receiver<Incoming>,
}

/// One thing that arrives over a link.
#[derive(Debug)]
pub enum Incoming {
    /// A message of a subscribed group: with a position if it is kept, and with what it is if it was amended.
    Posted(Arc<Posted>),
    /// A message to a mailbox of this node.
    Direct {
        /// The address.
        to: ChannelName,
        /// The message.
        message: Message,
    },
    /// Something that this version cannot read. It changes nothing.
    Malformed,
    /// What another node, or this one, has changed in its row of a subscribed group.
    Presence {
        /// The group.
        group: GroupName,
        /// As it was given to [`Relay::present`].
        change: Bytes,
    },
    /// What [`Relay::probe`] sent has come back.
    Probe(u64),
    /// Some arrivals were dropped, because the reader was too slow for them: read what may be missing.
    Dropped,
    /// The link has ended; nothing follows.
    Ended(LinkError),
}

/// The place of a publish in its node's order within a group. The backend refuses what does not follow on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Rises with each connection and each opening.
    pub generation: u64,
    /// Rises by one with each publish.
    pub seq: u64,
}

/// A group to be opened: made ready for this node's publishes, and read.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The group.
    pub group: GroupName,
    /// The generation that this node's publishes will name.
    pub generation: u64,
    /// The epoch to begin if the backend is not the one that wrote the group.
    pub epoch: Epoch,
    /// Where this node's own copy ends; `None`: it has none.
    pub known: Option<Position>,
    /// How many entries the answer may carry.
    pub entries_max: usize,
}

/// An opened group.
#[derive(Debug)]
pub struct Opened {
    /// Its epochs; publishes name the present one.
    pub lineage: Lineage,
    /// What came after `known`, or the last of the history.
    pub recovered: Recovered,
}

/// A message to be numbered, kept and published.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The group.
    pub group: GroupName,
    /// The message; its `floor` is set. If it [amends](Message::amends) another, that is checked, and the other one dropped
    /// from the history, in the same step.
    pub message: Message,
    /// The epoch in which it is to be numbered, and its place in this node's order; `None`: it is ephemeral.
    pub place: Option<(Epoch, Chain)>,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was numbered.
    Placed(Position),
    /// It had been numbered before.
    Known(Position),
    /// It was passed on; it is ephemeral.
    Sent,
    /// Another message has its id. Nothing was done.
    Conflict,
    /// It may have been numbered and forgotten. Nothing was done.
    Undecided,
    /// What it amends is not in the history, or was deleted. Nothing was done.
    NotFound,
    /// What it amends has another owner, or none. Nothing was done.
    Forbidden,
    /// The epoch is not the present one: open the group again. Nothing was done.
    Stale,
    /// It does not follow this node's last publish: open the group again. Nothing was done.
    Fenced,
}

/// A backend that joins nodes. Object safe; calls are made one after the other or concurrently, on one link.
pub trait Relay: Send + Sync + fmt::Debug + 'static {
    /// Makes fresh connections for the process `node`, whose direct messages come in too, and ends earlier ones.
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link>;

    /// Opens groups, in one round trip; one answer each, in order.
    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>>;

    /// Numbers, keeps and publishes each in turn, in one round trip; one verdict each, in order.
    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>>;

    /// Puts back what an opening shows that the backend has lost, in this order, unless another node did: each is numbered anew in
    /// `epoch`, the present one, and says where it stood. Positions before it that nobody has put back are announced.
    ///
    /// A backend that never loses what it took has nothing to do.
    fn put_back(&self, group: GroupName, epoch: Epoch, lost: Vec<Remembered>) -> Answered<'_, ()> {
        let _kept = (group, epoch, lost);
        ready(Ok(())).boxed()
    }

    /// Passes a message on to the mailbox of another node.
    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()>;

    /// Publishes a number to this node itself, on the way that a message to a group takes: it has to come back as
    /// [`Incoming::Probe`].
    fn probe(&self, number: u64) -> Answered<'_, ()>;

    /// Subscribes to groups. `Ok`: the backend has confirmed every one.
    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()>;

    /// Ends subscriptions.
    fn unsubscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()>;

    /// Reads a part of an opened group's history; [`LinkError::Unopened`] when the backend does not hold it.
    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered>;

    /// Says that the process `node` is there, and asks who else is and how the backend is: every 5 s. Whoever has not
    /// said so for 15 s is not there any more. A relay that keeps no such list need not: then nobody knows.
    fn announce<'a>(&'a self, node: &'a str) -> Answered<'a, Census> {
        let _unknown = node;
        ready(Ok(Census::default())).boxed()
    }

    /// Says that the process `node` ends.
    fn withdraw<'a>(&'a self, node: &'a str) -> Answered<'a, ()> {
        let _unknown = node;
        ready(Ok(())).boxed()
    }

    /// Writes this node's rows of presence, in one round trip: each holds for `lease`, is dropped when that is over, and
    /// nothing is left of a group whose rows are all gone. What has changed goes to the nodes that hear the group. One
    /// answer each, in order.
    fn present(&self, lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>>;

    /// The rows of some groups that hold, this node's own among them, in one round trip; one answer each, in order.
    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>>;
}
