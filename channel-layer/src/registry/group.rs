//! One group on this node: its members, its copy of the history, and what they have beside it.

use crate::{
    amend::{Amends, Version},
    delivery::{Delivery, Posted},
    error::{Error, Result},
    gap::Gap,
    history::{Recovered, Span},
    message::{Message, MessageId},
    name::{ChannelName, GroupName},
    position::Position,
    registry::{
        Ring,
        loose::Loose,
        tail::{Tail, TailRead},
    },
};
use smallvec::SmallVec;
use std::sync::Arc;
use tokio::time::Instant;

/// One group on this node.
#[derive(Default)]
pub(crate) struct Group {
    pub(super) members: SmallVec<[(ChannelName, Ring); 1]>,
    /// `None` until its history has been opened.
    pub(crate) tail: Option<Tail>,
    /// What its members have beside the history; few groups have any, and rarely.
    pub(crate) loose: Option<Box<Loose>>,
    /// When it was used last, by its shard's clock.
    pub(super) used: u64,
    /// Somebody waits for an answer that this node could not give.
    pub(crate) owes: bool,
    /// Whether what is sent into the group now arrives here: a layer with a backend sets it once the subscription
    /// is confirmed and the history read.
    pub(crate) synced: bool,
}

/// What became of a message that was to be handed out without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Now,
    /// It was already.
    Before,
    /// There was no need: it stands in the history.
    Numbered(Position),
}

impl Group {
    pub(crate) fn fan_out(&self, delivery: Delivery) {
        let Some(((_, last), others)) = self.members.split_last() else { return };
        // The only error is that nobody reads: a mailbox on its way out.
        for (_, ring) in others {
            let _gone = ring.send(delivery.clone());
        }
        let _gone = last.send(delivery);
    }

    /// Appends to the tail and hands out: one step for whoever reads the tail.
    pub(crate) fn post(&mut self, posted: Arc<Posted>, digest: u64, now: Instant) {
        if let Some(tail) = &mut self.tail {
            tail.append(Arc::clone(&posted), digest, now);
        }
        self.fan_out(Delivery::Message(posted));
    }

    /// Appends to the tail what the members have.
    pub(crate) fn keep(&mut self, posted: Arc<Posted>, now: Instant) {
        if let Some(tail) = &mut self.tail {
            tail.append(posted, 0, now);
        }
    }

    /// Hands out a message of this node that the history does not have yet, unless its members have it. An amendment takes the
    /// number that it will have if nobody else's comes before it.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`]; of an amendment [`Error::NotFound`], if nothing of its target is here, and [`Error::Forbidden`].
    pub(crate) fn show(&mut self, name: &GroupName, message: &Message) -> Result<Shown> {
        if let Some((position, _)) = self.tail.as_ref().and_then(|tail| tail.find(message.id)) {
            return Ok(Shown::Numbered(position));
        }
        if let Some(digest) = self.loose.as_ref().and_then(|loose| loose.digest(message.id)) {
            return if message.repeats(digest) { Ok(Shown::Before) } else { Err(Error::Conflict) };
        }
        let mut posted = Posted::unplaced(name.clone(), message.clone());
        if let Some(Amends { target, amendment }) = message.amends() {
            let present = self.loose.as_ref().and_then(|loose| loose.newest(target));
            let present = present.or_else(|| self.tail.as_ref().and_then(|tail| tail.newest(target)));
            let version = Version::after(present.ok_or(Error::NotFound)?, message, amendment)?;
            posted = posted.with_version(version);
            posted.id = target;
        }
        let posted = Arc::new(posted);
        self.loose.get_or_insert_default().insert(Arc::clone(&posted), message.digest());
        self.fan_out(Delivery::Message(posted));
        Ok(Shown::Now)
    }

    /// Reads what this node has of the history. Without a backend, as `is_alone` says, that is all there is. `None`: only the backend
    /// knows.
    pub(crate) fn read(&mut self, span: Span, messages_max: usize, is_alone: bool) -> Option<Recovered> {
        let read = match &mut self.tail {
            Some(tail) if self.synced => tail.read(span, messages_max, Instant::now()),
            Some(tail) if is_alone => tail.read_alone(span, messages_max),
            _ => TailRead::Elsewhere,
        };
        match read {
            TailRead::Here(recovered) => Some(recovered),
            TailRead::Elsewhere => None,
        }
    }

    /// What this node handed out and the history does not have yet.
    pub(crate) fn unplaced(&self) -> impl Iterator<Item = Delivery> {
        self.loose.iter().flat_map(|loose| loose.iter()).map(|posted| match Gap::of(posted) {
            Some(gap) => gap.delivery(posted.group.clone(), None),
            None => Delivery::Message(Arc::clone(posted)),
        })
    }

    /// Of what was handed out without a position some is lost, as `word` says: who comes later is told.
    pub(crate) fn note_lost(&mut self, name: &GroupName, lost: MessageId, word: &Message) {
        let posted = Arc::new(Posted::unplaced(name.clone(), word.clone()));
        let loose = self.loose.get_or_insert_default();
        loose.put_first(posted, word.digest());
        loose.take(lost);
    }

    /// What was handed out under an id before it had a position, if it was.
    pub(crate) fn take_loose(&mut self, id: MessageId) -> Option<Arc<Posted>> {
        let taken = self.loose.as_mut()?.take(id);
        if self.loose.as_ref().is_some_and(|loose| loose.is_empty()) {
            self.loose = None;
        }
        taken
    }

    /// Whether members would miss what is sent between somebody else's answer from the history and the moment this node hears.
    pub(crate) fn is_behind(&self) -> bool {
        !self.synced && self.has_members()
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether somebody counts on it: its members, those of another node who have yet to get what was sent, or a layer that
    /// hears it and goes on where it stands.
    pub(super) fn is_held(&self) -> bool {
        self.has_members() || self.synced || self.loose.is_some()
    }

    pub(super) fn weight(&self) -> usize {
        self.tail.as_ref().map_or(0, Tail::weight)
    }
}
