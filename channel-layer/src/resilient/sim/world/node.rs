//! The processes of the nodes: each a core with what it decides for, driven as an owner would.

use super::{Event, World};
use crate::{
    presence::{PresenceRules, table::Table},
    registry::Registry,
    relay::LinkError,
    report::Census,
    resilient::{
        calls::{Call, Done},
        core::{Command, Core},
        room::Room,
        sim::{client::Client, random::Random},
    },
    state::{Health, LayerState, Mode},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// One process of a node.
pub(crate) struct Node {
    pub(crate) process: u64,
    pub(crate) is_alive: bool,
    pub(crate) registry: Arc<Registry>,
    pub(crate) core: Core,
    pub(crate) status: watch::Receiver<LayerState>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) room: Room,
    pub(crate) link: Option<u64>,
    pub(super) wake_at: Option<Instant>,
    /// What is waited for, and what it comes to if it does not come.
    pub(super) open: HashMap<u64, Box<dyn FnOnce(LinkError) -> Done>>,
}

impl World {
    pub(super) fn node(&mut self) -> Node {
        let registry = Registry::new(1 << 30);
        let (state, status) = watch::channel(LayerState::now(Mode::Redis, Health::Connecting));
        let census = watch::channel(Census::default()).0;
        let table = Arc::new(Table::among_others(registry.node(), PresenceRules::default()));
        let mut random = Random(self.random.next());
        let random = Box::new(move || random.next());
        let core = Core::new(Arc::clone(&registry), &self.bounds, table, state, census, random, self.now);
        Node {
            process: self.random.next(),
            is_alive: true,
            registry,
            core,
            status,
            commands: VecDeque::new(),
            room: Room::new(),
            link: None,
            wake_at: None,
            open: HashMap::new(),
        }
    }

    pub(super) fn begin(&mut self, index: usize) {
        let process = self.nodes[index].process;
        self.at(Duration::from_secs(1), Event::Tick(index, process));
        self.nodes[index].core.connect();
        self.settle(index);
    }

    /// What the owner of a core does after each event.
    pub(crate) fn settle(&mut self, node: usize) {
        let now = self.now;
        let own = &mut self.nodes[node];
        if !own.is_alive {
            return;
        }
        while own.core.takes_commands() {
            let Some(command) = own.commands.pop_front() else { break };
            own.core.command(command, now);
        }
        own.core.pump(now);
        let calls: Vec<Call> = own.core.take_calls().collect();
        calls.into_iter().for_each(|call| self.make(node, call));
        let own = &mut self.nodes[node];
        let wanted = own.core.wakes_at();
        if let Some(at) = wanted.filter(|at| own.wake_at.is_none_or(|set| *at < set)) {
            own.wake_at = Some(at);
            let process = own.process;
            self.at_time(at.max(now), Event::Wake(node, process));
        }
        for index in 0..self.clients.len() {
            if self.clients[index].is_on(node) {
                let mut client = std::mem::replace(&mut self.clients[index], Client::placeholder());
                client.look(self);
                self.clients[index] = client;
            }
        }
        if !self.nodes[node].commands.is_empty() && self.nodes[node].core.takes_commands() {
            self.settle(node);
        }
    }
}
