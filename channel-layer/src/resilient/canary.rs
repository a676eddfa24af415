//! Whether what is published comes back: a message to this node itself, again and again (pure).
//!
//! Half of a link can hang in silence, and publishes to nobody succeed. Only what has made the whole way proves the way.

use std::time::Duration;
use tokio::time::Instant;

/// From one to the next while all is well, and up to a tenth more, so that nodes do not keep step: 750 ms and 5 % more or less.
const EVERY: Duration = Duration::from_millis(715);

/// The same until it is known that all is well.
const EVERY_UNSURE: Duration = Duration::from_millis(500);

/// How long one may take.
const TAKES_MAX: Duration = Duration::from_millis(500);

/// So many in a row that did not come back are an outage.
const MISSES_MAX: u32 = 3;

/// So many in a row that came back, over as long a time, are none any more.
const STEADY: u32 = 3;
const STEADY_FOR: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    /// Send the one of this number.
    Send(u64),
    /// One is missing.
    Suspect,
    /// Nothing comes back any more.
    GiveUp,
}

/// Those of one link.
#[derive(Debug)]
pub(super) struct Canary {
    /// The number of the last one that was sent.
    number: u64,
    /// Since when it is away.
    sent: Option<Instant>,
    next_at: Instant,
    misses: u32,
    /// How many have come back in a row, and when the first of them and the last did.
    good: u32,
    good_since: Instant,
    good_at: Instant,
}

impl Canary {
    /// The first is sent at once. Numbers go on from those of the link before, whose last ones may still arrive.
    pub(super) fn new(now: Instant, before: Option<&Self>) -> Self {
        let number = before.map_or(0, |before| before.number);
        Self { number, sent: None, next_at: now, misses: 0, good: 0, good_since: now, good_at: now }
    }

    pub(super) fn wakes_at(&self) -> Instant {
        self.sent.map_or(self.next_at, |sent| sent + TAKES_MAX)
    }

    /// It is later. `random` draws from all values.
    pub(super) fn wake(&mut self, now: Instant, random: impl FnOnce() -> u64) -> Act {
        if now < self.wakes_at() {
            return Act::Nothing;
        }
        if self.sent.take().is_some() {
            self.misses += 1;
            self.good = 0;
            return if self.misses >= MISSES_MAX { Act::GiveUp } else { Act::Suspect };
        }
        self.number += 1;
        self.sent = Some(now);
        let every = if self.is_steady() { EVERY } else { EVERY_UNSURE };
        let tenth = u64::try_from(every.as_micros() / 10).expect("less than a second");
        self.next_at = now + every + Duration::from_micros(random() % (tenth + 1));
        Act::Send(self.number)
    }

    /// One has come back: after how long, if it was waited for.
    pub(super) fn came_back(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let sent = self.sent.take_if(|_| number == self.number)?;
        if self.good == 0 {
            self.good_since = now;
        }
        (self.misses, self.good, self.good_at) = (0, self.good.saturating_add(1), now);
        Some(now.duration_since(sent))
    }

    /// Something else speaks against it: what was good so far does not count.
    pub(super) fn doubt(&mut self) {
        self.good = 0;
    }

    /// Whether one has come back.
    pub(super) fn is_back(&self) -> bool {
        self.good > 0
    }

    /// Whether they have come back for so long that the trouble is over.
    pub(super) fn is_steady(&self) -> bool {
        self.good >= STEADY && self.good_at.duration_since(self.good_since) >= STEADY_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets time pass to where the canary wakes, and wakes it.
    fn go_on(canary: &mut Canary, now: &mut Instant) -> Act {
        *now = canary.wakes_at().max(*now);
        canary.wake(*now, || 0)
    }

    #[test]
    fn three_that_do_not_come_back_are_an_outage_found_within_three_seconds() {
        let start = Instant::now();
        let mut now = start;
        let mut canary = Canary::new(now, None);
        for number in 1..=4 {
            assert_eq!(go_on(&mut canary, &mut now), Act::Send(number));
            canary.came_back(number, now);
        }
        let hangs_at = now;
        for number in 5..=7 {
            assert_eq!(go_on(&mut canary, &mut now), Act::Send(number));
            let act = go_on(&mut canary, &mut now);
            assert_eq!(act, if number == 7 { Act::GiveUp } else { Act::Suspect });
        }
        assert!(now.duration_since(hangs_at) < Duration::from_secs(3), "{:?}", now.duration_since(hangs_at));
    }

    #[test]
    fn one_that_comes_back_late_is_no_outage_and_those_of_an_earlier_link_say_nothing() {
        let mut now = Instant::now();
        let mut canary = Canary::new(now, None);
        for _ in 0..10 {
            assert!(matches!(go_on(&mut canary, &mut now), Act::Send(_)));
            assert_eq!(go_on(&mut canary, &mut now), Act::Suspect);
            let Act::Send(number) = go_on(&mut canary, &mut now) else { panic!("one is due") };
            canary.came_back(number - 1, now);
            assert!(!canary.is_back(), "it was too late");
            canary.came_back(number, now);
            assert!(canary.is_back());
        }
        let mut next = Canary::new(now, Some(&canary));
        let Act::Send(number) = go_on(&mut next, &mut now) else { panic!("the first is due at once") };
        next.came_back(canary.number, now);
        assert!(!next.is_back());
        next.came_back(number, now);
        assert!(next.is_back());
    }

    #[test]
    fn the_trouble_is_over_after_three_over_a_second() {
        let start = Instant::now();
        let mut now = start;
        let mut canary = Canary::new(now, None);
        for expected in 1..=3 {
            assert!(!canary.is_steady());
            assert_eq!(go_on(&mut canary, &mut now), Act::Send(expected));
            canary.came_back(expected, now);
        }
        assert!(canary.is_steady() && now.duration_since(start) == STEADY_FOR);
        canary.doubt();
        assert!(!canary.is_steady());
    }
}
