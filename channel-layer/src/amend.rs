//! Editing and deleting what is kept: who may, and what an amended message is.
//!
//! An amendment is a message of its own, with an id and a place in the order like any other, whose body takes the place of
//! its target's: the history keeps the newest version alone. Whether a text was replaced or taken back is the sender's
//! to say in the body; the layer knows only that nothing follows a deletion.

use crate::{
    delivery::Posted,
    error::{Error, Result},
    message::{Message, MessageId},
    position::Position,
};

/// Whose a message is: 64 bits that mean nothing to the layer, a hash of the user for instance. Only its owner may amend
/// a message; one without an owner stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u64);

impl Owner {
    /// The owner of a number.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The owner as a number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// What an amendment makes of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amendment {
    /// The new body stands for the old one, and may be amended in its turn.
    Replace,
    /// The new body is all that is left, and final: what was deleted is not found any more.
    Delete,
}

/// Which message another one takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amends {
    /// The id of the message, whatever amended it before.
    pub target: MessageId,
    /// What becomes of it.
    pub amendment: Amendment,
}

/// What a message is that was amended: not what was sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 2 after the first amendment, and so on.
    pub number: u64,
    /// Where version 1 stood: its place on a screen. `None`: it has not been numbered yet.
    pub first: Option<Position>,
    /// The id of the amendment itself.
    pub by: MessageId,
    /// What it was.
    pub amendment: Amendment,
}

impl Version {
    /// What the amendment `by` makes of `present`, the newest version of its target, if it may.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when that was deleted, [`Error::Forbidden`] when it has another owner, or none.
    pub(crate) fn after(present: &Posted, by: &Message, amendment: Amendment) -> Result<Self> {
        let (number, first) = match &present.version {
            Some(version) if version.amendment == Amendment::Delete => return Err(Error::NotFound),
            Some(version) => (version.number, version.first),
            None => (1, present.position),
        };
        if present.owner.is_none() || present.owner != by.owner {
            return Err(Error::Forbidden);
        }
        Ok(Self { number: number + 1, first, by: by.id, amendment })
    }
}
