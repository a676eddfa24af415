//! What a group keeps, and how a reader goes on after an interruption.

use crate::{
    delivery::Posted,
    gap::{Gap, Hole},
    position::{Epoch, Position},
};
use std::sync::Arc;

/// Which part of a history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// What came after this position.
    After(Position),
    /// The last of what came before this position: a page back.
    Before(Position),
    /// The last messages.
    Latest,
}

/// A part of a history, oldest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Arc<Posted>>,
    /// The position of the history's last message when this was read; offset 0 when it never had one.
    pub head: Position,
    /// Whether the history holds more of what was asked for: later messages for [`Span::After`], older ones for
    /// [`Span::Before`] and [`Span::Latest`].
    pub more: bool,
}

/// Messages that come with a [`Recovered::Gap`], at most: enough for a screen.
pub(crate) const GAP_MESSAGES_MAX: usize = 100;

/// Why a reader cannot simply go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// What it lacks was dropped already: by count, bytes or age.
    Trimmed,
    /// The history does not know the reader's epoch: it was begun anew.
    UnknownEpoch,
    /// The history went back behind the reader's position: a backend lost what it had acknowledged.
    Rebuilt,
    /// There is more to catch up on than one answer carries.
    TooFar,
    /// A node that was on its own for long could not keep all that was sent there.
    SpoolOverflow,
    /// Whether a message was kept could not be known any more.
    Undecided,
    /// A backend lost what it had acknowledged, and nobody had it any more.
    Hole,
}

impl GapReason {
    /// The whole list.
    pub const ALL: &[Self] = &[
        Self::Trimmed,
        Self::UnknownEpoch,
        Self::Rebuilt,
        Self::TooFar,
        Self::SpoolOverflow,
        Self::Undecided,
        Self::Hole,
    ];

    /// The word for it on the wire and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Rebuilt => "rebuilt",
            Self::TooFar => "too_far",
            Self::SpoolOverflow => "spool_overflow",
            Self::Undecided => "undecided",
            Self::Hole => "hole",
        }
    }
}

/// What a reader got.
#[derive(Debug, Clone)]
pub enum Recovered {
    /// All that was asked for, without a hole.
    All(Page),
    /// Not that, but the last of what there is, and why.
    Gap(GapReason, Page),
}

impl Recovered {
    /// The page of either.
    #[must_use]
    pub fn page(&self) -> &Page {
        match self {
            Self::All(page) | Self::Gap(_, page) => page,
        }
    }
}

impl Page {
    /// What is announced in it to be lost that a reader at `known` has not seen: then it has not caught up by this.
    #[must_use]
    pub fn gap_after(&self, known: Position) -> Option<GapReason> {
        let is_seen = |hole: &Hole| hole.epoch == known.epoch && hole.last <= known.offset;
        let gaps = self.messages.iter().filter_map(|posted| Gap::of(posted));
        let mut unseen = gaps.filter(|gap| gap.holes.is_empty() || !gap.holes.iter().all(is_seen));
        unseen.next().map(|gap| gap.reason)
    }
}

/// A message that a node has, and a backend has lost.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// The message, with the position that it had.
    pub posted: Arc<Posted>,
    /// Of the epoch of that position: what stood behind this offset and before the message was amended since, and is no loss.
    pub after: u64,
}

/// The epochs of one history: the present one, and the past ones that a position may still name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The epoch that numbers now.
    pub epoch: Epoch,
    /// Earlier ones.
    pub past: Vec<PastEpoch>,
}

/// An epoch that numbers no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastEpoch {
    /// Its name.
    pub epoch: Epoch,
    /// Its offsets up to here are in the history as they were.
    pub base: u64,
    /// The highest of its offsets that anybody has shown.
    pub high: u64,
}

impl Lineage {
    /// A history that has had one epoch.
    #[must_use]
    pub fn of(epoch: Epoch) -> Self {
        Self { epoch, past: Vec::new() }
    }

    /// After which offset a reader at `known` goes on, when the last one is `head`.
    ///
    /// An epoch that lost nothing costs nobody anything: its offsets up to its base stay valid. What a past epoch had behind its base
    /// was put back, as far as anybody had it, and tells by its former positions who has seen it.
    ///
    /// # Errors
    ///
    /// [`GapReason::UnknownEpoch`] or [`GapReason::Rebuilt`].
    pub fn resume(&self, known: Position, head: u64) -> Result<u64, GapReason> {
        if known.epoch == self.epoch {
            return if known.offset <= head { Ok(known.offset) } else { Err(GapReason::Rebuilt) };
        }
        let past = self.past_epoch(known.epoch).ok_or(GapReason::UnknownEpoch)?;
        Ok(known.offset.min(past.base))
    }

    fn past_epoch(&self, epoch: Epoch) -> Option<&PastEpoch> {
        self.past.iter().find(|past| past.epoch == epoch)
    }

    /// Whether a position of a past epoch is as good as the same offset of the present one, which is `head` at most.
    pub(crate) fn has_kept(&self, position: Position, head: u64) -> bool {
        self.past_epoch(position.epoch).is_some_and(|past| position.offset <= past.base.min(head))
    }

    /// Whether what stood at a position is in the history, where it was or further on, or was said to be lost.
    pub(crate) fn accounts_for(&self, position: Position) -> bool {
        position.epoch == self.epoch
            || self.past_epoch(position.epoch).is_some_and(|past| position.offset <= past.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_a_past_epoch_is_good_up_to_its_base() {
        let [now, before, other] = [1, 2, 3].map(|n| Epoch::from_u64(n).unwrap());
        let lineage = Lineage { epoch: now, past: vec![PastEpoch { epoch: before, base: 10, high: 12 }] };
        let at = |epoch, offset| lineage.resume(Position { epoch, offset }, 20);
        assert_eq!(at(now, 20), Ok(20));
        assert_eq!(at(now, 21), Err(GapReason::Rebuilt));
        assert_eq!(at(before, 10), Ok(10));
        assert_eq!(at(before, 11), Ok(10), "what came after it may have been put back");
        assert_eq!(at(other, 1), Err(GapReason::UnknownEpoch));
        let kept = |offset, head| lineage.has_kept(Position { epoch: before, offset }, head);
        assert!(kept(10, 10) && !kept(11, 20) && !kept(10, 9));
        let accounted = |epoch, offset| lineage.accounts_for(Position { epoch, offset });
        assert!(accounted(now, 30) && accounted(before, 12));
        assert!(!accounted(before, 13) && !accounted(other, 1));
    }
}
