//! A backend as the scripts of Redis make one, in memory: what they refuse, what they number, what they know again.

use crate::{
    delivery::Posted,
    gap::{Gap, Hole},
    history::{GapReason, Lineage, Page, PastEpoch, Recovered, Remembered, Span},
    message::{Message, MessageId},
    name::GroupName,
    position::{Epoch, Position},
    relay::{Chain, LinkError, Opened, Opening, Outgoing, Verdict},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

const PAST_MAX: usize = 12;

/// What a backend keeps of a group at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeps {
    pub(super) messages: usize,
    pub(super) ids: u64,
    /// Of the latest, with an opening by who has nothing.
    pub(super) tail: usize,
}

#[derive(Debug, Clone)]
pub(super) struct History {
    epoch: Epoch,
    life: u64,
    last: u64,
    past: Vec<PastEpoch>,
    trimmed: u64,
    pub(super) entries: BTreeMap<u64, Arc<Posted>>,
    ids: HashMap<MessageId, (Position, Option<u64>)>,
    forgotten: u64,
    chains: HashMap<u64, (Epoch, Chain)>,
}

/// What is passed on to whoever is subscribed.
pub(super) type Push = (GroupName, Arc<Posted>);

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) keeps: Keeps,
    /// Another one after each restart.
    pub(super) life: u64,
    /// It takes no writes.
    pub(super) is_full: bool,
    pub(super) groups: BTreeMap<GroupName, History>,
}

impl Backend {
    pub(super) fn open(&mut self, node: u64, opening: &Opening) -> Result<Opened, LinkError> {
        self.writable()?;
        let (life, keeps) = (self.life, self.keeps);
        let history = self.groups.entry(opening.group.clone()).or_insert_with(|| History {
            epoch: opening.epoch,
            life,
            last: 0,
            past: Vec::new(),
            trimmed: 0,
            entries: BTreeMap::new(),
            ids: HashMap::new(),
            forgotten: 0,
            chains: HashMap::new(),
        });
        if history.life != life {
            let left = PastEpoch { epoch: history.epoch, base: history.last, high: history.last };
            history.past.insert(0, left);
            history.past.truncate(PAST_MAX);
            (history.epoch, history.life) = (opening.epoch, life);
        }
        let (epoch, generation) = (history.epoch, opening.generation);
        let mine = history.chains.get(&node);
        if mine.is_none_or(|(of, chain)| *of != epoch || chain.generation < generation) {
            history.chains.insert(node, (epoch, Chain { generation, seq: 0 }));
        }
        let (span, messages_max) = match opening.known {
            Some(known) => (Span::After(known), opening.entries_max),
            None => (Span::Latest, keeps.tail),
        };
        Ok(Opened { lineage: history.lineage(), recovered: history.part(span, messages_max, keeps.tail) })
    }

    pub(super) fn publish(
        &mut self,
        node: u64,
        outgoing: &Outgoing,
    ) -> (Result<Verdict, LinkError>, Option<Push>) {
        let Outgoing { group, message, place } = outgoing;
        let Some((epoch, chain)) = place else {
            let posted = Arc::new(Posted::new(group.clone(), message.clone(), None));
            return (Ok(Verdict::Sent), Some((group.clone(), posted)));
        };
        if let Err(full) = self.writable() {
            return (Err(full), None);
        }
        let keeps = self.keeps;
        let Some(history) = self.groups.get_mut(group) else { return (Ok(Verdict::Stale), None) };
        let follows_on = Chain { seq: chain.seq - 1, ..*chain };
        if history.chains.get(&node) != Some(&(*epoch, follows_on)) {
            let is_present = history.epoch == *epoch;
            return (Ok(if is_present { Verdict::Fenced } else { Verdict::Stale }), None);
        }
        history.chains.insert(node, (*epoch, *chain));
        if let Some((position, digest)) = history.ids.get(&message.id) {
            let is_same = digest.is_none_or(|digest| digest == message.digest());
            return (Ok(if is_same { Verdict::Known(*position) } else { Verdict::Conflict }), None);
        }
        let floor = message.floor.map_or(0, |floor| match floor.epoch == history.epoch {
            true => floor.offset,
            false => history.past(floor.epoch).map_or(0, |past| past.base.min(floor.offset)),
        });
        if floor < history.forgotten {
            return (Ok(Verdict::Undecided), None);
        }
        let posted = history.keep(group, message.clone(), &[], Some(message.digest()), keeps);
        let position = posted.position.expect("it was numbered");
        (Ok(Verdict::Placed(position)), Some((group.clone(), posted)))
    }

    pub(super) fn put_back(
        &mut self,
        group: &GroupName,
        epoch: Epoch,
        lost: &[Remembered],
    ) -> (Result<(), LinkError>, Vec<Push>) {
        if let Err(full) = self.writable() {
            return (Err(full), Vec::new());
        }
        let keeps = self.keeps;
        let Some(history) = self.groups.get_mut(group).filter(|history| history.epoch == epoch) else {
            return (Ok(()), Vec::new());
        };
        let mut pushed = Vec::new();
        let mut declared: HashMap<Epoch, u64> = HashMap::new();
        for Remembered { posted, after } in lost {
            let position = posted.position.expect("what has been kept has one");
            let was = posted.was.iter().map(|was| (*was, was.offset.saturating_sub(1)));
            for (label, after) in std::iter::once((position, *after)).chain(was) {
                let is_new = declared.insert(label.epoch, label.offset).is_none_or(|last| last < after);
                if is_new && after > 0 {
                    pushed.extend(history.hole(group, label.epoch, after, keeps));
                }
            }
            pushed.extend(history.put_back(group, posted, keeps));
        }
        (Ok(()), pushed.into_iter().map(|posted| (group.clone(), posted)).collect())
    }

    pub(super) fn read(
        &self,
        group: &GroupName,
        span: Span,
        messages_max: usize,
    ) -> Result<Recovered, LinkError> {
        let history = self.groups.get(group).ok_or(LinkError::Unopened)?;
        Ok(history.part(span, messages_max, messages_max.min(self.keeps.tail)))
    }

    fn writable(&self) -> Result<(), LinkError> {
        if self.is_full { Err(LinkError::Refused("OOM".to_owned())) } else { Ok(()) }
    }
}

impl History {
    fn lineage(&self) -> Lineage {
        Lineage { epoch: self.epoch, past: self.past.clone() }
    }

    fn past(&self, epoch: Epoch) -> Option<&PastEpoch> {
        self.past.iter().find(|past| past.epoch == epoch)
    }

    fn part(&self, span: Span, messages_max: usize, latest_max: usize) -> Recovered {
        let head = Position { epoch: self.epoch, offset: self.last };
        let latest = |max: usize| {
            let messages: Vec<_> = self.entries.values().rev().take(max).cloned().collect();
            let more = self.entries.len() > messages.len();
            Page { messages: messages.into_iter().rev().collect(), head, more }
        };
        let Span::After(known) = span else { return Recovered::All(latest(messages_max)) };
        match self.lineage().resume(known, self.last) {
            Ok(after) if after >= self.trimmed => {
                let rest = self.entries.range(after + 1..).map(|(_, posted)| Arc::clone(posted));
                let messages: Vec<_> = rest.take(messages_max).collect();
                let more = self.entries.range(after + 1..).count() > messages.len();
                Recovered::All(Page { messages, head, more })
            }
            refused => Recovered::Gap(refused.err().unwrap_or(GapReason::Trimmed), latest(latest_max)),
        }
    }

    fn keep(
        &mut self,
        group: &GroupName,
        message: Message,
        was: &[Position],
        digest: Option<u64>,
        keeps: Keeps,
    ) -> Arc<Posted> {
        self.last += 1;
        let position = Position { epoch: self.epoch, offset: self.last };
        self.ids.insert(message.id, (position, digest));
        let mut posted = Posted::new(group.clone(), message, Some(position));
        posted.was = was.into();
        let posted = Arc::new(posted);
        self.entries.insert(self.last, Arc::clone(&posted));
        while self.entries.len() > keeps.messages {
            self.trimmed = self.entries.pop_first().map_or(self.trimmed, |(offset, _)| offset);
        }
        self.forgotten = self.forgotten.max(self.trimmed.min(self.last.saturating_sub(keeps.ids)));
        let forgotten = self.forgotten;
        self.ids.retain(|_, (position, _)| position.offset > forgotten);
        posted
    }

    /// Raises how much of a past epoch counts as put back.
    fn raise(&mut self, epoch: Epoch, offset: u64) {
        if let Some(past) = self.past.iter_mut().find(|past| past.epoch == epoch) {
            past.high = past.high.max(offset);
        } else {
            self.past.insert(0, PastEpoch { epoch, base: 0, high: offset });
            self.past.truncate(PAST_MAX);
        }
    }

    fn hole(&mut self, group: &GroupName, epoch: Epoch, after: u64, keeps: Keeps) -> Option<Arc<Posted>> {
        let high = self.past(epoch).map_or(0, |past| past.high);
        if epoch == self.epoch || after <= high {
            return None;
        }
        self.raise(epoch, after);
        let hole = Hole { epoch, first: high + 1, last: after };
        let gap = Gap { reason: GapReason::Hole, lost: after - high, holes: vec![hole] };
        let id = MessageId::from_u128(u128::from(epoch.as_u64()) << 64 | u128::from(high << 32 | after));
        // It was lost before, and what said so was put back.
        let is_known = self.ids.contains_key(&id);
        (!is_known).then(|| self.keep(group, gap.message(id), &[], None, keeps))
    }

    fn put_back(&mut self, group: &GroupName, posted: &Posted, keeps: Keeps) -> Option<Arc<Posted>> {
        let labels: Vec<Position> = posted.position.into_iter().chain(posted.was.iter().copied()).collect();
        let present = self.epoch;
        let is_here = |history: &Self, label: &Position| {
            label.epoch == present || history.past(label.epoch).is_some_and(|past| label.offset <= past.high)
        };
        if is_here(self, &labels[0]) {
            return None;
        }
        let mut is_known = self.ids.contains_key(&posted.id);
        for label in &labels {
            is_known |= is_here(self, label);
            if label.epoch != present {
                self.raise(label.epoch, label.offset);
            }
        }
        if is_known {
            return None;
        }
        let mut message = Message::event(posted.id, "", "");
        message.body = posted.body.clone();
        Some(self.keep(group, message, &labels[..labels.len().min(3)], None, keeps))
    }
}
