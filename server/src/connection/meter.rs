//! How fast a connection speaks, against how fast it may.
//!
//! Too much is refused, and owed all the same: who heeds `retry_after_s` is served again, and who goes on falls further
//! behind, to ten bursts, and is closed. Pure: who asks says what time it is.

use crate::{
    config::Rates,
    consumer::rate::{Bucket, TooFast, time_of},
};
use tokio::time::Instant;

/// Who owes so many bursts was told so many times.
const FLOOD_BURSTS: u32 = 10;

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    TooFast(TooFast),
    /// It goes on and on.
    Flood,
}

/// One connection's frames and bytes.
#[derive(Debug)]
pub(super) struct Meter {
    frames: Bucket,
    bytes: Bucket,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { frames: Bucket::new(now), bytes: Bucket::new(now) }
    }

    /// Takes what came in.
    pub(super) fn take(
        &mut self,
        rates: &Rates,
        frames: u32,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Over> {
        if frames == 0 && bytes == 0 {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let owed = [
            ("frames", rates.frames, self.frames.owe(rates.frames, frames, now)),
            ("bytes", rates.bytes, self.bytes.owe(rates.bytes, bytes, now)),
        ];
        if owed.iter().all(|(_, _, wait)| wait.is_zero()) {
            return Ok(());
        }
        if owed.iter().any(|(_, rate, wait)| *wait > (FLOOD_BURSTS - 1) * time_of(*rate, rate.burst)) {
            return Err(Over::Flood);
        }
        let [frames, bytes] = owed;
        let (what, rate, wait) = if frames.2 > bytes.2 { frames } else { bytes };
        Err(Over::TooFast(TooFast { what, rate, wait }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;
    use std::time::Duration;

    fn rate(per_s: u32, burst: u32) -> Rate {
        Rate { per_s: per_s.try_into().unwrap(), burst }
    }

    fn rates() -> Rates {
        Rates { frames: rate(10, 20), bytes: rate(1_000, 5_000), ..Rates::unlimited() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for _ in 0..20 {
            meter.take(&rates(), 1, 10, start).unwrap();
        }
        let Err(Over::TooFast(over)) = meter.take(&rates(), 1, 10, start) else {
            panic!("it is one too many")
        };
        assert_eq!((over.what, over.wait), ("frames", SECOND / 10));
        assert_eq!(over.answer(None, None, "").retry_after_s, 1);
        for second in 1..=100 {
            for _ in 0..9 {
                meter.take(&rates(), 1, 10, start + second * SECOND).unwrap();
            }
        }
    }

    #[test]
    fn who_waits_as_told_is_served_and_who_goes_on_is_a_flood() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let mut patient = 0;
        while let Ok(()) = meter.take(&rates(), 1, 1_000, start) {
            patient += 1;
        }
        assert_eq!(patient, 5);
        let Err(Over::TooFast(over)) = meter.take(&rates(), 1, 1_000, start) else {
            panic!("still too much")
        };
        assert_eq!(over.what, "bytes");
        meter.take(&rates(), 1, 0, start + over.wait).unwrap();
        let mut refused = 0;
        while meter.take(&rates(), 1, 1_000, start) != Err(Over::Flood) {
            refused += 1;
        }
        assert!((40..=50).contains(&refused), "{refused} refusals before the end");
    }
}
