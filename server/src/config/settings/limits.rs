//! The section `[limits]`: how fast clients may speak.

use std::num::NonZeroU32;

use crate::config::kinds::{count, size};
use crate::config::values::Values;

/// Past these a limit is none, and a bucket's arithmetic still has room.
const COUNT_MAX: u32 = 1_000_000;
const BYTES_MAX: u32 = 1 << 30;

/// The longest message fits a bucket, or it could never be sent.
const BURST_BYTES_MIN: u32 = 64 << 10;

/// A `leave` of all groups that a connection may be in fits a bucket, and so does the longest `join`.
const BURST_REQUESTS_MIN: u32 = 200;

/// How much of something is taken: so much at once, and then so much a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What comes back each second.
    pub per_s: NonZeroU32,
    /// What may come at once, after a while without any.
    pub burst: u32,
}

/// The section `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// WebSocket frames of one connection, of any kind: messages, their fragments, pings.
    pub frames: Rate,
    /// Bytes of one connection's messages.
    pub bytes: Rate,
    /// Requests of one user on this node, over all connections; a `join` or `leave` is one for each group.
    pub user_requests: Rate,
    /// Edits and deletions of one connection.
    pub edits: Rate,
    /// Those of one user on this node, over all connections.
    pub user_edits: Rate,
}

impl Rates {
    /// Of [`Rates::edits`]: people mend a message now and then.
    pub const EDITS: Rate = Rate { per_s: NonZeroU32::MIN, burst: 20 };

    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let mut rate = |name: &str, per_s: u32, burst_min: u32, burst: u32| Rate {
            per_s: non_zero(from.value(&format!("{name}_per_s"), count(1..=COUNT_MAX), per_s)),
            burst: from.value(&format!("{name}_burst"), count(burst_min..=COUNT_MAX), burst),
        };
        let frames = rate("frames", 50, 1, 500);
        let user_requests = rate("user_requests", 100, BURST_REQUESTS_MIN, 1_000);
        let edits = rate("edits", Self::EDITS.per_s.get(), 1, Self::EDITS.burst);
        let user_edits = rate("user_edits", 2, 1, 40);
        let bytes = Rate {
            per_s: non_zero(from.value("bytes_per_s", size(1_024..=BYTES_MAX), 128 << 10)),
            burst: from.value("bytes_burst", size(BURST_BYTES_MIN..=BYTES_MAX), 1 << 20),
        };
        Self { frames, bytes, user_requests, edits, user_edits }
    }

    /// Rates that nothing reaches: for a hub whose clients are its own, as in a measurement.
    #[must_use]
    pub fn unlimited() -> Self {
        let rate = |most| Rate { per_s: non_zero(most), burst: most };
        let (many, bytes) = (rate(COUNT_MAX), rate(BYTES_MAX));
        Self { frames: many, bytes, user_requests: many, edits: many, user_edits: many }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::read(&mut Values::new(&[]))
    }
}

fn non_zero(per_s: u32) -> NonZeroU32 {
    NonZeroU32::new(per_s).unwrap_or(NonZeroU32::MIN)
}
