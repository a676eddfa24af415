//! The section `[history]`: how much of each group is kept, and of all of them.

use std::time::Duration;

use channel_layer::{Bounds, Kept};

use crate::config::kinds::{count, duration, size};
use crate::config::values::Values;

/// A snapshot shows 50, and a page comes after it.
const MESSAGES_MIN: usize = 100;
/// What follows an amended message is written again in one step, while nobody else is served.
const MESSAGES_MAX: usize = 10_000;
const IDS_MIN: usize = 1_000;
const IDS_MAX: usize = 1_000_000;
/// Messages of a node that Redis does not have yet.
const SPOOL_MAX: usize = 500_000;
/// A month: beyond it a database does better.
const AGE_MAX: Duration = Duration::from_hours(31 * 24);

/// The section `[history]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// What is kept of a group, in Redis or without it on this node; the end of it that a node has beside Redis; the ids that
    /// are known of a group; the bytes of all groups on a node.
    pub bounds: Bounds,
}

impl History {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let Bounds { history, tail, ids, spool, node_bytes } = Bounds::default();
        let history = Kept {
            messages: from.value("messages", count(MESSAGES_MIN..=MESSAGES_MAX), history.messages),
            bytes: from.value("bytes", size(64 << 10..=64 << 20), history.bytes),
            age: from.value("age", duration(Duration::from_mins(1)..=AGE_MAX), history.age),
        };
        // A part that nobody set is no more than the whole that somebody did.
        let part_age = duration(Duration::from_secs(1)..=Duration::from_hours(1));
        let tail = Kept {
            messages: from.value("tail_messages", count(10..=1_000), tail.messages.min(history.messages)),
            bytes: from.value("tail_bytes", size(16 << 10..=16 << 20), tail.bytes.min(history.bytes)),
            age: from.value("tail_age", part_age, tail.age.min(history.age)),
        };
        let spool = Kept {
            messages: from.value("spool_messages", count(0..=SPOOL_MAX), spool.messages),
            bytes: from.value("spool_bytes", size(0..=1 << 30), spool.bytes),
            age: from.value(
                "spool_age",
                duration(Duration::from_secs(1)..=Duration::from_hours(24)),
                spool.age,
            ),
        };
        let ids = from.value("ids", count(IDS_MIN..=IDS_MAX), ids);
        let node_bytes = from.value("node_bytes", size(16 << 20..=64 << 30), node_bytes);
        Self { bounds: Bounds { history, tail, ids, spool, node_bytes } }
    }

    /// The rules between the settings of this section.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let Bounds { history, tail, ids, spool, .. } = self.bounds;
        let ids_min = spool.messages + 2 * tail.messages;
        if ids < ids_min {
            let why = format!(
                "ids are known for as long as a message may wait for Redis: at least {ids_min}, or lower history.spool_messages"
            );
            return Err(("history.ids", why));
        }
        let exceeds = [
            ("history.tail_messages", "messages", tail.messages > history.messages),
            ("history.tail_bytes", "bytes", tail.bytes > history.bytes),
            ("history.tail_age", "age", tail.age > history.age),
        ];
        match exceeds.into_iter().find(|(.., exceeds)| *exceeds) {
            Some((key, whole, _)) => Err((
                key,
                format!(
                    "a node's part of a history cannot be more than the whole: raise history.{whole}, or lower this"
                ),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, settings::tests::refusal};

    #[test]
    fn a_part_that_is_more_than_the_whole_is_refused() {
        let mut settings = Settings::default();
        settings.check().unwrap();
        settings.history.bounds.history.messages = 99;
        assert_eq!(refusal(&settings), "history.tail_messages");
        settings = Settings::default();
        settings.history.bounds.spool.messages = 12_000;
        assert_eq!(refusal(&settings), "history.ids");
        settings = Settings::default();
        settings.history.bounds.tail.bytes = 2 << 20;
        assert_eq!(refusal(&settings), "history.tail_bytes");
        settings = Settings::default();
        settings.history.bounds.history.age = settings.history.bounds.tail.age / 2;
        assert_eq!(refusal(&settings), "history.tail_age");
    }
}
