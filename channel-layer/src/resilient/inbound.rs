//! What comes in, put in order: a gap is repaired before anything later is handed out.
//!
//! Offsets make loss visible. The next offset is handed out; an earlier one was seen; a later one waits until what is
//! missing has been read from the backend; one of a strange epoch waits until the group has been opened again.

use crate::{
    delivery::{Delivery, Posted},
    history::{Lineage, Page, Recovered},
    message::MessageId,
    name::GroupName,
    position::Position,
    registry::{
        Group, Registry,
        tail::{Tail, TailBounds},
    },
    resilient::held::Held,
};
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;

/// What a group needs before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// A read of what came after this position.
    Read(Position),
    /// Another opening: the backend has begun an epoch that this node does not know.
    Open,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not opened and read since the last connect.
    #[default]
    Unsynced,
    /// A read of what is missing is under way.
    Reading,
    Live,
}

#[derive(Debug, Default)]
struct Reader {
    stage: Stage,
    /// Arrivals were lost while it was not in step: once it is, it reads once more.
    doubted: bool,
    held: Held,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    registry: Arc<Registry>,
    /// Of a node's copy of a history.
    bounds: TailBounds,
    readers: HashMap<GroupName, Reader>,
}

impl Inbound {
    pub(crate) fn new(registry: Arc<Registry>, bounds: TailBounds) -> Self {
        Self { registry, bounds, readers: HashMap::new() }
    }

    /// Where this node's copy of the group ends.
    pub(crate) fn head(&self, group: &GroupName) -> Option<Position> {
        self.registry.existing(group, |group| group.tail.as_ref().map(Tail::head)).flatten()
    }

    /// Takes a message that the backend passed on.
    pub(crate) fn accept(&mut self, posted: Arc<Posted>) -> Need {
        let name = &posted.group.clone();
        let Some(position) = posted.position else {
            self.registry.existing(name, |group| group.fan_out(&Delivery::Message(posted)));
            return Need::Nothing;
        };
        // The last pushes of a group that was just left have nobody to wait for.
        if !self.readers.contains_key(name) && self.registry.existing(name, |_| ()).is_none() {
            return Need::Nothing;
        }
        let reader = self.readers.entry(name.clone()).or_default();
        if reader.stage != Stage::Live {
            reader.held.hold(posted);
            return Need::Nothing;
        }
        let step = self.registry.existing(name, |group| step(group, position, &posted));
        match step {
            None | Some(Step::Done) => Need::Nothing,
            Some(Step::Missing(after)) => {
                reader.held.hold_first(posted);
                reader.stage = Stage::Reading;
                Need::Read(after)
            }
            Some(Step::Strange) => {
                reader.held.hold_first(posted);
                self.unsync(name);
                Need::Open
            }
        }
    }

    /// Takes the answer of an opening of a group that is subscribed to.
    pub(crate) fn opened(&mut self, name: &GroupName, lineage: &Lineage, recovered: Recovered) -> Need {
        let bounds = self.bounds;
        let Ok(more) = self.registry.with(name, |group| {
            group.synced = true;
            take(name, group, Some(lineage), recovered, bounds)
        }) else {
            return Need::Nothing;
        };
        self.go_on(name, more)
    }

    /// Takes the answer of a read.
    pub(crate) fn read(&mut self, name: &GroupName, recovered: Recovered) -> Need {
        let epoch = recovered.page().head.epoch;
        if self.head(name).is_some_and(|head| head.epoch != epoch) {
            // Only an opening knows how this node's epoch and that one hang together.
            self.unsync(name);
            return Need::Open;
        }
        let bounds = self.bounds;
        match self.registry.existing(name, |group| take(name, group, None, recovered, bounds)) {
            Some(more) => self.go_on(name, more),
            // It was left meanwhile.
            None => Need::Nothing,
        }
    }

    fn go_on(&mut self, name: &GroupName, more: bool) -> Need {
        let head = self.head(name);
        let reader = self.readers.entry(name.clone()).or_default();
        let more = more || std::mem::take(&mut reader.doubted);
        if let (true, Some(head)) = (more, head) {
            reader.stage = Stage::Reading;
            return Need::Read(head);
        }
        reader.stage = Stage::Live;
        while let Some(posted) = self.readers.get_mut(name).and_then(|reader| reader.held.take()) {
            let need = self.accept(posted);
            if need != Need::Nothing {
                return need;
            }
        }
        Need::Nothing
    }

    /// The group has to be opened again before it goes on.
    pub(crate) fn unsync(&mut self, name: &GroupName) {
        if let Some(reader) = self.readers.get_mut(name) {
            reader.stage = Stage::Unsynced;
        }
        self.registry.existing(name, |group| group.synced = false);
    }

    /// Arrivals were lost: every group that is in step may lack its last ones.
    pub(crate) fn doubt(&mut self) -> Vec<(GroupName, Need)> {
        let mut live = Vec::new();
        for (name, reader) in &mut self.readers {
            if reader.stage == Stage::Live {
                reader.stage = Stage::Reading;
                live.push(name.clone());
            } else {
                reader.doubted = true;
            }
        }
        live.into_iter().filter_map(|name| self.head(&name).map(|head| (name, Need::Read(head)))).collect()
    }

    /// The link is lost: no group is in step until it has been opened again.
    pub(crate) fn lose(&mut self) {
        for (name, reader) in &mut self.readers {
            *reader = Reader::default();
            self.registry.existing(name, |group| group.synced = false);
        }
    }

    pub(crate) fn forget(&mut self, name: &GroupName) {
        self.readers.remove(name);
    }
}

enum Step {
    Done,
    /// Something between this position and the message is missing.
    Missing(Position),
    /// The message's epoch is none that this node knows.
    Strange,
}

fn step(group: &mut Group, position: Position, posted: &Arc<Posted>) -> Step {
    let Some(tail) = &mut group.tail else { return Step::Strange };
    let head = tail.head();
    if position.epoch != head.epoch {
        return match tail.lineage().resume(position, head.offset) {
            Ok(_) => Step::Done,
            Err(_) => Step::Strange,
        };
    }
    if position.offset <= head.offset {
        return Step::Done;
    }
    if position.offset > head.offset + 1 {
        return Step::Missing(head);
    }
    post(group, Arc::clone(posted));
    Step::Done
}

/// Hands out a message of the history, or only its position to those who have it already.
fn post(group: &mut Group, posted: Arc<Posted>) {
    let (Some(tail), Some(position)) = (&mut group.tail, posted.position) else { return };
    if position.offset <= tail.head().offset {
        // A read was overtaken: by an opening, or by another read.
        return;
    }
    if tail.find(posted.sent_as()).is_some() {
        tail.pass(position.offset);
        group.fan_out(&Delivery::Placed { group: posted.group.clone(), id: posted.id, position });
    } else {
        // The backend has the digests; this copy need not.
        group.post(posted, 0, Instant::now());
    }
}

/// Takes members past offsets whose messages were amended since and stand further on: what is live has no holes.
fn pass_over(group: &Group, next: &Posted) {
    let (Some(tail), Some(next_at)) = (&group.tail, next.position) else { return };
    for position in next_at.missing_after(tail.head()) {
        group.fan_out(&Delivery::Placed { group: next.group.clone(), id: MessageId::REPLACED, position });
    }
}

/// Brings the copy up to what was read; says whether there is more to read.
fn take(
    name: &GroupName,
    group: &mut Group,
    lineage: Option<&Lineage>,
    recovered: Recovered,
    bounds: TailBounds,
) -> bool {
    match (&mut group.tail, recovered) {
        (Some(tail), Recovered::All(page)) => {
            if let Some(lineage) = lineage {
                tail.set_lineage(lineage.clone());
            }
            let Page { messages, head, more } = page;
            for message in messages {
                pass_over(group, &message);
                post(group, message);
            }
            if let (Some(tail), false) = (&mut group.tail, more) {
                // What the history dropped from its end is no loss.
                tail.pass(head.offset);
            }
            more
        }
        (None, recovered) => {
            // All that is retained counts as seen: members of this node begin here.
            let page = recovered.page();
            let lineage = lineage.cloned().unwrap_or_else(|| Lineage::of(page.head.epoch));
            group.tail = Some(Tail::of_page(bounds, lineage, page));
            false
        }
        (Some(tail), Recovered::Gap(reason, page)) => {
            tracing::warn!(
                event = "layer.resync",
                group = %name,
                reason = reason.as_str(),
                "what this node held is not what the history holds"
            );
            let lineage = lineage.unwrap_or_else(|| tail.lineage()).clone();
            group.tail = Some(Tail::of_page(bounds, lineage, &page));
            group.fan_out(&Delivery::Resync { group: name.clone(), reason, page });
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bounds::Bounds,
        mailbox::{Mailbox, Received},
        message::{Message, MessageId},
        position::Epoch,
        resilient::held::BYTES_MAX,
    };

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch::from_u64(epoch).unwrap(), offset }
    }

    fn posted(epoch: u64, offset: u64) -> Arc<Posted> {
        let message = Message::frame(MessageId::from_u128(offset.into()), "{}");
        Arc::new(Posted::new(name(), message, Some(at(epoch, offset))))
    }

    fn page(epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Recovered {
        let head = at(epoch, *offsets.end());
        let messages = offsets.map(|offset| posted(epoch, offset)).collect();
        Recovered::All(Page { messages, head, more: false })
    }

    fn name() -> GroupName {
        "g".parse().unwrap()
    }

    /// A group at offset 10 of epoch 1, with a member.
    fn live() -> (Inbound, Mailbox) {
        let registry = Registry::new(1 << 20);
        let mailbox = registry.new_channel(64);
        registry.add(&name(), mailbox.channel()).unwrap();
        let mut inbound = Inbound::new(registry, TailBounds::of_copy(&Bounds::default()));
        let lineage = Lineage::of(at(1, 10).epoch);
        assert_eq!(inbound.opened(&name(), &lineage, page(1, 1..=10)), Need::Nothing);
        (inbound, mailbox)
    }

    fn delivered(mailbox: &mut Mailbox) -> Vec<u64> {
        let next = || match mailbox.try_recv()? {
            Received::Delivery(Delivery::Message(posted)) => Some(posted.position.unwrap().offset),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_a_jump_left_out_comes_before_what_showed_it() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 13)), Need::Read(at(1, 10)));
        assert_eq!(inbound.accept(posted(1, 14)), Need::Nothing);
        assert!(delivered(&mut mailbox).is_empty());
        assert_eq!(inbound.read(&name(), page(1, 11..=13)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13, 14]);
    }

    #[test]
    fn what_is_too_much_to_be_held_is_read_again() {
        let (mut inbound, mut mailbox) = live();
        let large = |offset: u64| {
            let message = Message::frame(MessageId::from_u128(offset.into()), vec![b' '; 600 << 10]);
            Arc::new(Posted::new(name(), message, Some(at(1, offset))))
        };
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read(at(1, 10)));
        for offset in 13..=20 {
            assert_eq!(inbound.accept(large(offset)), Need::Nothing);
        }
        assert!(inbound.readers[&name()].held.bytes <= BYTES_MAX);
        assert_eq!(inbound.accept(posted(1, 21)), Need::Nothing);
        // Three were held and a small one after a jump, before which what is missing is read.
        assert_eq!(inbound.read(&name(), page(1, 11..=11)), Need::Read(at(1, 15)));
        assert_eq!(inbound.read(&name(), page(1, 16..=20)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), (11..=21).collect::<Vec<_>>());
        assert_eq!(inbound.readers[&name()].held.bytes, 0);
    }

    #[test]
    fn members_are_taken_past_what_was_amended_while_nobody_heard() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 14)), Need::Read(at(1, 10)));
        let Recovered::All(mut read) = page(1, 11..=13) else { unreachable!() };
        read.messages.remove(1);
        assert_eq!(inbound.read(&name(), Recovered::All(read)), Need::Nothing);
        let mut passed = Vec::new();
        while let Some(Received::Delivery(delivery)) = mailbox.try_recv() {
            passed.push(match delivery {
                Delivery::Message(posted) => (posted.id.as_u128(), posted.position.unwrap().offset),
                Delivery::Placed { id, position, .. } => (id.as_u128(), position.offset),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(passed, [(11, 11), (0, 12), (13, 13), (14, 14)]);
    }

    #[test]
    fn a_read_that_was_overtaken_brings_nothing_twice_and_moves_nothing_back() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read(at(1, 10)));
        let lineage = Lineage::of(at(1, 10).epoch);
        assert_eq!(inbound.opened(&name(), &lineage, page(1, 11..=13)), Need::Nothing);
        assert_eq!(inbound.read(&name(), page(1, 11..=12)), Need::Nothing);
        assert_eq!(inbound.accept(posted(1, 14)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13, 14]);
    }

    #[test]
    fn what_was_lost_while_a_read_was_under_way_is_read_once_more() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read(at(1, 10)));
        assert!(inbound.doubt().is_empty(), "it is being read");
        assert_eq!(inbound.read(&name(), page(1, 11..=12)), Need::Read(at(1, 12)));
        assert_eq!(inbound.read(&name(), page(1, 13..=13)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13]);
    }

    #[test]
    fn a_read_from_an_epoch_that_this_node_does_not_know_asks_for_an_opening() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read(at(1, 10)));
        assert_eq!(inbound.read(&name(), page(2, 11..=12)), Need::Open);
        assert!(delivered(&mut mailbox).is_empty());
    }

    #[test]
    fn a_group_that_was_left_keeps_nothing() {
        let (mut inbound, mailbox) = live();
        drop(mailbox);
        assert!(inbound.registry.remove_if_empty(&name()));
        inbound.forget(&name());
        assert_eq!(inbound.accept(posted(1, 11)), Need::Nothing);
        assert_eq!(inbound.read(&name(), page(1, 11..=11)), Need::Nothing);
        assert!(inbound.readers.is_empty());
    }
}
