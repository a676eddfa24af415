//! How fast something may be done, and by whom it was done how often.
//!
//! A bucket that holds a burst and fills by so much a second, kept as the one instant at which it would be full again:
//! nothing counts down, so who is silent costs nothing. Pure: who asks says what time it is.

use crate::config::Rate;
use palabre_protocol::RateLimited;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Users that are known before those are looked for whose bucket is full again.
const USERS_MIN: usize = 1_024;

/// What is left of a rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// When it is full again: now or earlier when it is.
    full_at: Instant,
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFast {
    /// Whose and of what, in the plural.
    pub(crate) what: &'static str,
    pub(crate) rate: Rate,
    /// Until there is room for the same again.
    pub(crate) wait: Duration,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes `count`, whether it is there or not; gives how long it takes until it would have been.
    pub(crate) fn owe(&mut self, rate: Rate, count: u32, now: Instant) -> Duration {
        if self.full_at <= now && count <= rate.burst {
            self.full_at = now + time_of(rate, count);
            return Duration::ZERO;
        }
        self.full_at = self.full_at.max(now) + time_of(rate, count);
        self.full_at.duration_since(now).saturating_sub(time_of(rate, rate.burst))
    }

    /// Takes `count` if it is there.
    pub(crate) fn take(
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
pub(crate) fn time_of(rate: Rate, count: u32) -> Duration {
    Duration::from_nanos(u64::from(count) * 1_000_000_000 / u64::from(rate.per_s.get()))
}

impl TooFast {
    /// What the client is told, once the words are there.
    pub(crate) fn answer<'a>(
        &self,
        reference: Option<&'a str>,
        group: Option<&'a str>,
        message: &'a str,
    ) -> RateLimited<'a> {
        let retry_after_s = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        let limit = self.rate.per_s.get().into();
        RateLimited { reference, group, message, limit, window_s: 1, retry_after_s }
    }

    /// The words.
    pub(crate) fn message(&self) -> String {
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
    pub(crate) fn bucket(&self, id: &str, now: Instant) -> Arc<Mutex<Bucket>> {
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

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_user_s_connections_share_a_bucket_that_outlives_them_until_it_is_full() {
        let start = Instant::now();
        let users = Users::default();
        let rate = Rate { per_s: 10.try_into().unwrap(), burst: 20 };
        let take = |now| {
            let bucket = users.bucket("ana", now);
            bucket.lock().unwrap().take("requests", rate, 10, now)
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
