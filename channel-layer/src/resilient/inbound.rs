//! What comes in, put in order: a gap is repaired before anything later is handed out.
//!
//! Offsets make loss visible. The next offset is handed out; an earlier one was seen; a later one waits until what is
//! missing has been read from the backend; one of a strange epoch waits until the group has been opened again. What is
//! still strange or ahead then is no message of this history: whoever may publish could write it, and it is dropped.

use crate::{
    delivery::{Delivery, Posted},
    history::{GapReason, Lineage, Recovered, Remembered},
    name::{GroupMap, GroupName},
    position::Position,
    registry::{
        Group, Registry,
        tail::{Tail, TailBounds},
    },
    resilient::{
        copy::{Read, Step, begins_with_first, step, take},
        held::Held,
    },
};
use std::sync::Arc;

/// What a group needs before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// A read of what came after its head.
    Read,
    /// Another opening: the backend has begun an epoch that this node does not know.
    Open,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not opened and read since the last connect.
    #[default]
    Unsynced,
    /// A read of what is missing is under way, or waits for its place.
    Reading,
    Live,
}

#[derive(Debug, Default)]
struct Reader {
    stage: Stage,
    /// Arrivals were lost, and no read that was asked for since has brought them: once it is in step it reads once more.
    doubted: bool,
    held: Held,
    /// The position that asked for a read or an opening last. One that neither explains is asked about once.
    suspect: Option<Position>,
    /// It has been opened on this link, so whatever was published since has come in, or left it in doubt.
    is_complete: bool,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    registry: Arc<Registry>,
    /// Of a node's copy of a history.
    bounds: TailBounds,
    readers: GroupMap<Reader>,
    /// How many messages of the history members were handed out, since the start.
    pub(crate) news: u64,
}

impl Inbound {
    pub(crate) fn new(registry: Arc<Registry>, bounds: TailBounds) -> Self {
        Self { registry, bounds, readers: GroupMap::default(), news: 0 }
    }

    /// Where this node's copy of the group ends.
    pub(crate) fn head(&self, group: &GroupName) -> Option<Position> {
        self.registry.existing(group, |group| group.tail.as_ref().map(Tail::head)).flatten()
    }

    /// What this node has of the group and a history of that lineage does not.
    pub(crate) fn lost(&self, group: &GroupName, lineage: &Lineage) -> Vec<Remembered> {
        let lost = |group: &mut Group| group.tail.as_ref().map(|tail| tail.lost(lineage));
        self.registry.existing(group, lost).flatten().unwrap_or_default()
    }

    /// Takes a message that the backend passed on.
    pub(crate) fn accept(&mut self, posted: Arc<Posted>) -> Need {
        let name = &posted.group.clone();
        let Some(position) = posted.position else {
            self.registry.existing(name, |group| group.fan_out(Delivery::Message(posted)));
            return Need::Nothing;
        };
        let reader = match self.readers.get_mut(name) {
            Some(reader) => reader,
            // The last pushes of a group that was just left have nobody to wait for.
            None if self.registry.existing(name, |_| ()).is_none() => return Need::Nothing,
            None => self.readers.entry(name.clone()).or_default(),
        };
        if reader.stage != Stage::Live {
            // What does not fit might be the last for long, and then nothing would show the jump.
            reader.doubted |= !reader.held.hold(posted);
            return Need::Nothing;
        }
        let step = self.registry.existing(name, |group| step(group, position, &posted));
        let Some(step @ (Step::Missing | Step::Strange)) = step else {
            self.news += u64::from(matches!(step, Some(Step::News)));
            return Need::Nothing;
        };
        if reader.suspect.replace(position) == Some(position) {
            self.registry.counters.malformed.add(1);
            tracing::warn!(
                event = "layer.position.unknown",
                group = %name,
                "dropped a message at a position that the history does not have"
            );
            return Need::Nothing;
        }
        reader.held.hold_first(posted);
        if let Step::Missing = step {
            return reader.read();
        }
        self.unsync(name);
        Need::Open
    }

    /// Takes the answer of an opening of a group that is subscribed to.
    pub(crate) fn opened(&mut self, name: &GroupName, lineage: &Lineage, recovered: Recovered) -> Need {
        let bounds = self.bounds;
        let recovered = self.forgive(name, recovered);
        self.count_gap(&recovered);
        let Ok(read) = self.registry.with(name, |group| {
            group.synced = true;
            take(name, group, Some(lineage), recovered, bounds)
        }) else {
            return Need::Nothing;
        };
        self.readers.entry(name.clone()).or_default().is_complete = true;
        self.go_on(name, &read)
    }

    /// A group that nobody has written to is soon forgotten by the backend, and begun anew by whoever comes next. A node that
    /// has heard it all the while has missed nothing: for its members it goes on.
    fn forgive(&self, name: &GroupName, recovered: Recovered) -> Recovered {
        let is_complete = self.readers.get(name).is_some_and(|reader| reader.is_complete && !reader.doubted);
        let was_unwritten = || self.head(name).is_some_and(|head| head.offset == 0);
        match recovered {
            Recovered::Gap(GapReason::UnknownEpoch, page)
                if is_complete && was_unwritten() && begins_with_first(&page) =>
            {
                Recovered::All(page)
            }
            recovered => recovered,
        }
    }

    fn count_gap(&self, recovered: &Recovered) {
        self.registry.counters.gaps.add(u64::from(matches!(recovered, Recovered::Gap(..))));
    }

    /// Takes the answer of a read.
    pub(crate) fn read(&mut self, name: &GroupName, recovered: Recovered) -> Need {
        self.count_gap(&recovered);
        let epoch = recovered.page().head.epoch;
        if self.head(name).is_some_and(|head| head.epoch != epoch) {
            // Only an opening knows how this node's epoch and that one hang together.
            self.unsync(name);
            return Need::Open;
        }
        let bounds = self.bounds;
        match self.registry.existing(name, |group| take(name, group, None, recovered, bounds)) {
            Some(read) => self.go_on(name, &read),
            // It was left meanwhile.
            None => Need::Nothing,
        }
    }

    fn go_on(&mut self, name: &GroupName, read: &Read) -> Need {
        self.registry.counters.recovered.add(read.news);
        self.news += read.news;
        let reader = self.readers.entry(name.clone()).or_default();
        if read.more {
            return reader.read();
        }
        reader.stage = Stage::Live;
        while let Some(posted) = self.readers.get_mut(name).and_then(|reader| reader.held.take()) {
            let need = self.accept(posted);
            if need != Need::Nothing {
                return need;
            }
        }
        self.registry.existing(name, |group| {
            if std::mem::take(&mut group.owes) {
                group.fan_out(Delivery::Answerable { group: name.clone() });
            }
        });
        self.resolve(name)
    }

    /// The group has to be opened again before it goes on.
    pub(crate) fn unsync(&mut self, name: &GroupName) {
        if let Some(reader) = self.readers.get_mut(name) {
            reader.stage = Stage::Unsynced;
        }
        self.registry.existing(name, |group| group.synced = false);
    }

    /// Arrivals were lost: every group may lack its last ones. Gives those that were not in doubt before; a group goes on
    /// meanwhile, for what it lacks shows with what comes next.
    pub(crate) fn doubt(&mut self) -> Vec<GroupName> {
        let trusted = self.readers.iter_mut().filter(|(_, reader)| !reader.doubted);
        let doubted = trusted.map(|(name, reader)| {
            reader.doubted = true;
            name.clone()
        });
        doubted.collect()
    }

    /// What a group needs that was in doubt: nothing, if it has been read since, or will be once it is in step.
    pub(crate) fn resolve(&mut self, name: &GroupName) -> Need {
        if self.readers.get(name).is_some_and(|reader| reader.doubted) {
            self.miss(name)
        } else {
            Need::Nothing
        }
    }

    /// Something that must have arrived has not: what a group needs that would not come across it otherwise.
    pub(crate) fn miss(&mut self, name: &GroupName) -> Need {
        match self.readers.get_mut(name) {
            Some(reader) if reader.stage == Stage::Live => reader.read(),
            _ => Need::Nothing,
        }
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

impl Reader {
    /// A read that is asked for now brings whatever was lost before.
    fn read(&mut self) -> Need {
        self.doubted = false;
        self.stage = Stage::Reading;
        Need::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bounds::Bounds,
        history::Page,
        mailbox::{Mailbox, Received},
        message::{Message, MessageId},
        position::Epoch,
        resilient::held::{BYTES_MAX, MESSAGES_MAX},
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

    fn nothing_after(head: Position) -> Recovered {
        Recovered::All(Page { messages: Vec::new(), head, more: false })
    }

    fn name() -> GroupName {
        "g".parse().unwrap()
    }

    /// A group at offset 10 of epoch 1, with a member.
    fn live() -> (Inbound, Mailbox) {
        let registry = Registry::new(1 << 20);
        let mailbox = registry.new_channel(2 * MESSAGES_MAX);
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
        assert_eq!(inbound.accept(posted(1, 13)), Need::Read);
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
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read);
        for offset in 13..=20 {
            assert_eq!(inbound.accept(large(offset)), Need::Nothing);
        }
        assert!(inbound.readers[&name()].held.bytes <= BYTES_MAX);
        assert_eq!(inbound.accept(posted(1, 21)), Need::Nothing);
        // Three were held and a small one after a jump, before which what is missing is read.
        assert_eq!(inbound.read(&name(), page(1, 11..=11)), Need::Read);
        assert_eq!(inbound.read(&name(), page(1, 16..=20)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), (11..=21).collect::<Vec<_>>());
        assert_eq!(inbound.readers[&name()].held.bytes, 0);
    }

    #[test]
    fn members_are_taken_past_what_was_amended_while_nobody_heard() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 14)), Need::Read);
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
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read);
        let lineage = Lineage::of(at(1, 10).epoch);
        assert_eq!(inbound.opened(&name(), &lineage, page(1, 11..=13)), Need::Nothing);
        assert_eq!(inbound.read(&name(), page(1, 11..=12)), Need::Nothing);
        assert_eq!(inbound.accept(posted(1, 14)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13, 14]);
    }

    #[test]
    fn what_was_lost_while_a_read_was_under_way_is_read_once_more() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read);
        assert_eq!(inbound.doubt(), [name()]);
        assert_eq!(inbound.resolve(&name()), Need::Nothing, "it is being read");
        assert_eq!(inbound.read(&name(), page(1, 11..=12)), Need::Read);
        assert_eq!(inbound.read(&name(), page(1, 13..=13)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13]);
    }

    #[test]
    fn a_read_from_an_epoch_that_this_node_does_not_know_asks_for_an_opening() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read);
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
    #[test]
    fn what_no_read_and_no_opening_explains_is_asked_about_once_and_dropped() {
        let (mut inbound, mut mailbox) = live();
        let lineage = Lineage::of(at(1, 10).epoch);
        assert_eq!(inbound.accept(posted(1, 1_000)), Need::Read);
        assert_eq!(inbound.accept(posted(1, 11)), Need::Nothing);
        assert_eq!(
            inbound.read(&name(), page(1, 11..=11)),
            Need::Nothing,
            "it is not ahead of a message, but of none"
        );
        assert_eq!(inbound.accept(posted(9, 12)), Need::Open);
        assert_eq!(inbound.accept(posted(9, 13)), Need::Nothing);
        assert_eq!(
            inbound.opened(&name(), &lineage, page(1, 12..=12)),
            Need::Open,
            "the other one was not asked about"
        );
        assert_eq!(inbound.opened(&name(), &lineage, nothing_after(at(1, 12))), Need::Nothing);
        assert_eq!(inbound.accept(posted(1, 13)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11, 12, 13]);
        assert_eq!(inbound.registry.counters.read().malformed, 3);
    }

    #[test]
    fn what_did_not_fit_while_a_group_was_read_is_read_though_nothing_follows() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.accept(posted(1, 12)), Need::Read);
        let last = 12 + MESSAGES_MAX as u64;
        for offset in 13..=last {
            assert_eq!(inbound.accept(posted(1, offset)), Need::Nothing);
        }
        assert_eq!(inbound.read(&name(), page(1, 11..=12)), Need::Read, "the last one did not fit");
        assert_eq!(inbound.read(&name(), page(1, last..=last)), Need::Nothing);
        assert_eq!(inbound.head(&name()), Some(at(1, last)));
        assert_eq!(delivered(&mut mailbox).last(), Some(&last));
    }

    #[test]
    fn a_group_in_doubt_goes_on_and_is_read_once() {
        let (mut inbound, mut mailbox) = live();
        assert_eq!(inbound.doubt(), [name()]);
        assert!(inbound.doubt().is_empty(), "it has its place already");
        assert_eq!(inbound.accept(posted(1, 11)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [11]);
        assert_eq!(inbound.resolve(&name()), Need::Read);
        assert_eq!(inbound.read(&name(), page(1, 12..=12)), Need::Nothing);
        assert_eq!(inbound.resolve(&name()), Need::Nothing);
        inbound.doubt();
        assert_eq!(inbound.accept(posted(1, 14)), Need::Read);
        assert_eq!(inbound.resolve(&name()), Need::Nothing, "what the jump asked for brings it");
    }
    #[test]
    fn a_group_that_nobody_had_written_to_goes_on_when_it_is_begun_anew() {
        let gap = |epoch| {
            let Recovered::All(page) = page(epoch, 1..=2) else { unreachable!() };
            Recovered::Gap(GapReason::UnknownEpoch, page)
        };
        let unwritten = || {
            let registry = Registry::new(1 << 20);
            let mailbox = registry.new_channel(64);
            registry.add(&name(), mailbox.channel()).unwrap();
            let mut inbound = Inbound::new(registry, TailBounds::of_copy(&Bounds::default()));
            inbound.opened(&name(), &Lineage::of(at(1, 0).epoch), nothing_after(at(1, 0)));
            (inbound, mailbox)
        };
        let (mut inbound, mut mailbox) = unwritten();
        assert_eq!(inbound.accept(posted(2, 1)), Need::Open);
        assert_eq!(inbound.opened(&name(), &Lineage::of(at(2, 0).epoch), gap(2)), Need::Nothing);
        assert_eq!(delivered(&mut mailbox), [1, 2]);
        assert_eq!(inbound.head(&name()), Some(at(2, 2)));

        // Who was away, or lost arrivals, may have missed the first of another epoch.
        let losses: [fn(&mut Inbound); 2] = [Inbound::lose, |inbound| drop(inbound.doubt())];
        for lose in losses {
            let (mut inbound, mut mailbox) = unwritten();
            lose(&mut inbound);
            inbound.opened(&name(), &Lineage::of(at(2, 0).epoch), gap(2));
            let told = mailbox.try_recv();
            assert!(matches!(told, Some(Received::Delivery(Delivery::Resync { .. }))), "{told:?}");
        }
    }
}
