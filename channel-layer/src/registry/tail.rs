//! The last messages of one group, in memory: resume, repair and deduplication read from here (pure).
//!
//! In the memory layer a tail is the whole history; above a relay it is this node's copy of the end of it, and what
//! it cannot answer is read from the backend. Offsets rise; they may jump where the history dropped an entry.

use crate::{
    amend::Amendment,
    bounds::{Bounds, Kept},
    delivery::Posted,
    history::{Lineage, Page, Recovered},
    message::MessageId,
    position::Position,
    registry::ids::{IdIndex, Known},
};

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

mod lost;
mod read;

/// What a tail keeps at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailBounds {
    pub(crate) kept: Kept,
    /// Of each of two generations of ids.
    pub(crate) ids: usize,
}

impl TailBounds {
    /// Of the tail that is the whole history.
    pub(crate) fn of_history(bounds: &Bounds) -> Self {
        Self { kept: bounds.history, ids: bounds.ids }
    }

    /// Of a node's copy: it knows at least the ids of what it holds, for the backend knows them all.
    pub(crate) fn of_copy(bounds: &Bounds) -> Self {
        Self { kept: bounds.tail, ids: bounds.tail.messages.saturating_mul(2).max(1) }
    }
}

/// Past epochs of which a copy knows where it stood.
const LEFT_MAX: usize = 8;

/// What an id costs in the index, roughly.
const ID_BYTES: usize = 64;

/// What an entry costs beside its body, roughly: its header, its name, its place in the index.
const ENTRY_OVERHEAD_BYTES: usize = 200;

#[derive(Debug)]
pub(crate) struct Tail {
    bounds: TailBounds,
    lineage: Lineage,
    /// The offset of the last message of the history.
    head: u64,
    /// Where the copy stood in earlier epochs, the latest last.
    left: Vec<Position>,
    /// Everything after this offset is here.
    start: u64,
    before: Before,
    entries: VecDeque<(Instant, Arc<Posted>)>,
    bytes: usize,
    ids: IdIndex,
    /// Where the newest version of each amended message stands that is here.
    newest: HashMap<MessageId, u64>,
}

/// What there is of the history at or before a tail's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing, ever: this tail is the history.
    Forgotten,
    /// Nothing as yet, but what this tail drops stays in the backend.
    Nothing,
    /// More, in the backend.
    Backend,
}

/// What a tail says to a reader.
#[derive(Debug)]
pub(crate) enum TailRead {
    Here(Recovered),
    /// The backend may have it.
    Elsewhere,
}

impl Tail {
    /// The tail of a history whose last message, at `head`, is not in it.
    pub(crate) fn new(bounds: TailBounds, lineage: Lineage, head: u64, before: Before) -> Self {
        Self {
            bounds,
            lineage,
            head,
            left: Vec::new(),
            start: head,
            before,
            entries: VecDeque::new(),
            bytes: 0,
            ids: IdIndex::default(),
            newest: HashMap::new(),
        }
    }

    /// A copy of a history whose last page is this.
    pub(crate) fn of_page(bounds: TailBounds, lineage: Lineage, page: &Page) -> Self {
        let first = page.messages.first().and_then(|posted| posted.position);
        let start = first.map_or(page.head.offset, |first| first.offset - 1);
        let before = if page.more { Before::Backend } else { Before::Nothing };
        let mut tail = Self::new(bounds, lineage, start, before);
        for posted in &page.messages {
            tail.append(Arc::clone(posted), 0, Instant::now());
        }
        tail.pass(page.head.offset);
        tail
    }

    pub(crate) fn head(&self) -> Position {
        Position { epoch: self.lineage.epoch, offset: self.head }
    }

    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// A new epoch goes on where this tail stands.
    pub(crate) fn set_lineage(&mut self, lineage: Lineage) {
        let left = std::mem::replace(&mut self.lineage, lineage).epoch;
        if left != self.lineage.epoch {
            self.leave(Position { epoch: left, offset: self.head });
        }
    }

    fn leave(&mut self, left: Position) {
        self.left.push(left);
        if self.left.len() > LEFT_MAX {
            self.left.remove(0);
        }
    }

    /// The copy that takes the place of this one: what was seen stays seen.
    pub(crate) fn succeeded_by(&self, mut next: Self) -> Self {
        self.left.iter().for_each(|left| next.leave(*left));
        if self.lineage.epoch != next.lineage.epoch {
            next.leave(self.head());
        }
        next
    }

    /// Whether what stands at a position has come by here.
    pub(crate) fn has_seen(&self, position: Position) -> bool {
        let is_behind = |seen: &Position| seen.epoch == position.epoch && position.offset <= seen.offset;
        let head = self.head();
        is_behind(&head) || self.left.iter().any(is_behind) || self.lineage.has_kept(position, head.offset)
    }

    pub(crate) fn find(&self, id: MessageId) -> Option<Known> {
        self.ids.find(id)
    }

    /// The newest version of a message, if it is here.
    pub(crate) fn newest(&self, id: MessageId) -> Option<&Arc<Posted>> {
        self.index_of(id).map(|index| &self.entries[index].1)
    }

    /// Whether a message is here, and was not deleted.
    pub(crate) fn holds(&self, id: MessageId) -> bool {
        let is_deleted = |posted: &Posted| {
            posted.version.as_ref().is_some_and(|version| version.amendment == Amendment::Delete)
        };
        self.newest(id).is_some_and(|posted| !is_deleted(posted))
    }

    fn index_of(&self, id: MessageId) -> Option<usize> {
        let first = || self.ids.find(id).map(|(position, _)| position.offset);
        let offset = self.newest.get(&id).copied().or_else(first)?;
        let index = self.seen(offset.checked_sub(1)?);
        // An amendment's own id is in the index too, and stands for no message.
        self.entries.get(index).is_some_and(|(_, posted)| posted.id == id).then_some(index)
    }

    /// Whether a message whose sender stood at `floor` may have been numbered and forgotten since.
    pub(crate) fn forgets_after(&self, floor: Position) -> bool {
        let floor = if floor.epoch == self.lineage.epoch {
            floor.offset
        } else {
            self.lineage
                .past
                .iter()
                .find(|past| past.epoch == floor.epoch)
                .map_or(0, |past| past.base.min(floor.offset))
        };
        self.ids.forgets_after(floor)
    }

    /// Takes the next message of the history; an amended one in the place of what it was. What has no position is no part
    /// of it.
    pub(crate) fn append(&mut self, posted: Arc<Posted>, digest: u64, now: Instant) {
        let Some(position) = posted.position else { return };
        self.head = position.offset;
        if posted.version.is_some() {
            if let Some((_, replaced)) = self.index_of(posted.id).and_then(|index| self.entries.remove(index))
            {
                self.bytes -= size(&replaced);
                self.ids.set_digest(replaced.sent_as(), replaced.bare_digest());
            }
            self.newest.insert(posted.id, position.offset);
        }
        self.ids.insert(posted.sent_as(), (position, digest), self.bounds.ids);
        self.bytes += size(&posted);
        self.entries.push_back((now, posted));
        self.expire(now);
    }

    /// Passes over what comes up to an offset and is not to be kept; never goes back.
    pub(crate) fn pass(&mut self, offset: u64) {
        self.head = self.head.max(offset);
    }

    /// Drops what is over a bound.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((at, oldest)) = self.entries.front() {
            let Kept { messages, bytes, age } = self.bounds.kept;
            let held = self.entries.len();
            let over = held > messages || (self.bytes > bytes && held > 1) || now.duration_since(*at) > age;
            if !over {
                return;
            }
            self.start = oldest.position.map_or(self.start, |position| position.offset);
            self.bytes -= size(oldest);
            if oldest.version.is_some() {
                self.newest.remove(&oldest.id);
            }
            self.entries.pop_front();
            if self.before == Before::Nothing {
                self.before = Before::Backend;
            }
        }
    }

    /// How many messages it holds.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What it weighs in memory, roughly: each body once more as it was rendered, and the index.
    pub(crate) fn weight(&self) -> usize {
        2 * self.bytes + self.ids.len() * ID_BYTES
    }

    /// Drops what it has, and goes on where it stands.
    pub(crate) fn forget(&mut self) {
        self.entries = VecDeque::new();
        self.newest = HashMap::new();
        self.bytes = 0;
        self.ids.forget(self.head);
        self.start = self.head;
        if self.before == Before::Nothing {
            self.before = Before::Backend;
        }
    }

    /// Whether nothing is left that anybody could ask for.
    pub(crate) fn is_spent(&mut self, now: Instant) -> bool {
        self.expire(now);
        self.entries.is_empty()
    }
}

fn is_up_to(posted: &Posted, offset: u64) -> bool {
    posted.position.is_some_and(|at| at.offset <= offset)
}

fn size(posted: &Posted) -> usize {
    posted.body.data().len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{GapReason, PastEpoch, Span},
        message::Message,
        position::Epoch,
    };
    use std::time::Duration;

    const BOUNDS: TailBounds =
        TailBounds { kept: Kept { messages: 3, bytes: 100_000, age: Duration::from_secs(60) }, ids: 100 };

    fn epoch(n: u64) -> Epoch {
        Epoch::from_u64(n).unwrap()
    }

    fn at(offset: u64) -> Position {
        Position { epoch: epoch(1), offset }
    }

    fn filled(offsets: std::ops::RangeInclusive<u64>, before: Before) -> Tail {
        let mut tail = Tail::new(BOUNDS, Lineage::of(epoch(1)), offsets.start() - 1, before);
        for offset in offsets {
            let message = Message::frame(MessageId::from_u128(offset.into()), vec![0; 10]);
            let posted = Posted::new("g".parse().unwrap(), message, Some(at(offset)));
            tail.append(Arc::new(posted), 0, Instant::now());
        }
        tail
    }

    fn offsets(read: TailRead) -> Option<(Option<GapReason>, Vec<u64>, bool)> {
        let TailRead::Here(recovered) = read else { return None };
        let reason = match &recovered {
            Recovered::All(_) => None,
            Recovered::Gap(reason, _) => Some(*reason),
        };
        let page = recovered.page();
        let offsets = page.messages.iter().map(|posted| posted.position.unwrap().offset).collect();
        Some((reason, offsets, page.more))
    }

    fn after(tail: &mut Tail, position: Position) -> Option<(Option<GapReason>, Vec<u64>, bool)> {
        offsets(tail.read(Span::After(position), 2, Instant::now()))
    }

    #[test]
    fn a_reader_gets_what_it_missed_or_a_reason() {
        let mut tail = filled(1..=5, Before::Forgotten);
        assert_eq!(after(&mut tail, at(5)), Some((None, vec![], false)));
        assert_eq!(after(&mut tail, at(2)), Some((None, vec![3, 4], true)));
        assert_eq!(after(&mut tail, at(1)), Some((Some(GapReason::Trimmed), vec![4, 5], true)));
        assert_eq!(after(&mut tail, at(6)), Some((Some(GapReason::Rebuilt), vec![4, 5], true)));
        let stranger = Position { epoch: epoch(9), offset: 5 };
        assert_eq!(after(&mut tail, stranger), Some((Some(GapReason::UnknownEpoch), vec![4, 5], true)));
    }

    #[test]
    fn a_reader_goes_back_page_by_page_to_the_first_that_is_kept() {
        let mut tail = filled(1..=5, Before::Forgotten);
        let mut before = |offset| offsets(tail.read(Span::Before(at(offset)), 2, Instant::now()));
        assert_eq!(before(5), Some((None, vec![3, 4], false)));
        assert_eq!(before(4), Some((None, vec![3], false)));
        assert_eq!(before(1), Some((None, vec![], false)), "there is nothing before the first");
        assert_eq!(before(6), Some((Some(GapReason::Rebuilt), vec![4, 5], true)));
        let mut copy = filled(1..=5, Before::Nothing);
        let mut before = |offset, max| offsets(copy.read(Span::Before(at(offset)), max, Instant::now()));
        assert_eq!(before(5, 2), Some((None, vec![3, 4], true)), "what it dropped is in the backend");
        assert_eq!(before(5, 3), None);
        assert_eq!(before(2, 1), None);
        assert_eq!(before(6, 1), None, "a copy may be behind");
    }

    #[test]
    fn what_a_copy_dropped_is_asked_of_the_backend() {
        let mut short = filled(1..=2, Before::Nothing);
        assert_eq!(offsets(short.read(Span::Latest, 3, Instant::now())), Some((None, vec![1, 2], false)));
        let mut tail = filled(1..=5, Before::Nothing);
        assert_eq!(after(&mut tail, at(1)), None);
        assert_eq!(offsets(tail.read(Span::Latest, 4, Instant::now())), None);
        assert_eq!(offsets(tail.read(Span::Latest, 3, Instant::now())), Some((None, vec![3, 4, 5], true)));
    }

    #[test]
    fn a_copy_that_begins_behind_what_was_amended_does_not_call_that_trimmed() {
        let messages: Vec<_> =
            filled(2..=3, Before::Nothing).entries.into_iter().map(|(_, posted)| posted).collect();
        let page = Page { messages, head: at(3), more: false };
        let mut tail = Tail::of_page(BOUNDS, Lineage::of(epoch(1)), &page);
        assert_eq!(after(&mut tail, at(1)), Some((None, vec![2, 3], false)));
        assert_eq!(after(&mut tail, at(0)), None, "the backend knows what became of the first");
    }

    #[test]
    fn a_copy_that_may_be_behind_refuses_no_position() {
        let mut tail = filled(1..=2, Before::Nothing);
        assert_eq!(after(&mut tail, at(3)), None, "the answer to a send can be here before its copy");
        assert_eq!(after(&mut tail, Position { epoch: epoch(9), offset: 1 }), None);
    }

    #[test]
    fn a_new_epoch_that_lost_nothing_leaves_positions_valid() {
        let mut tail = filled(1..=3, Before::Nothing);
        let past = vec![PastEpoch { epoch: epoch(1), base: 3, high: 3 }];
        tail.set_lineage(Lineage { epoch: epoch(2), past });
        assert_eq!(after(&mut tail, at(2)), Some((None, vec![3], false)));
        assert_eq!(tail.head(), Position { epoch: epoch(2), offset: 3 });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_is_gone() {
        let mut tail = filled(1..=3, Before::Forgotten);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(tail.is_spent(Instant::now()));
        assert_eq!(after(&mut tail, at(3)), Some((None, vec![], false)));
        assert_eq!(after(&mut tail, at(2)), Some((Some(GapReason::Trimmed), vec![], false)));
    }

    #[test]
    fn the_last_message_stays_however_large_it_is() {
        let kept = Kept { bytes: 1_000, ..BOUNDS.kept };
        let mut tail = Tail::new(TailBounds { kept, ..BOUNDS }, Lineage::of(epoch(1)), 0, Before::Forgotten);
        for offset in 1..=2 {
            let message = Message::frame(MessageId::from_u128(offset.into()), vec![0; 2_000]);
            tail.append(
                Arc::new(Posted::new("g".parse().unwrap(), message, Some(at(offset)))),
                0,
                Instant::now(),
            );
        }
        assert_eq!(offsets(tail.read(Span::Latest, 10, Instant::now())), Some((None, vec![2], false)));
    }

    #[test]
    fn an_ephemeral_message_leaves_no_trace() {
        let mut tail = filled(1..=1, Before::Forgotten);
        let message = Message::frame(MessageId::random(), "{}");
        tail.append(Arc::new(Posted::new("g".parse().unwrap(), message, None)), 0, Instant::now());
        assert_eq!(tail.head(), at(1));
    }
}
