//! How far each user has read in each group: one position, which only goes forward.

use channel_layer::{Answer, GroupName, Owner, Position};
use std::fmt;

/// Users of a group whose position is kept. In a larger group nobody counts what they have not read.
pub const USERS_MAX: usize = 300;

/// The read positions of all groups.
pub trait Reads: Send + Sync + fmt::Debug + 'static {
    /// Takes a position that the group's history knows, in its present epoch, and gives the one that holds now: within an
    /// epoch the greater one. One of an earlier epoch gives way.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](channel_layer::Error::TooLarge): [`USERS_MAX`] others have one.
    /// [`Unavailable`](channel_layer::Error::Unavailable).
    fn advance(&self, group: &GroupName, user: Owner, position: Position) -> Answer<Position>;

    /// How far the user has read; `None` when that was never said, or is as old as a history gets.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](channel_layer::Error::Unavailable).
    fn of(&self, group: &GroupName, user: Owner) -> Answer<Option<Position>>;
}
