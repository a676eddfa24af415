//! What a node and the backend say to each other of the node's rows: each row is a lease, which its node renews.

use bytes::Bytes;
use std::time::Duration;

/// What a node does with its own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowWrite {
    /// Replaces the row, and tells the other nodes what has changed.
    Put {
        /// The row's new version.
        version: u64,
        /// The whole row, opaque to the backend.
        row: Bytes,
        /// What is passed on to the nodes that hear the group; opaque.
        change: Bytes,
    },
    /// Says that the row of this version still holds.
    Renew {
        /// The row's version.
        version: u64,
    },
    /// Takes the row away, and tells the other nodes.
    Withdraw {
        /// What is passed on; opaque.
        change: Bytes,
    },
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Whether the backend has the row that was put or renewed; if not, it has to be put again.
    pub is_there: bool,
    /// The rows of other nodes that hold.
    pub others: Vec<Standing>,
}

/// A row of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The node.
    pub node: Box<str>,
    /// The version of its row.
    pub version: u64,
    /// How long the row still holds.
    pub left: Duration,
}

/// A row as the backend has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowStored {
    /// The node.
    pub node: Box<str>,
    /// The version of its row.
    pub version: u64,
    /// How long the row still holds.
    pub left: Duration,
    /// The row as it was put.
    pub row: Bytes,
}
