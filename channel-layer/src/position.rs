//! Where a message stands in its group's history, and how far it got.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// One uninterrupted life of a group's history: random, compared for equality only.
///
/// There is no order between epochs: with two masters the greater number can be on the dying branch.
/// 16 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(NonZeroU64);

impl Epoch {
    /// An epoch that nobody else has drawn.
    #[must_use]
    pub fn random() -> Self {
        Self::drawn(crate::random_u64)
    }

    /// An epoch of the first number drawn that is one.
    pub(crate) fn drawn(mut random: impl FnMut() -> u64) -> Self {
        loop {
            if let Some(epoch) = Self::from_u64(random()) {
                return epoch;
            }
        }
    }

    /// The epoch of a number; zero is none.
    #[must_use]
    pub fn from_u64(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The epoch as a number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for Epoch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 16 {
            return Err(());
        }
        u64::from_str_radix(text, 16).ok().and_then(Self::from_u64).ok_or(())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// A place in a group's history. It names one message for ever; the first message of a group has offset 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the history in which the message was numbered.
    pub epoch: Epoch,
    /// Its number. Numbers go on across epochs for as long as the backend keeps the group.
    pub offset: u64,
}

/// Offsets without a message that a reader is taken past one by one; beyond it a jump costs less.
const MISSING_MAX: u64 = 256;

impl Position {
    /// The later of two positions. Where the epochs differ that is `other`, which was read last.
    pub(crate) fn or_later(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.epoch != self.epoch || other.offset > self.offset => other,
            _ => self,
        }
    }

    /// The positions between `before` and this one, in which a history that has both next to each other holds nothing: what
    /// stood there was amended since, and stands further on. None where they are too many to be gone through.
    pub fn missing_after(self, before: Self) -> impl Iterator<Item = Self> {
        let first = before.offset.saturating_add(1);
        let is_short = self.offset.saturating_sub(first) <= MISSING_MAX;
        let missing = first..if is_short { self.offset } else { first };
        missing.map(move |offset| Self { offset, ..self })
    }
}

/// How far something reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The members on this node.
    Node,
    /// The members on every node.
    Cluster,
}

impl Scope {
    /// The word for it on the wire and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }
}
