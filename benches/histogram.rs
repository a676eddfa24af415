//! Durations in microseconds, counted in buckets of 1.6 % at most: constant memory for any length of run.
//!
//! Below 64 a bucket is one value; above, each power of two has 64 buckets. A quantile is the upper edge of its
//! bucket, never less than the truth; the greatest value is exact.

const STEPS: u64 = 64;
const STEPS_LOG2: u32 = 6;

/// Counts of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, us: u64) {
        let bucket = bucket_of(us);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max_us(&self) -> u64 {
        self.max_us
    }

    /// What `percent` of the recorded values do not exceed; 0 when there are none.
    pub(crate) fn percentile_us(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return upper_edge(bucket).min(self.max_us);
            }
        }
        0
    }
}

fn bucket_of(us: u64) -> usize {
    let shift = us.max(1).ilog2().saturating_sub(STEPS_LOG2);
    let bucket = u64::from(shift) * STEPS + (us >> shift);
    usize::try_from(bucket).expect("there are fewer than 4,000 buckets")
}

fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_within_its_bucket_and_buckets_are_narrow() {
        for us in (0..10_000).chain([65_535, 65_536, 123_456_789]) {
            let edge = upper_edge(bucket_of(us));
            assert!(edge >= us && edge - us <= us / 64, "{us} counted as {edge}");
        }
    }

    #[test]
    fn percentiles_of_an_even_spread_are_where_they_should_be() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_us(50), 0);
        (1..=1_000).for_each(|us| histogram.record(us));
        assert!((500..=508).contains(&histogram.percentile_us(50)));
        assert!((990..=1_000).contains(&histogram.percentile_us(99)));
        assert_eq!(
            (histogram.percentile_us(100), histogram.max_us(), histogram.count()),
            (1_000, 1_000, 1_000)
        );
    }
}
