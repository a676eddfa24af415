//! Who is in a group: one member, all of them, and what has changed.

use crate::name::GroupName;
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// Somebody in a group, however many connections they have. Cheap to clone: all groups share one copy of its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What they are known by, on every node: a user's id.
    pub key: Arc<str>,
    /// What others are told of them, opaque to the layer: a name. The latest that was said counts.
    pub info: Arc<[u8]>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// How many members.
    pub occupancy: usize,
    /// All of them, by key; `None` when they are too many to be listed.
    pub members: Option<Vec<Member>>,
}

/// What has changed in a group since the last time that this was said.
#[derive(Debug)]
pub struct Attendance {
    /// The group.
    pub group: GroupName,
    /// How many members there are now.
    pub occupancy: usize,
    /// Who has come, or is called otherwise now; empty when the members are too many to be named.
    pub joined: Vec<Member>,
    /// Who has gone; empty when the members are too many to be named.
    pub left: Vec<Member>,
    rendered: OnceLock<Bytes>,
}

impl Attendance {
    /// A change in `group`.
    #[must_use]
    pub fn new(group: GroupName, occupancy: usize, joined: Vec<Member>, left: Vec<Member>) -> Self {
        Self { group, occupancy, joined, left, rendered: OnceLock::new() }
    }

    /// What `render` made of it, the first time that anybody on this node asked: workers share one rendering.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(self))
    }
}
