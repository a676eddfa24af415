//! How fast connections are taken in, so that a storm of them leaves those who are here already their time.
//!
//! Pure: the time is an argument. Whoever is too early waits in the kernel's backlog, and is refused nothing.

use std::time::Duration;
use tokio::time::Instant;

/// How much may come at once, as the time in which it would have come at the allowed rate.
const BURST: Duration = Duration::from_millis(100);

/// So many a second, evenly, but for a burst.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Between two at the allowed rate.
    step: Duration,
    /// When the next one would come, had all come evenly.
    due: Option<Instant>,
}

impl Pace {
    /// At least one a second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { step: Duration::from_secs(1) / per_second.max(1), due: None }
    }

    /// Takes one in, or says how long it has to wait.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let due = self.due.map_or(now, |due| due.max(now));
        match due.duration_since(now).checked_sub(BURST) {
            Some(early) if !early.is_zero() => Err(early),
            _ => {
                self.due = Some(due + self.step);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are taken in when ever more wait than may come.
    fn taken(per_second: u32, during: Duration) -> u32 {
        let start = Instant::now();
        let (mut pace, mut now, mut taken) = (Pace::new(per_second), start, 0);
        while now - start < during {
            match pace.take(now) {
                Ok(()) => taken += 1,
                Err(wait) => now += wait,
            }
        }
        taken
    }

    #[test]
    fn a_storm_is_taken_in_at_the_rate_and_a_burst() {
        let second = Duration::from_secs(1);
        assert_eq!(taken(1_000, second), 1_100);
        assert_eq!(taken(1_000, 10 * second), 10_100);
        assert_eq!(taken(1, 10 * second), 11);
    }

    #[test]
    fn who_comes_slowly_never_waits_and_saves_no_more_than_a_burst() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000);
        for step in 0..100 {
            pace.take(start + step * Duration::from_millis(1)).unwrap();
        }
        let later = start + Duration::from_secs(3_600);
        let at_once = (0..1_000).take_while(|_| pace.take(later).is_ok()).count();
        assert_eq!(at_once, 101);
    }
}
