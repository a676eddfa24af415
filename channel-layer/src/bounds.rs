//! What is kept of the groups' histories: every bound of it in one place.
//!
//! Which bound is hit first counts. A history goes on beyond its bounds, it only forgets its beginning: readers are told,
//! nobody is refused.

use std::time::Duration;

/// What is kept of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many messages.
    pub messages: usize,
    /// How many bytes they may have together, roughly; the last message stays in any case.
    pub bytes: usize,
    /// How old they get.
    pub age: Duration,
}

/// What is kept of all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A group's history, in the backend or, without one, on this node. Nodes of one hub should agree on it.
    pub history: Kept,
    /// The end of it that a node keeps beside a backend, for those who come late or come back.
    pub tail: Kept,
    /// Ids that a group knows at least, to recognise repeats by, and no more than twice as many: more than all nodes' tails and
    /// what may wait to be sent.
    pub ids: usize,
    /// What a node keeps of its own messages that the backend does not have yet, of all groups together. Beyond it the oldest are
    /// lost, and that is said.
    pub spool: Kept,
    /// What a node remembers of all groups together, in bytes, roughly. Beyond it groups that were used long ago make room.
    pub node_bytes: usize,
}

impl Default for Bounds {
    /// 1,000 messages, 1 MiB and 24 hours a group; 100 messages, 256 KiB and 5 minutes of it on a node; 12,000 ids; 10,000
    /// messages, 32 MiB and an hour that only this node has; 256 MiB a node.
    fn default() -> Self {
        Self {
            history: Kept { messages: 1_000, bytes: 1 << 20, age: Duration::from_hours(24) },
            tail: Kept { messages: 100, bytes: 256 << 10, age: Duration::from_mins(5) },
            ids: 12_000,
            spool: Kept { messages: 10_000, bytes: 32 << 20, age: Duration::from_hours(1) },
            node_bytes: 256 << 20,
        }
    }
}

impl Bounds {
    /// The same, as far as they go together: a tail is a part of its history, and an id outlives what it names.
    pub(crate) fn fitted(self) -> Self {
        let Self { history, tail, ids, spool, node_bytes } = self;
        let history = Kept { messages: history.messages.max(1), ..history };
        let tail = Kept {
            messages: tail.messages.min(history.messages),
            bytes: tail.bytes.min(history.bytes),
            age: tail.age.min(history.age),
        };
        Self { history, tail, ids: ids.max(history.messages), spool, node_bytes }
    }
}
