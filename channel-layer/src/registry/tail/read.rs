//! What a tail says to a reader.

use super::{Before, Tail, TailRead, is_up_to};
use crate::history::{GAP_MESSAGES_MAX, GapReason, Page, Recovered, Span};
use std::sync::Arc;
use tokio::time::Instant;

impl Tail {
    pub(crate) fn read(&mut self, span: Span, messages_max: usize, now: Instant) -> TailRead {
        self.expire(now);
        let (Span::After(known) | Span::Before(known)) = span else {
            return self.up_to(self.entries.len(), messages_max);
        };
        match (self.lineage.resume(known, self.head), span) {
            // A copy may be behind: the position can come from another node, or from an answer that was quicker.
            (Err(_), _) if self.before != Before::Forgotten => TailRead::Elsewhere,
            (Err(reason), _) => self.gap(reason, messages_max),
            (Ok(offset), Span::Before(_)) => self.up_to(self.seen(offset.saturating_sub(1)), messages_max),
            (Ok(after), _) if after >= self.start => {
                TailRead::Here(Recovered::All(self.after(after, messages_max)))
            }
            // What a copy does not have of its history's beginning was trimmed, or amended: the backend knows which.
            (Ok(_), _) if self.before != Before::Forgotten => TailRead::Elsewhere,
            (Ok(_), _) => self.gap(GapReason::Trimmed, messages_max),
        }
    }

    /// What can be said without the backend, of a copy that may be behind: nothing of it is dropped for its age, for nobody else
    /// has it now.
    pub(crate) fn read_alone(&self, span: Span, messages_max: usize) -> TailRead {
        let (Span::After(known) | Span::Before(known)) = span else {
            return TailRead::Here(Recovered::All(self.last_of(self.entries.len(), messages_max)));
        };
        match (self.lineage.resume(known, self.head), span) {
            (Ok(offset), Span::Before(_)) => self.up_to(self.seen(offset.saturating_sub(1)), messages_max),
            (Ok(after), _) if after >= self.start => {
                TailRead::Here(Recovered::All(self.after(after, messages_max)))
            }
            _ => TailRead::Elsewhere,
        }
    }

    fn gap(&self, reason: GapReason, messages_max: usize) -> TailRead {
        let page = self.last_of(self.entries.len(), messages_max.min(GAP_MESSAGES_MAX));
        TailRead::Here(Recovered::Gap(reason, page))
    }

    /// The last of the first `count` entries, unless the backend has more of what is asked for.
    fn up_to(&self, count: usize, messages_max: usize) -> TailRead {
        if self.before == Before::Backend && count < messages_max {
            return TailRead::Elsewhere;
        }
        TailRead::Here(Recovered::All(self.last_of(count, messages_max)))
    }

    fn last_of(&self, count: usize, messages_max: usize) -> Page {
        let skip = count.saturating_sub(messages_max);
        let messages = self.entries.range(skip..count).map(|(_, posted)| Arc::clone(posted)).collect();
        Page { messages, head: self.head(), more: skip > 0 || self.before == Before::Backend }
    }

    /// How many entries stand at or before an offset.
    pub(super) fn seen(&self, offset: u64) -> usize {
        self.entries.partition_point(|(_, posted)| is_up_to(posted, offset))
    }

    fn after(&self, offset: u64, messages_max: usize) -> Page {
        let first = self.seen(offset);
        let last = self.entries.len().min(first.saturating_add(messages_max));
        let messages = self.entries.range(first..last).map(|(_, posted)| Arc::clone(posted)).collect();
        Page { messages, head: self.head(), more: last < self.entries.len() }
    }
}
