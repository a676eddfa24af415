//! What goes wrong, for how long, and what it takes with it.

use super::{Event, World};
use crate::{
    message::MessageId,
    registry::Group,
    relay::{Incoming, LinkError},
    resilient::sim::client::Client,
};
use std::time::Duration;

/// What can go wrong, and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    Hang,
    Down(Loss),
    Full,
    Slow,
    /// What is pushed to a node is lost.
    Deaf(usize),
    Cut(usize),
    CutAll,
    Kill(usize),
    Move(usize),
    Flush,
    Promotion,
}

/// What a restart loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    Nothing,
    Recent,
    Everything,
}

impl World {
    pub(super) fn fault(&mut self) {
        let nodes = self.nodes.len() as u64;
        let any = usize::try_from(self.random.below(nodes)).expect("few");
        let trouble = match self.random.below(14) {
            0 | 1 => Trouble::Hang,
            2 => Trouble::Down(Loss::Nothing),
            3 => Trouble::Down(Loss::Recent),
            4 => Trouble::Down(Loss::Everything),
            5 => Trouble::Full,
            6 => Trouble::Slow,
            7 => Trouble::Deaf(any),
            8 => Trouble::Cut(any),
            9 => Trouble::CutAll,
            10 => Trouble::Kill(any),
            11 => Trouble::Move(usize::try_from(self.random.below(self.clients.len() as u64)).expect("few")),
            12 => Trouble::Flush,
            _ => Trouble::Promotion,
        };
        self.trouble(trouble);
        let next = Duration::from_millis(50 + self.random.below(2_500));
        if self.now + next < self.ends_at {
            self.at(next, Event::Fault);
        }
    }

    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        self.tell(|| format!("{trouble:?}"));
        let lasts = Duration::from_millis(20 + self.random.below(4_000));
        let (name, mends) = match trouble {
            Trouble::Hang => {
                self.is_hung = true;
                ("hang", true)
            }
            Trouble::Down(loss) => {
                self.is_down = true;
                self.held.clear();
                self.lose(loss);
                self.cut_all();
                (if loss == Loss::Nothing { "restart" } else { "lossy restart" }, true)
            }
            Trouble::Full => {
                self.backend.is_full = true;
                ("full", true)
            }
            Trouble::Slow => {
                self.is_slow = true;
                ("slow", true)
            }
            Trouble::Deaf(node) => {
                self.deaf.insert(node);
                ("deaf", true)
            }
            Trouble::Cut(node) => {
                self.cut(node);
                ("cut", false)
            }
            Trouble::CutAll => {
                self.cut_all();
                ("cut all", false)
            }
            Trouble::Kill(node) => {
                if self.nodes.iter().filter(|node| node.is_alive).count() < 2 || !self.nodes[node].is_alive {
                    return;
                }
                self.kill(node);
                ("kill", false)
            }
            Trouble::Move(client) => {
                self.with_client(client, Client::leave);
                ("move", false)
            }
            Trouble::Flush => {
                self.backend.groups.clear();
                self.is_lossy = true;
                ("flush", false)
            }
            Trouble::Promotion => {
                self.lose(Loss::Recent);
                self.cut_all();
                ("promotion", false)
            }
        };
        self.troubles.insert(name);
        self.note_orphans();
        if mends {
            self.at(lasts, Event::Mend(trouble));
        }
        if self.random.one_in(3) {
            self.saved = self.backend.groups.clone();
        }
    }

    /// What the backend has lost and no node has any more is in nobody's hands, and nobody is left to say so.
    pub(super) fn note_orphans(&mut self) {
        for client in &self.clients {
            for letter in client.letters.iter().filter(|letter| letter.is_settled) {
                let id = MessageId::from_u128(letter.id);
                let history = self.backend.groups.get(&client.group);
                let is_placed = history
                    .is_some_and(|history| history.entries.values().any(|posted| posted.sent_as() == id));
                let has = |group: &mut Group| group.tail.as_ref().is_some_and(|tail| tail.find(id).is_some());
                let is_kept = is_placed
                    || self.nodes.iter_mut().filter(|node| node.is_alive).any(|node| {
                        node.registry.existing(&client.group, has).unwrap_or(false) || node.core.keeps(id)
                    });
                if !is_kept {
                    self.orphans.insert(letter.id);
                }
            }
        }
    }

    /// Another process, or another master: it has what it has.
    pub(super) fn lose(&mut self, loss: Loss) {
        self.backend.life = self.random.next();
        // What was on its way to another process does not reach this one.
        self.oldest_link = self.serial + 1;
        match loss {
            Loss::Nothing => {}
            Loss::Recent => {
                self.backend.groups = self.saved.clone();
                self.is_lossy = true;
            }
            Loss::Everything => {
                self.backend.groups.clear();
                self.is_lossy = true;
            }
        }
    }

    pub(super) fn mend(&mut self, trouble: Trouble) {
        self.tell(|| format!("no more {trouble:?}"));
        match trouble {
            Trouble::Hang => {
                self.is_hung = false;
                for asked in std::mem::take(&mut self.held) {
                    self.carry_out(asked);
                }
            }
            Trouble::Down(_) => self.is_down = false,
            Trouble::Full => self.backend.is_full = false,
            Trouble::Slow => self.is_slow = false,
            Trouble::Deaf(node) => drop(self.deaf.remove(&node)),
            _ => {}
        }
    }

    /// Whatever is wrong with the backend is over.
    pub(crate) fn mend_all(&mut self) {
        for trouble in [Trouble::Hang, Trouble::Down(Loss::Nothing), Trouble::Full, Trouble::Slow] {
            self.mend(trouble);
        }
        self.deaf.clear();
    }

    pub(super) fn cut(&mut self, node: usize) {
        let process = self.nodes[node].process;
        if let Some(link) = self.nodes[node].link {
            self.heard.remove(&(node, link));
            let at = Duration::from_millis(self.random.below(20));
            let ended = Incoming::Ended(LinkError::Closed("cut".to_owned()));
            self.at(at, Event::Incoming(node, process, link, ended));
        }
    }

    pub(super) fn cut_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.cut(node));
    }

    pub(super) fn kill(&mut self, node: usize) {
        if let Some(link) = self.nodes[node].link.take() {
            self.heard.remove(&(node, link));
        }
        self.nodes[node].is_alive = false;
        for client in 0..self.clients.len() {
            if self.clients[client].is_on(node) {
                self.with_client(client, Client::leave);
            }
        }
        let back = Duration::from_millis(100 + self.random.below(2_000));
        self.at(back, Event::Start(node));
    }
}
