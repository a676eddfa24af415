//! How much of everything a report measures: the full sizes, and the quick ones that only show that all works.

use crate::plan::{Plan, Shape};

/// The sizes of a report.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Runs of each load.
    pub runs: u32,
    /// Length of each sending phase.
    pub seconds: u32,
    /// Messages of the flood.
    pub flood_frames: u64,
    /// Sockets that do nothing.
    pub idle_sockets: u32,
    /// Sockets of a storm, and how many are on their way in at any time.
    pub storm: (u32, u32),
    /// One group, few messages: what a delivery costs by itself.
    pub fanout: Load,
    /// One group, more messages than can be written one by one.
    pub pressure: Load,
    /// Many small groups.
    pub groups: Load,
}

/// One load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    groups: u32,
    members: u32,
    rate: u32,
}

impl Sizes {
    /// What figures are taken from.
    #[must_use]
    pub fn full() -> Self {
        Self {
            runs: 3,
            seconds: 10,
            flood_frames: 1_000_000,
            idle_sockets: 10_000,
            storm: (5_000, 500),
            fanout: Load { groups: 1, members: 1_000, rate: 50 },
            pressure: Load { groups: 1, members: 1_000, rate: 700 },
            groups: Load { groups: 1_000, members: 5, rate: 5_000 },
        }
    }

    /// Done within seconds, with fewer sockets than the 1,024 files that most shells allow.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            runs: 1,
            seconds: 2,
            flood_frames: 20_000,
            idle_sockets: 200,
            storm: (400, 100),
            fanout: Load { groups: 1, members: 100, rate: 50 },
            pressure: Load { groups: 1, members: 100, rate: 500 },
            groups: Load { groups: 100, members: 5, rate: 500 },
        }
    }
}

impl Load {
    /// The same load at another rate.
    #[must_use]
    pub fn at(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// Messages a second.
    #[must_use]
    pub fn rate(self) -> u32 {
        self.rate
    }

    /// This load for so long.
    #[must_use]
    pub fn plan(self, seconds: u32) -> Plan {
        let Self { groups, members, rate } = self;
        let shape = if groups == 1 { Shape::Fanout } else { Shape::Groups };
        Plan { shape, members, groups, rate, seconds }
    }
}
