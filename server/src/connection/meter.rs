//! How fast clients speak, against how fast they may: for each connection by itself, and for a user's together.
//!
//! A bucket that holds a burst and fills by so much a second, kept as the one instant at which it would be full again:
//! nothing counts down, so a silent client costs nothing. Too much is refused, and owed all the same: who heeds
//! `retry_after_s` is served again, and who goes on falls further behind, to ten bursts, and is closed. Pure: who asks
//! says what time it is.

use crate::config::{Rate, Rates};
use palabre_protocol::RateLimited;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Who owes so many bursts was told so many times.
const FLOOD_BURSTS: u32 = 10;

/// Users that are known before those are looked for whose bucket is full again.
const USERS_MIN: usize = 1_024;

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// When it is full again: now or earlier when it is.
    full_at: Instant,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    what: &'static str,
    rate: Rate,
    /// Until there is room for the same again.
    wait: Duration,
}

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    TooFast(TooFast),
    /// It goes on and on.
    Flood,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `count`, whether it is there or not; gives how long it takes until it would have been.
    fn owe(&mut self, rate: Rate, count: u32, now: Instant) -> Duration {
        self.full_at = self.full_at.max(now) + time_of(rate, count);
        self.full_at.duration_since(now).saturating_sub(time_of(rate, rate.burst))
    }

    /// Takes `count` if it is there.
    pub(super) fn take(
        &mut self,
        what: &'static str,
        rate: Rate,
        count: u32,
        now: Instant,
    ) -> Result<(), TooFast> {
        let before = *self;
        let wait = self.owe(rate, count, now);
        if wait.is_zero() {
            return Ok(());
        }
        *self = before;
        Err(TooFast { what, rate, wait })
    }
}

/// How long a rate takes for so much.
fn time_of(rate: Rate, count: u32) -> Duration {
    Duration::from_secs(count.into()) / rate.per_s.get()
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
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let owed = [
            ("frames", rates.frames, self.frames.owe(rates.frames, frames, now)),
            ("bytes", rates.bytes, self.bytes.owe(rates.bytes, bytes, now)),
        ];
        if owed.iter().any(|(_, rate, wait)| *wait > (FLOOD_BURSTS - 1) * time_of(*rate, rate.burst)) {
            return Err(Over::Flood);
        }
        match owed.into_iter().max_by_key(|(_, _, wait)| *wait) {
            Some((what, rate, wait)) if !wait.is_zero() => Err(Over::TooFast(TooFast { what, rate, wait })),
            _ => Ok(()),
        }
    }
}

impl TooFast {
    /// What the client is told, once the words are there.
    pub(super) fn answer<'a>(&self, reference: Option<&'a str>, message: &'a str) -> RateLimited<'a> {
        let retry_after_s = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        let limit = self.rate.per_s.get().into();
        RateLimited { reference, group: None, message, limit, window_s: 1, retry_after_s }
    }

    /// The words.
    pub(super) fn message(&self) -> String {
        let Rate { per_s, burst } = self.rate;
        format!("more than {per_s} {} a second, and {burst} at once", self.what)
    }
}

/// The users of a node: each one's connections share a bucket, which is remembered until it is full again.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// Held for a look only.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    buckets: HashMap<Box<str>, Arc<Mutex<Bucket>>>,
    /// So many may be known before the next look for those that need not be.
    look_at: usize,
}

impl Users {
    /// A user's bucket. They stay bounded by twice the users that are here or have just spoken.
    pub(super) fn bucket(&self, id: &str, now: Instant) -> Arc<Mutex<Bucket>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.buckets.len() >= known.look_at.max(USERS_MIN) {
            known.buckets.retain(|_, bucket| {
                let is_full = || bucket.lock().unwrap_or_else(PoisonError::into_inner).full_at <= now;
                Arc::strong_count(bucket) > 1 || !is_full()
            });
            known.look_at = 2 * known.buckets.len();
        }
        let new = || Arc::new(Mutex::new(Bucket::new(now)));
        Arc::clone(known.buckets.entry(id.into()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_s: u32, burst: u32) -> Rate {
        Rate { per_s: per_s.try_into().unwrap(), burst }
    }

    fn rates() -> Rates {
        Rates { frames: rate(10, 20), bytes: rate(1_000, 5_000), user_requests: rate(10, 20) }
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
        assert_eq!(over.answer(None, "").retry_after_s, 1);
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

    #[test]
    fn a_user_s_connections_share_a_bucket_that_outlives_them_until_it_is_full() {
        let start = Instant::now();
        let users = Users::default();
        let take = |now| {
            let bucket = users.bucket("ana", now);
            bucket.lock().unwrap().take("requests", rates().user_requests, 10, now)
        };
        take(start).unwrap();
        take(start).unwrap();
        let over = take(start).unwrap_err();
        assert_eq!(over.wait, SECOND);
        // What was refused is not owed here: another connection may have said it.
        take(start + SECOND).unwrap();
        let filled = start + 10 * SECOND;
        for number in 0..5 * USERS_MIN {
            users.bucket(&number.to_string(), filled);
        }
        assert!(users.known.lock().unwrap().buckets.len() <= USERS_MIN + 1);
    }
}
