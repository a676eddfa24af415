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
    fanout: Load,
    groups: Load,
}

#[derive(Debug, Clone, Copy)]
struct Load {
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
            idle_sockets: 5_000,
            fanout: Load { groups: 1, members: 1_000, rate: 50 },
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
            fanout: Load { groups: 1, members: 100, rate: 50 },
            groups: Load { groups: 100, members: 5, rate: 500 },
        }
    }

    /// The load of this form.
    #[must_use]
    pub fn plan(&self, shape: Shape) -> Plan {
        let Load { groups, members, rate } = match shape {
            Shape::Fanout => self.fanout,
            Shape::Groups => self.groups,
        };
        Plan { shape, members, groups, rate, seconds: self.seconds }
    }
}
