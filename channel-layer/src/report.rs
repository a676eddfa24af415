//! What a layer knows of itself and of those it works with: for health answers and metrics, not for decisions.
//!
//! All of it is in memory already when somebody asks. What others have to be asked for is refreshed in the background,
//! and is absent, rather than old, while they cannot be asked.

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
    /// Members of all groups: a mailbox of this node counts once for each of its groups.
    pub memberships: usize,
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
