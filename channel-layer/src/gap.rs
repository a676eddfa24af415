//! A hole in a history that is known of: an entry of its own says so, to everybody who comes by.
//!
//! It is an event of a kind that no consumer has, so that a build that does not know it shows nobody anything and goes on. Its data
//! are words: the reason, how many messages are lost, and for each run of positions that nobody had any more its epoch, its first
//! offset and its last, with colons between: `hole 3 00000000000000ff:17:19`.

use crate::{
    delivery::{Delivery, Posted},
    history::GapReason,
    message::{Body, Message, MessageId},
    name::GroupName,
    position::{Epoch, Position},
};
use std::fmt::Write;

/// The kind of the event.
pub(crate) const KIND: &str = "layer.gap";

/// Runs of positions that are read of one entry; who is told of more of them is told enough.
const HOLES_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: GapReason,
    /// How many messages are lost.
    pub(crate) lost: u64,
    /// Which positions, if they had any.
    pub(crate) holes: Vec<Hole>,
}

/// A run of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Gap {
    pub(crate) fn message(&self, id: MessageId) -> Message {
        let mut words = format!("{} {}", self.reason.as_str(), self.lost);
        for Hole { epoch, first, last } in &self.holes {
            write!(words, " {epoch}:{first}:{last}").expect("a string takes all");
        }
        Message::event(id, KIND, words)
    }

    /// What members are given of it.
    pub(crate) fn delivery(&self, group: GroupName, position: Option<Position>) -> Delivery {
        Delivery::Gap { group, position, lost: self.lost, reason: self.reason }
    }

    /// What an entry says, if it is one of these.
    pub(crate) fn of(posted: &Posted) -> Option<Self> {
        let Body::Event { kind, data } = &posted.body else { return None };
        if **kind != *KIND {
            return None;
        }
        let mut words = std::str::from_utf8(data).ok()?.split(' ');
        let reason = words.next()?;
        let reason = *GapReason::ALL.iter().find(|known| known.as_str() == reason)?;
        let lost = words.next()?.parse().ok()?;
        let holes = words.take(HOLES_MAX).map(hole).collect::<Option<_>>()?;
        Some(Self { reason, lost, holes })
    }
}

fn hole(word: &str) -> Option<Hole> {
    let mut parts = word.split(':');
    let epoch = parts.next()?.parse().ok()?;
    let mut offset = || parts.next()?.parse().ok();
    Some(Hole { epoch, first: offset()?, last: offset()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: Message) -> Option<Gap> {
        Gap::of(&Posted::new("g".parse().unwrap(), message, None))
    }

    #[test]
    fn what_is_said_is_read_and_what_is_none_is_not() {
        let hole = |first, last| Hole { epoch: Epoch::from_u64(255).unwrap(), first, last };
        for holes in [vec![], vec![hole(17, 19)], vec![hole(1, 1), hole(3, 9)]] {
            let gap = Gap { reason: GapReason::Hole, lost: 3, holes };
            assert_eq!(read(gap.message(MessageId::from_u128(1))), Some(gap));
        }
        let id = MessageId::from_u128(1);
        assert_eq!(read(Message::frame(id, "hole 3")), None);
        for data in
            ["", "hole", "nothing 3", "hole three", "hole 3 ff:1:2", "hole 3 00000000000000ff:1", "hole 3 "]
        {
            assert_eq!(read(Message::event(id, KIND, data)), None, "{data}");
        }
        assert_eq!(read(Message::event(id, "other", "hole 3")), None);
    }
}
