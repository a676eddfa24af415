//! Who is in which group, on all nodes: the contract, and what every layer's presence is made of.
//!
//! A node counts its own connections by key and says each second what has changed (`room`, `table`). Over a backend it
//! has one row a group of its own, written by it alone and with a lease (`own`, `row`, `lease`); the rows of the `others` are
//! added to what it shows, and nobody merges. When a node dies its rows run out.

pub(crate) mod lease;
mod others;
mod own;
pub(crate) mod room;
pub(crate) mod row;
pub(crate) mod table;

pub use lease::{Presented, RowStored, RowWrite, Standing};

use crate::{
    member::{Member, Roster},
    name::GroupName,
};
use futures_util::future::BoxFuture;
use std::{fmt, time::Duration};

/// What asking for presence gives. It borrows nothing and never fails: what the backend cannot say is what this node
/// knows.
pub type Known<T> = BoxFuture<'static, T>;

/// Who is in which group. Got by [`ChannelLayer::presence`](crate::ChannelLayer::presence).
///
/// Members are counted by key: somebody with two connections, on whichever nodes, is one member, and is gone two turns
/// (2 to 3 s) after the last of them has left, so that a reload shows nothing. Changes come to the group's mailboxes as
/// [`Delivery::Presence`](crate::Delivery::Presence), at most once a turn (1 s).
pub trait Presence: Send + Sync + fmt::Debug + 'static {
    /// A connection to this node is in `group` from now on: here at once, on other nodes within about two turns.
    ///
    /// Each call wants one [`Presence::leave`]; a member whose `info` is another than before is called that from now on.
    fn enter(&self, group: &GroupName, member: &Member);

    /// A connection that had entered has left.
    fn leave(&self, group: &GroupName, key: &str);

    /// How many members, those of other nodes included. At once where this node has members; else the backend is
    /// asked, within the layer's deadline, and its answer may be some seconds old.
    fn occupancy(&self, group: &GroupName) -> Known<usize>;

    /// Who is in the group; known as [`Presence::occupancy`] is.
    fn roster(&self, group: &GroupName) -> Known<Roster>;
}

/// How presence is kept. All nodes of a hub have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceRules {
    /// Members of a group that are named, to clients and to other nodes; of more there are only numbers. 500.
    pub members_max: usize,
    /// Between two looks at what has changed. 1 s.
    pub turn: Duration,
    /// Between two signs of life of a row. 10 s.
    pub heartbeat: Duration,
    /// How long a row stands without one. 26 s: with what is told late on purpose, a node that died is forgotten within
    /// 30 s.
    pub lease: Duration,
}

impl Default for PresenceRules {
    fn default() -> Self {
        Self {
            members_max: 500,
            turn: Duration::from_secs(1),
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(26),
        }
    }
}

impl PresenceRules {
    /// A heartbeat in turns.
    pub(crate) fn heartbeat_turns(&self) -> u32 {
        self.turns(self.heartbeat)
    }

    /// A lease in turns.
    pub(crate) fn lease_turns(&self) -> u32 {
        self.turns(self.lease)
    }

    fn turns(&self, time: Duration) -> u32 {
        let turns = time.as_millis() / self.turn.as_millis().max(1);
        u32::try_from(turns).unwrap_or(u32::MAX).max(1)
    }
}
