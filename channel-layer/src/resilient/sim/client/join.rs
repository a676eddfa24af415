//! A client on its way into its group, on this node or another: answered at once, or later.

use super::{Client, DEADLINE, MAILBOX, State, covers, place};
use crate::{
    delivery::Delivery,
    history::{Recovered, Span},
    resilient::{
        core::Command,
        sim::world::{Event, World},
    },
    state::Health,
};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Client {
    pub(crate) fn come_back(&mut self, world: &mut World) {
        if self.at.is_some() {
            return;
        }
        let alive: Vec<usize> = (0..world.nodes.len()).filter(|node| world.nodes[*node].is_alive).collect();
        let node = alive[usize::try_from(world.random.below(alive.len() as u64)).expect("few")];
        let own = &world.nodes[node];
        self.at = Some((node, own.process));
        self.mailbox = Some(own.registry.new_channel(MAILBOX));
        self.registry = Some(Arc::clone(&own.registry));
        world.tell(|| format!("{} comes to node {node} from {:?}", self.name(), self.position));
        self.join(world);
        // What has no place yet is said again, in its order.
        let process = world.nodes[node].process;
        for index in 0..self.letters.len() {
            let letter = &self.letters[index];
            if !letter.is_settled && letter.refused.is_none() && letter.said_to != process {
                self.say(index, world);
            }
        }
    }

    pub(super) fn join(&mut self, world: &mut World) {
        let Some((node, _)) = self.at else { return };
        self.serial += 1;
        self.is_answerable = false;
        let (mailbox, registry) = (self.mailbox.as_ref(), self.registry.as_ref());
        let (Some(mailbox), Some(registry)) = (mailbox, registry) else { return };
        let is_synced = registry.add(&self.group, mailbox.channel()).expect("there is room");
        if is_synced {
            return self.ask(world);
        }
        let (answer, answered) = oneshot::channel();
        world.nodes[node].commands.push_back(Command::Join(self.group.clone(), answer));
        self.state = State::Adding(answered);
        world.at(DEADLINE, Event::Due(self.index, self.serial));
    }

    /// Reads the history: of its node, or of the backend.
    pub(super) fn ask(&mut self, world: &mut World) {
        let (Some((node, _)), Some(registry)) = (self.at, self.registry.clone()) else { return };
        self.serial += 1;
        self.state = State::Reading;
        let unplaced = registry.existing(&self.group, |group| group.unplaced().collect());
        self.unplaced = unplaced.unwrap_or_default();
        let span = self.position.map_or(Span::Latest, Span::After);
        let is_alone = matches!(world.nodes[node].status.borrow().health, Health::Degraded | Health::Healing);
        let read = registry.existing(&self.group, |group| {
            let read = group.read(span, 1_000, is_alone);
            let is_vain = is_alone && !group.synced && read.is_none();
            group.owes |= is_vain;
            (read, is_vain, group.is_behind())
        });
        match read {
            Some((Some(recovered), ..)) => self.answered(recovered, world),
            Some((None, true, _)) => self.wait(world),
            Some((None, false, true)) => {
                let (answer, answered) = oneshot::channel();
                world.nodes[node].commands.push_back(Command::Join(self.group.clone(), answer));
                self.state = State::CatchingUp(answered);
                world.at(DEADLINE, Event::Due(self.index, self.serial));
            }
            _ => {
                let group = self.group.clone();
                if world.ask_history(node, self.index, self.serial, group, span) {
                    world.at(DEADLINE, Event::Due(self.index, self.serial));
                } else {
                    self.owe(world);
                }
            }
        }
    }

    /// The backend's answer.
    pub(crate) fn read(&mut self, serial: u64, recovered: Recovered, world: &mut World) {
        if serial == self.serial && matches!(self.state, State::Reading) {
            self.answered(recovered, world);
        }
    }

    /// A join has taken so long.
    pub(crate) fn due(&mut self, serial: u64, world: &mut World) {
        if serial != self.serial {
            return;
        }
        match self.state {
            State::Adding(_) => self.ask(world),
            State::CatchingUp(_) | State::Reading => self.owe(world),
            _ => {}
        }
    }

    pub(super) fn owe(&mut self, world: &mut World) {
        let (Some((node, _)), Some(registry)) = (self.at, &self.registry) else { return };
        if registry.existing(&self.group, |group| group.owes = true).is_some() {
            world.nodes[node].commands.push_back(Command::Owe(self.group.clone()));
        }
        self.wait(world);
    }

    pub(super) fn wait(&mut self, world: &mut World) {
        world.tell(|| format!("{} waits", self.name()));
        self.state = State::Pending;
        if !std::mem::replace(&mut self.was_pending, true) {
            for delivery in std::mem::take(&mut self.unplaced) {
                self.take(delivery, world);
            }
        }
        for delivery in std::mem::take(&mut self.held) {
            self.take(delivery, world);
        }
        if self.is_answerable {
            self.ask(world);
        }
    }

    pub(super) fn answered(&mut self, recovered: Recovered, world: &mut World) {
        let was_pending = std::mem::take(&mut self.was_pending);
        let page = match recovered {
            Recovered::All(page) => {
                if let Some(reason) = self.position.and_then(|position| page.gap_after(position)) {
                    self.gap(format!("{reason:?} in a page"), world);
                }
                page
            }
            Recovered::Gap(reason, page) => {
                self.gap(format!("{reason:?}"), world);
                page
            }
        };
        world.tell(|| format!("{} is answered up to {:?}", self.name(), page.head));
        self.state = State::Live;
        for posted in &page.messages {
            self.show(posted, world);
        }
        self.position = Some(page.head);
        let unplaced = std::mem::take(&mut self.unplaced);
        if !was_pending {
            unplaced.into_iter().for_each(|delivery| self.take(delivery, world));
        }
        let held = std::mem::take(&mut self.held);
        let is_covered = |delivery: &Delivery| place(delivery).is_some_and(|at| covers(page.head, at));
        let covered = held.iter().rposition(is_covered).map_or(0, |last| last + 1);
        for (index, delivery) in held.into_iter().enumerate() {
            if index >= covered || place(&delivery).is_none() {
                self.take(delivery, world);
            }
        }
    }
}
