//! What a layer knows of itself and of those it works with: for health answers and metrics, not for decisions.
//!
//! All of it is in memory already when somebody asks. What others have to be asked for is refreshed in the background,
//! and is absent, rather than old, while they cannot be asked.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How a layer is doing, at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The name of this process in the layer: new at each start.
    pub node: String,
    /// Whom it shares its groups with, and what joins them.
    pub census: Census,
    /// Groups that are known on this node.
    pub groups: usize,
    /// Messages that this node remembers of them.
    pub messages: usize,
    /// Mailboxes that were made on this node and not dropped.
    pub mailboxes: usize,
    /// Messages that only this node has, and keeps for the others.
    pub spooled: usize,
    /// Members of all groups: a mailbox of this node counts once for each of its groups.
    pub memberships: usize,
    /// How long the last message to this node itself was on its way over the backend, in microseconds; `None`: none comes back.
    pub canary_us: Option<u64>,
    /// What has happened since the start.
    pub counts: Counts,
}

/// The nodes and their backend, as the backend has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// The nodes that share the groups, this one among them; `None`: that is not known now.
    pub nodes: Option<Vec<Peer>>,
    /// What the backend says of itself; `None`: there is none, or it has not said anything lately.
    pub backend: Option<Backend>,
}

/// A node that shares the groups.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The name of the process in the layer: new at each start.
    pub node: String,
    /// What its operator calls it, if anything.
    pub name: Option<String>,
}

/// A backend in its own words; what it does not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backend {
    /// Its version.
    pub version: Option<String>,
    /// How many clients it has, of all kinds.
    pub clients: Option<u64>,
    /// The memory that it uses, in bytes.
    pub memory_bytes: Option<u64>,
    /// The same for people, like `1.07M`.
    pub memory_human: Option<String>,
    /// How long its last answer took, in microseconds.
    pub latency_us: Option<u64>,
}

/// How often what has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of this node that were sent for all nodes.
    pub sent_cluster: u64,
    /// Messages of this node that were sent for this node.
    pub sent_node: u64,
    /// Reads of the backend because something was missed.
    pub repairs: u64,
    /// Histories that were not what this node had of them.
    pub gaps: u64,
    /// Times that more arrived than could be taken.
    pub arrivals_dropped: u64,
    /// Arrivals that this version cannot read.
    pub malformed: u64,
    /// Links to the backend that were made.
    pub connects: u64,
    /// Links that could not be made.
    pub connect_failures: u64,
    /// Times that the layer was healthy again after it was not.
    pub heals: u64,
    /// Messages that this node had handed out by itself, and that are in the history now.
    pub replayed: u64,
    /// Messages that members here lacked and were read for them.
    pub recovered: u64,
    /// Messages that the backend had lost and this node put back, unless another did.
    pub put_back: u64,
    /// Messages that this node could not keep for the others, or of which it cannot be known whether they have them.
    pub spool_dropped: u64,
    /// How long it was not healthy, in microseconds, the present time included.
    pub away_us: u64,
}

/// The same while it is counted, by whoever sees it happen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sent_cluster: Counter,
    pub(crate) sent_node: Counter,
    pub(crate) repairs: Counter,
    pub(crate) gaps: Counter,
    pub(crate) arrivals_dropped: Counter,
    pub(crate) malformed: Counter,
    pub(crate) connects: Counter,
    pub(crate) connect_failures: Counter,
    pub(crate) heals: Counter,
    pub(crate) replayed: Counter,
    pub(crate) recovered: Counter,
    pub(crate) put_back: Counter,
    pub(crate) spool_dropped: Counter,
    pub(crate) away_us: Counter,
}

/// A number that anybody may add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was last seen of something, if anything.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: Option<Duration>) {
        let us = |value: Duration| u64::try_from(value.as_micros()).map_or(u64::MAX, |us| us.max(1));
        self.0.store(value.map_or(0, us), Ordering::Relaxed);
    }

    /// In microseconds.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            sent_cluster: self.sent_cluster.get(),
            sent_node: self.sent_node.get(),
            repairs: self.repairs.get(),
            gaps: self.gaps.get(),
            arrivals_dropped: self.arrivals_dropped.get(),
            malformed: self.malformed.get(),
            connects: self.connects.get(),
            connect_failures: self.connect_failures.get(),
            heals: self.heals.get(),
            replayed: self.replayed.get(),
            recovered: self.recovered.get(),
            put_back: self.put_back.get(),
            spool_dropped: self.spool_dropped.get(),
            away_us: self.away_us.get(),
        }
    }
}
