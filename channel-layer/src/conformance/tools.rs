//! What cases of both suites share: names, messages that are numbers, numbers drawn from a seed.

use crate::{
    delivery::Posted,
    history::{GapReason, Page, Recovered},
    message::{Message, MessageId},
    name::GroupName,
};
use std::env;

pub(super) fn group(name: &str) -> GroupName {
    name.parse().expect("the suite's names are good ones")
}

/// A message whose id and body are this number.
pub(super) fn message(number: u64) -> Message {
    Message::frame(id(number), number.to_string())
}

pub(super) fn id(number: u64) -> MessageId {
    MessageId::from_u128(number.into())
}

/// The number of a message that [`message`] made.
pub(super) fn number(id: MessageId) -> u64 {
    u64::try_from(id.as_u128()).unwrap_or(u64::MAX)
}

pub(super) fn numbers_of(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|posted| number(posted.id)).collect()
}

/// The offset of a kept message; 0 of an ephemeral one.
pub(super) fn offset(posted: &Posted) -> u64 {
    posted.position.map_or(0, |position| position.offset)
}

/// An answer's reason, if it is a gap, its numbers, and whether there is more.
pub(super) fn read(recovered: &Recovered) -> (Option<GapReason>, Vec<u64>, bool) {
    let reason = match recovered {
        Recovered::All(_) => None,
        Recovered::Gap(reason, _) => Some(*reason),
    };
    (reason, numbers_of(recovered.page()), recovered.page().more)
}

/// Says that a case had nothing to look at.
#[expect(clippy::print_stdout, reason = "whoever runs the suite is told what it left out")]
pub(super) fn not_applicable(why: &str) {
    println!("not looked at: {why}");
}

/// Numbers that follow from a seed (`SplitMix64`).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// From `CONFORMANCE_SEED` or drawn, and printed, so that what failed can be run again.
    #[expect(clippy::print_stdout, reason = "a seed that nobody is told is none")]
    pub(super) fn seeded() -> Self {
        let given = env::var("CONFORMANCE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(crate::random_u64);
        println!("CONFORMANCE_SEED={seed}");
        Self(seed)
    }

    /// Others that follow from these, for somebody who draws on their own.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
