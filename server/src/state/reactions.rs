//! Reactions: per message, kind and user one mark that is given or taken back.
//!
//! Merged like ballots: of what one user said of one kind the greatest version holds, whatever came first, and the same
//! again changes nothing. Counts are kept beside the marks, so that reading them costs no more than there are kinds.

use channel_layer::{Answer, GroupName, MessageId, Owner};
use std::fmt;

/// Kinds that one message may have; on a screen they stand in a row.
pub const KINDS_MAX: usize = 20;

/// Marks that are kept of one message, given or taken back: a crowd's, and no more than a megabyte.
pub const MARKS_MAX: usize = 10_000;

/// Messages of a group that have reactions; of more the oldest lose theirs. As many as a history keeps.
pub const MESSAGES_MAX: usize = 1_000;

/// What one user says of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Who says it.
    pub user: Owner,
    /// Of which kind.
    pub kind: String,
    /// What is said.
    pub mark: Mark,
    /// The user's own count; `None`: later than what was said before, by the clock.
    pub version: Option<u64>,
}

/// Whether a reaction is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is given.
    On,
    /// It is taken back.
    Off,
}

/// A message's reactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many have given each kind, by kind; none that nobody gives.
    pub counts: Vec<(String, u64)>,
    /// Rises with each change, and never falls, even if what is kept was lost between.
    pub rev: u64,
}

/// A message's reactions, as one user sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Everybody's.
    pub tally: Tally,
    /// The kinds that this user has given.
    pub mine: Vec<String>,
}

/// The reactions to the messages of all groups.
pub trait Reactions: Send + Sync + fmt::Debug + 'static {
    /// Takes a reaction to a kept message; gives the tally if it is another one now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](channel_layer::Error::NotFound): the message is not in the history, or was deleted.
    /// [`TooLarge`](channel_layer::Error::TooLarge): it has [`KINDS_MAX`] kinds or [`MARKS_MAX`] marks already.
    /// [`Unavailable`](channel_layer::Error::Unavailable).
    fn react(&self, group: &GroupName, target: MessageId, reaction: Reaction) -> Answer<Option<Tally>>;

    /// The reactions to some messages as `user` sees them, in the order of the messages; empty for those without.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](channel_layer::Error::Unavailable).
    fn of(&self, group: &GroupName, targets: Vec<MessageId>, user: Owner) -> Answer<Vec<Seen>>;

    /// Drops the reactions to a message that was deleted.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](channel_layer::Error::Unavailable): they go with the history.
    fn forget(&self, group: &GroupName, target: MessageId) -> Answer<()>;
}
