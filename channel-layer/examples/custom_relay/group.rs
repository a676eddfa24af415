//! One group in the broker: its numbers, its history, its ids.

use channel_layer::{
    Amendment, Amends, Epoch, GapReason, GroupName, Lineage, Message, MessageId, Page, Position, Posted,
    Recovered, Span, Verdict, Version,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// What a group keeps.
const MESSAGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;
pub(crate) const IDS_MAX: usize = 4_000;

/// What a gap brings.
const LATEST_MAX: usize = 100;

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) head: Position,
    /// Oldest first. Offsets rise; what was amended is not there any more.
    entries: VecDeque<Arc<Posted>>,
    bytes: usize,
    /// All up to this offset was dropped for a bound.
    trimmed: u64,
    ids: HashMap<MessageId, (Position, u64)>,
    /// The ids, oldest first; those up to this offset are forgotten.
    order: VecDeque<MessageId>,
    forgotten: u64,
    /// Generation and number of each node's last publish. Whose is not there is fenced, and opens again.
    pub(crate) chains: HashMap<String, (u64, u64)>,
}

impl Group {
    pub(crate) fn new(epoch: Epoch) -> Self {
        let head = Position { epoch, offset: 0 };
        let (entries, ids, order, chains) = Default::default();
        Self { head, entries, bytes: 0, trimmed: 0, ids, order, forgotten: 0, chains }
    }

    /// Numbers a message and keeps it, unless something is to be said against it.
    pub(crate) fn keep(&mut self, name: GroupName, message: Message) -> Result<Arc<Posted>, Verdict> {
        let (id, digest, amends) = (message.id, message.digest(), message.amends());
        if let Some((position, known)) = self.ids.get(&id) {
            return Err(if message.repeats(*known) { Verdict::Known(*position) } else { Verdict::Conflict });
        }
        // Where its sender stood at the first try; of another epoch's nothing is seen here.
        let floor =
            message.floor.filter(|floor| floor.epoch == self.head.epoch).map_or(0, |floor| floor.offset);
        if floor < self.forgotten {
            return Err(Verdict::Undecided);
        }
        let version = amends.map(|amends| self.take_place(&message, amends)).transpose()?;
        self.head.offset += 1;
        let mut posted = Posted::new(name, message, Some(self.head));
        if let (Some(Amends { target, .. }), Some(version)) = (amends, version) {
            posted.id = target;
            posted = posted.with_version(version);
        }
        let posted = Arc::new(posted);
        self.bytes += posted.body.data().len();
        self.entries.push_back(Arc::clone(&posted));
        while self.entries.len() > MESSAGES_MAX || (self.bytes > BYTES_MAX && self.entries.len() > 1) {
            let Some(dropped) = self.entries.pop_front() else { break };
            self.bytes -= dropped.body.data().len();
            self.trimmed = offset(&dropped);
        }
        self.ids.insert(id, (self.head, digest));
        self.order.push_back(id);
        if self.order.len() > IDS_MAX {
            let oldest = self.order.pop_front().and_then(|id| self.ids.remove(&id));
            self.forgotten = oldest.map_or(self.forgotten, |(position, _)| position.offset);
        }
        Ok(posted)
    }

    /// Takes what is amended out of the history, and gives what the new version is; or why not.
    fn take_place(&mut self, message: &Message, amends: Amends) -> Result<Version, Verdict> {
        let at =
            self.entries.iter().rposition(|posted| posted.id == amends.target).ok_or(Verdict::NotFound)?;
        let old = &self.entries[at];
        let (number, first, was) = match &old.version {
            Some(version) => (version.number, version.first, Some(version.amendment)),
            None => (1, old.position, None),
        };
        if was == Some(Amendment::Delete) {
            return Err(Verdict::NotFound);
        }
        if old.owner.is_none() || old.owner != message.owner {
            return Err(Verdict::Forbidden);
        }
        let sent_as = old.version.as_ref().map_or(old.id, |version| version.by);
        if let Some((_, digest)) = self.ids.get_mut(&sent_as) {
            *digest = old.bare_digest();
        }
        self.bytes -= old.body.data().len();
        self.entries.remove(at);
        Ok(Version { number: number + 1, first, by: message.id, amendment: amends.amendment })
    }

    /// A part of the history, as `Relay::read` says.
    pub(crate) fn read(&self, span: Span, messages_max: usize) -> Recovered {
        let head = self.head.offset;
        let seen = |upto: u64| self.entries.partition_point(|posted| offset(posted) <= upto);
        let page = |from: usize, to: usize, more| {
            Recovered::All(Page {
                messages: self.entries.range(from..to).cloned().collect(),
                head: self.head,
                more,
            })
        };
        // The last of the first `count` entries.
        let last_of = |count: usize, messages_max| {
            let from = count.saturating_sub(messages_max);
            page(from, count, from > 0)
        };
        let gap = |reason| {
            let latest = last_of(self.entries.len(), messages_max.min(LATEST_MAX));
            Recovered::Gap(reason, latest.page().clone())
        };
        let resume = |known| Lineage::of(self.head.epoch).resume(known, head);
        match span {
            Span::Latest => last_of(self.entries.len(), messages_max),
            Span::Before(known) => match resume(known) {
                Ok(before) => last_of(seen(before.saturating_sub(1)), messages_max),
                Err(reason) => gap(reason),
            },
            Span::After(known) => match resume(known) {
                Ok(after) if after < self.trimmed => gap(GapReason::Trimmed),
                Ok(after) => {
                    let from = seen(after);
                    let to = self.entries.len().min(from.saturating_add(messages_max));
                    page(from, to, to < self.entries.len())
                }
                Err(reason) => gap(reason),
            },
        }
    }
}

fn offset(posted: &Posted) -> u64 {
    posted.position.map_or(0, |position| position.offset)
}
