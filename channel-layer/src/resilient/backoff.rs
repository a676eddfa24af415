//! How long to wait before the next try to connect (pure).

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MAX: Duration = Duration::from_secs(1);

/// Doubles from 50 ms to 1 s, with full jitter, for ever: one connection a second a node is nothing to a backend, and a
/// chat must be whole again at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `random` is uniform over all values.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(10)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        // Full jitter: nodes that lost the same backend must not come back in step.
        let ceiling_micros = u64::try_from(ceiling.as_micros()).expect("a second at most");
        Duration::from_micros(random % (ceiling_micros + 1))
    }

    /// The link held long enough to call the trouble over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_second_and_never_end() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..8)
            .map(|_| {
                let ceiling = FIRST.saturating_mul(1 << backoff.failures).min(MAX).as_micros();
                backoff.next(u64::try_from(ceiling).unwrap()).as_millis()
            })
            .collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        backoff.failures = u32::MAX;
        assert!(backoff.next(u64::MAX) <= MAX);
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= FIRST);
    }
}
