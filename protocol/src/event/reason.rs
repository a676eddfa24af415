//! Why a history has a hole: a closed list.

use std::fmt;

/// What `joined`, `gap` and `resync` give as their `reason`. `docs/protocol.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The history no longer reaches back so far.
    Trimmed,
    /// Nothing in the history knows the position's epoch.
    UnknownEpoch,
    /// The history was lost, and built again from what the nodes had.
    Rebuilt,
    /// An outage outlasted what a node could keep for the others.
    SpoolOverflow,
    /// It can no longer be known whether a message is in the history.
    Undecided,
    /// The parts that the nodes had do not touch.
    Hole,
    /// More was missed than one answer holds.
    TooFar,
}

impl Reason {
    /// The whole closed list.
    pub const ALL: &[Self] = &[
        Self::Trimmed,
        Self::UnknownEpoch,
        Self::Rebuilt,
        Self::SpoolOverflow,
        Self::Undecided,
        Self::Hole,
        Self::TooFar,
    ];

    /// The reason as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Rebuilt => "rebuilt",
            Self::SpoolOverflow => "spool_overflow",
            Self::Undecided => "undecided",
            Self::Hole => "hole",
            Self::TooFar => "too_far",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
