//! The section `[drain]`: how a node ends when it is told to.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::kinds::{count, duration};
use crate::config::values::Values;

/// Whatever is longer would be killed before, by whoever told it to end.
const TIMES_MAX: Duration = Duration::from_mins(10);
/// More arrivals than any node takes in within a second.
const RATE_MAX: u32 = 100_000;

/// The section `[drain]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// How long new clients are still taken after `/readyz` says no; up to 10 min.
    pub delay: Duration,
    /// Over how long the clients leave at most; up to 10 min.
    pub window: Duration,
    /// How many of them leave in a second, 1 to 100,000.
    pub rate: NonZeroU32,
    /// When the process ends whoever is left; 1 s to 30 min.
    pub timeout: Duration,
}

impl Drain {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let times = || duration(Duration::ZERO..=TIMES_MAX);
        let timeouts = duration(Duration::from_secs(1)..=3 * TIMES_MAX);
        Self {
            delay: from.value("delay", times(), Duration::ZERO),
            window: from.value("window", times(), Duration::from_secs(10)),
            rate: NonZeroU32::new(from.value("rate", count(1..=RATE_MAX), 1_000)).unwrap_or(NonZeroU32::MIN),
            timeout: from.value("timeout", timeouts, Duration::from_secs(30)),
        }
    }

    /// What does not fit together.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        // The last clients have five seconds for their goodbye.
        let longest = self.delay + self.window + Duration::from_secs(5);
        if self.timeout >= longest {
            return Ok(());
        }
        let longest = humantime::format_duration(longest);
        Err((
            "drain.timeout",
            format!("must be at least {longest}: drain.delay, drain.window and five seconds"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_must_be_left_for_all_of_it() {
        let mut drain = Drain::read(&mut Values::new(&[]));
        drain.check().unwrap();
        drain.delay = Duration::from_secs(20);
        let (key, why) = drain.check().unwrap_err();
        assert!(key == "drain.timeout" && why.contains("at least 35s"), "{why}");
        drain.timeout = Duration::from_secs(35);
        drain.check().unwrap();
    }
}
