//! What is said again and again is said a few times, and then once a minute with a count (pure).
//!
//! A place in the code that logs may do so five times within a minute; that shows a failure and its end several times over.
//! More than that is one failure that repeats: the rest is counted, and from then on there is one line a minute, until a
//! minute has passed with fewer.

use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// Lines of one place within a minute.
const LINES_MAX: u32 = 5;

/// What was said lately, by place. There are as many as there are lines of code that log.
#[derive(Debug)]
pub(super) struct Repeats<P> {
    places: HashMap<P, Place>,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    lines_max: u32,
    lines: u32,
    /// What was not said since the last line.
    unsaid: u64,
}

impl<P: Eq + Hash> Repeats<P> {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new() }
    }

    /// Whether `place` may say something now; then, how often it could not since it last did.
    pub(super) fn say(&mut self, place: P, now: Instant) -> Option<u64> {
        let place = self.places.entry(place).or_insert(Place {
            since: now,
            lines_max: LINES_MAX,
            lines: 0,
            unsaid: 0,
        });
        if now.duration_since(place.since) >= WINDOW {
            place.lines_max = if place.unsaid > 0 { 1 } else { LINES_MAX };
            place.since = now;
            place.lines = 0;
        }
        if place.lines >= place.lines_max {
            place.unsaid += 1;
            return None;
        }
        place.lines += 1;
        Some(std::mem::take(&mut place.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_line_a_minute_and_loses_no_count() {
        let (mut repeats, begun) = (Repeats::new(), Instant::now());
        let mut said = Vec::new();
        // Ten a second for three minutes, and then once more.
        for tenth in 0..1_800 {
            if let Some(unsaid) = repeats.say("place", begun + Duration::from_millis(100 * tenth)) {
                said.push((tenth / 10, unsaid));
            }
        }
        assert_eq!(said, [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (60, 595), (120, 599)]);
        assert_eq!(repeats.say("place", begun + Duration::from_secs(180)), Some(599));
    }

    #[test]
    fn what_happens_now_and_then_is_always_said_and_places_do_not_share() {
        let (mut repeats, begun) = (Repeats::new(), Instant::now());
        for minute in 0..100_u64 {
            for place in ["a", "b", "c", "d", "e", "f"] {
                assert_eq!(repeats.say(place, begun + Duration::from_secs(15 * minute)), Some(0));
            }
        }
    }
}
