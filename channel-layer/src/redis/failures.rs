//! What is said of connections that cannot be made: the first at once, then one line a minute.

use crate::{redis::SUMMARY_EVERY, relay::LinkError};
use tokio::time::Instant;

/// How often connecting has failed in a row, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u64,
    said: Option<Instant>,
    /// It has worked before, so a failure is an outage and no beginning.
    has_worked: bool,
}

impl Failures {
    /// Logs how connecting went: the first failure at once, then one line a minute.
    pub(super) fn log(&mut self, why: Option<&LinkError>) {
        let Some(why) = why else {
            *self = Self { has_worked: true, ..Self::default() };
            tracing::info!(event = "layer.redis.connected", "connected to Redis");
            return;
        };
        self.count += 1;
        let failures = self.count;
        if self.said.is_some_and(|said| said.elapsed() < SUMMARY_EVERY) {
            return;
        }
        self.said = Some(Instant::now());
        if failures == 1 && !self.has_worked {
            tracing::warn!(
                event = "layer.redis.initial_failed", %why, "Redis is not there yet; trying for ever, up to once a second"
            );
        } else {
            tracing::error!(event = "layer.redis.connect_failed", %why, failures, "cannot connect to Redis");
        }
    }
}
