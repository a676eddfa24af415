//! A person at a page: joins a group, speaks, shows what comes once, and comes back elsewhere when its node is gone.

mod join;
mod letters;

use super::world::{Event, World};
use crate::{
    delivery::{Delivery, Posted},
    gap::Gap,
    mailbox::{Mailbox, Received},
    name::GroupName,
    position::Position,
    registry::Registry,
};
use letters::Letter;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// How long a sender or a joiner may wait.
pub(super) const DEADLINE: Duration = Duration::from_millis(250);

const MAILBOX: usize = 1 << 14;

enum State {
    Away,
    Adding(oneshot::Receiver<()>),
    /// Until its node hears the group, before it reads.
    CatchingUp(oneshot::Receiver<()>),
    Reading,
    Pending,
    Live,
}

pub(super) struct Client {
    index: usize,
    pub(super) group: GroupName,
    /// Its node and the process there.
    at: Option<(usize, u64)>,
    mailbox: Option<Mailbox>,
    registry: Option<Arc<Registry>>,
    state: State,
    /// It waited for an answer before this join.
    was_pending: bool,
    /// An answer can be had, said while it was not waiting for one yet.
    is_answerable: bool,
    /// Counts its joins.
    serial: u64,
    held: Vec<Delivery>,
    unplaced: Vec<Delivery>,
    position: Option<Position>,
    pub(super) shown: Vec<u128>,
    known: BTreeSet<u128>,
    /// It was told that something is missing.
    pub(super) gaps: Vec<String>,
    pub(super) letters: VecDeque<Letter>,
    to_say: u64,
    pub(super) has_moved: bool,
}

impl Client {
    pub(super) fn placeholder() -> Self {
        Self::new(0, "g".parse().expect("a name"), 0)
    }

    pub(super) fn new(index: usize, group: GroupName, to_say: u64) -> Self {
        Self {
            index,
            group,
            at: None,
            mailbox: None,
            registry: None,
            state: State::Away,
            was_pending: false,
            is_answerable: false,
            serial: 0,
            held: Vec::new(),
            unplaced: Vec::new(),
            position: None,
            shown: Vec::new(),
            known: BTreeSet::new(),
            gaps: Vec::new(),
            letters: VecDeque::new(),
            to_say,
            has_moved: false,
        }
    }

    pub(super) fn is_on(&self, node: usize) -> bool {
        self.at.is_some_and(|(at, _)| at == node)
    }

    fn name(&self) -> String {
        format!("client {}", self.index)
    }

    /// Its connection is gone; it comes back, perhaps elsewhere.
    pub(super) fn leave(&mut self, world: &mut World) {
        self.hear_answers(world);
        (self.at, self.mailbox, self.registry, self.state) = (None, None, None, State::Away);
        (self.held, self.unplaced) = (Vec::new(), Vec::new());
        (self.was_pending, self.is_answerable, self.has_moved) = (false, false, true);
        for letter in &mut self.letters {
            letter.answer = None;
        }
        world.tell(|| format!("{} is gone", self.name()));
        let back = Duration::from_millis(20 + world.random.below(800));
        world.at(back, Event::Return(self.index));
    }

    /// Takes what has come.
    pub(super) fn look(&mut self, world: &mut World) {
        self.hear_answers(world);
        if let State::Adding(answer) | State::CatchingUp(answer) = &mut self.state
            && answer.try_recv().is_ok()
        {
            self.ask(world);
        }
        while let Some(received) = self.mailbox.as_mut().and_then(Mailbox::try_recv) {
            match received {
                Received::Delivery(delivery) => self.take(delivery, world),
                other => world.broken.push(format!("{} received {other:?}", self.name())),
            }
        }
    }

    fn take(&mut self, delivery: Delivery, world: &mut World) {
        match (&self.state, delivery) {
            (State::Adding(_) | State::CatchingUp(_) | State::Reading, Delivery::Answerable { .. }) => {
                self.is_answerable = true;
            }
            (State::Pending, Delivery::Answerable { .. }) => self.ask(world),
            (_, Delivery::Answerable { .. }) => {}
            (State::Adding(_) | State::CatchingUp(_) | State::Reading, delivery) => self.held.push(delivery),
            (State::Pending, delivery) if place(&delivery).is_some() => {}
            (_, Delivery::Message(posted)) => {
                self.step(posted.position, world);
                self.once(&posted, world);
                self.show(&posted, world);
            }
            (_, Delivery::Placed { id, position, .. }) => {
                self.step(Some(position), world);
                self.settle(id.as_u128());
                self.pass(position);
            }
            (_, Delivery::Gap { position, reason, .. }) => {
                self.step(position, world);
                self.gap(format!("{reason:?}"), world);
                position.into_iter().for_each(|position| self.pass(position));
            }
            (_, Delivery::Resync { reason, page, .. }) => {
                self.gap(format!("resync {reason:?}"), world);
                page.messages.iter().for_each(|posted| self.show(posted, world));
                self.position = Some(page.head);
            }
            _ => {}
        }
    }

    /// Nobody who stays is handed anything again, unless what the node remembers of it was turned over.
    fn once(&self, posted: &Posted, world: &mut World) {
        let id = posted.id.as_u128();
        // What came while it was answered may be in the answer, and is dropped on its way.
        let is_passed = posted.position.is_some_and(|at| self.position.is_some_and(|own| covers(own, at)));
        if !world.are_small && !self.has_moved && !is_passed && self.known.contains(&id) {
            world.broken.push(format!("{} is handed {id:x} again", self.name()));
        }
    }

    /// Nothing that is live may be left out.
    fn step(&self, to: Option<Position>, world: &mut World) {
        if let (Some(own), Some(to)) = (self.position, to)
            && own.epoch == to.epoch
            && to.offset > own.offset + 1
        {
            world.broken.push(format!("{} is taken from {own:?} to {to:?}", self.name()));
        }
    }

    fn pass(&mut self, position: Position) {
        if self.position.is_none_or(|own| !covers(own, position)) {
            self.position = Some(position);
        }
    }

    /// Shows a message, unless it was: by its position, by those that it had, by its id.
    fn show(&mut self, posted: &Posted, world: &mut World) {
        let id = posted.id.as_u128();
        let own = self.position;
        let is_passed = |at: &Position| own.is_some_and(|own| covers(own, *at));
        let is_old = posted.position.as_ref().is_some_and(is_passed) || posted.was.iter().any(is_passed);
        if let Some(position) = posted.position {
            self.settle(id);
            self.pass(position);
        }
        // Of those in a page the whole page tells.
        if Gap::of(posted).is_some() {
            return;
        }
        if is_old && self.known.contains(&id) || !self.known.insert(id) {
            return;
        }
        if is_old {
            // Passed over, though it was never shown: it is missing if nothing was said.
            world.tell(|| format!("{} passes over {id:x}", self.name()));
            self.known.remove(&id);
            return;
        }
        world.tell(|| format!("{} shows {id:x} at {:?}", self.name(), posted.position));
        self.shown.push(id);
    }

    fn gap(&mut self, why: String, world: &mut World) {
        world.tell(|| format!("{} is told of a gap: {why}", self.name()));
        self.gaps.push(why);
    }

    fn settle(&mut self, id: u128) {
        if let Some(letter) = self.letters.iter_mut().find(|letter| letter.id == id) {
            letter.is_settled = true;
        }
    }
}

/// Where a delivery stands in the order.
fn place(delivery: &Delivery) -> Option<Position> {
    match delivery {
        Delivery::Message(posted) => posted.position,
        Delivery::Placed { position, .. } => Some(*position),
        Delivery::Gap { position, .. } => *position,
        Delivery::Resync { page, .. } => Some(page.head),
        _ => None,
    }
}

fn covers(own: Position, at: Position) -> bool {
    own.epoch == at.epoch && at.offset <= own.offset
}
