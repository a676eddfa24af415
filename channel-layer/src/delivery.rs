//! What arrives in a mailbox.

use crate::{
    amend::{Amends, Owner, Version},
    history::{GapReason, Page},
    member::Attendance,
    message::{Body, Message, MessageId, Retention, bare_digest},
    name::{ChannelName, GroupName},
    position::Position,
};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// One thing that a mailbox receives. Cheap to clone: every mailbox of the node gets its own. Small as well, for it is handed on
/// by value: what is rare and long is boxed.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A message of a group.
    Message(Arc<Posted>),
    /// You have this one already; here is its place in the history.
    Placed {
        /// The group it is of.
        group: GroupName,
        /// The message.
        id: MessageId,
        /// Where it stands.
        position: Position,
    },
    /// Some messages are lost, and it is not known which; what follows is whole.
    Gap {
        /// The group it is of.
        group: GroupName,
        /// Where the history says so; `None`: it does not yet.
        position: Option<Position>,
        /// How many.
        lost: u64,
        /// Why.
        reason: GapReason,
    },
    /// A reader whom a history could not answer asks again now.
    Answerable {
        /// The group.
        group: GroupName,
    },
    /// What members hold of this group is not what the history holds: take this instead.
    Resync {
        /// The group it is of.
        group: GroupName,
        /// Why.
        reason: GapReason,
        /// The last of the history, which what follows joins on to.
        page: Box<Page>,
    },
    /// Members have come or gone. Ephemeral: a reader that lost one asks for the roster.
    Presence(Arc<Attendance>),
    /// A message to an address behind this mailbox.
    Direct {
        /// The address, of which the owner reads [`ChannelName::local`].
        to: ChannelName,
        /// The message.
        message: Box<Message>,
    },
}

/// A message with its group and, once it has one, its position.
#[derive(Debug)]
pub struct Posted {
    /// The group it was sent to.
    pub group: GroupName,
    /// What it is known by, in every version.
    pub id: MessageId,
    /// Its place in the history; `None` for an ephemeral one, and for one that is still to be numbered.
    pub position: Option<Position>,
    /// Where it stood in earlier epochs, the latest first: it was lost there, and put back by a node that had it.
    pub was: Box<[Position]>,
    /// Whether it has, or will have, a place in the history.
    pub retention: Retention,
    /// What it is if it was amended; `None`: it is what was sent first. Boxed, for few are.
    pub version: Option<Box<Version>>,
    /// Who may amend it.
    pub owner: Option<Owner>,
    /// A member that does not get it.
    pub except: Option<ChannelName>,
    /// What it carries.
    pub body: Body,
    rendered: OnceLock<Bytes>,
}

impl Posted {
    /// `message` at `position` of `group`'s history; without one it is ephemeral.
    #[must_use]
    pub fn new(group: GroupName, message: Message, position: Option<Position>) -> Self {
        let Message { id, except, owner, body, .. } = message;
        let retention = if position.is_some() { Retention::Kept } else { Retention::Ephemeral };
        Self {
            group,
            id,
            position,
            was: Box::default(),
            retention,
            version: None,
            owner,
            except,
            body,
            rendered: OnceLock::new(),
        }
    }

    /// A message that is kept, and has no place in the history yet.
    pub(crate) fn unplaced(group: GroupName, message: Message) -> Self {
        Self { retention: Retention::Kept, ..Self::new(group, message, None) }
    }

    /// The message that this one became by an amendment.
    #[must_use]
    pub fn with_version(self, version: Version) -> Self {
        Self { version: Some(Box::new(version)), ..self }
    }

    /// The id under which it was sent: that of the amendment if it is one.
    #[must_use]
    pub fn sent_as(&self) -> MessageId {
        self.version.as_ref().map_or(self.id, |version| version.by)
    }

    /// What is kept instead of its digest once it was replaced. A dictionary finds a short text by its digest, so that has to
    /// go with the text; what is left tells of a repeat only what it amends, or that it amends nothing.
    #[must_use]
    pub fn bare_digest(&self) -> u64 {
        let amends = |version: &Version| Amends { target: self.id, amendment: version.amendment };
        bare_digest(self.version.as_deref().map(amends))
    }

    /// What `render` made of it, the first time that anybody on this node asked, for as long as it is kept: for what many will
    /// read.
    pub fn rendered(&self, render: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.rendered.get_or_init(|| render(self))
    }
}
