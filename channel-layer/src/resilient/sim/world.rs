//! Nodes, their links and a backend that fails, on one clock that nobody waits for.

mod node;
mod relay;
mod trouble;

use super::{
    backend::{Backend, Keeps},
    client::Client,
    random::Random,
};
use crate::{
    bounds::{Bounds, Kept},
    history::Recovered,
    name::GroupName,
    relay::{Incoming, LinkError},
    resilient::calls::Done,
};
use node::Node;
use relay::{Asked, short};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    time::Duration,
};
use tokio::time::Instant;
use trouble::Trouble;

/// How long a call may take, as over Redis.
const CALL_MAX: Duration = Duration::from_secs(1);

pub(super) enum Event {
    Wake(usize, u64),
    Tick(usize, u64),
    Arrives(Asked),
    Answer(usize, u64, u64, u64, Box<Done>),
    Incoming(usize, u64, u64, Incoming),
    TooLate(usize, u64, u64),
    Read(usize, u64, Box<Recovered>),
    Send(usize),
    /// A join of a client has taken too long.
    Due(usize, u64),
    Return(usize),
    Start(usize),
    Fault,
    Mend(Trouble),
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) begun: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: HashMap<u64, Event>,
    serial: u64,
    lanes: HashMap<(usize, u64, u8), Instant>,
    pub(super) backend: Backend,
    saved: BTreeMap<GroupName, super::backend::History>,
    oldest_link: u64,
    is_down: bool,
    is_hung: bool,
    is_slow: bool,
    deaf: BTreeSet<usize>,
    held: Vec<Asked>,
    /// Of each link what it hears.
    heard: BTreeMap<(usize, u64), BTreeSet<GroupName>>,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<Client>,
    pub(super) bounds: Bounds,
    pub(super) story: Vec<String>,
    pub(super) is_told: bool,
    pub(super) broken: Vec<String>,
    /// Which troubles there were.
    pub(super) troubles: BTreeSet<&'static str>,
    /// The backend lost something that it had acknowledged.
    pub(super) is_lossy: bool,
    /// Bounds are met: what is over them is lost, and said to be.
    pub(super) are_small: bool,
    /// What was lost with the backend and each node that had it.
    pub(super) orphans: BTreeSet<u128>,
    pub(super) ends_at: Instant,
}

impl World {
    pub(super) fn new(seed: u64, are_small: bool, nodes: usize, is_told: bool) -> Self {
        let bounds = bounds(are_small);
        let mut random = Random(seed);
        let now = Instant::now();
        let tail = bounds.tail.messages;
        let keeps = Keeps { messages: bounds.history.messages, ids: bounds.ids as u64, tail };
        let life = random.next();
        let backend = Backend { keeps, life, is_full: false, groups: BTreeMap::new() };
        let mut world = Self {
            random,
            now,
            begun: now,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            serial: 0,
            lanes: HashMap::new(),
            backend,
            saved: BTreeMap::new(),
            oldest_link: 0,
            is_down: false,
            is_hung: false,
            is_slow: false,
            deaf: BTreeSet::new(),
            held: Vec::new(),
            heard: BTreeMap::new(),
            nodes: Vec::new(),
            clients: Vec::new(),
            bounds,
            story: Vec::new(),
            is_told,
            broken: Vec::new(),
            troubles: BTreeSet::new(),
            is_lossy: false,
            are_small,
            orphans: BTreeSet::new(),
            ends_at: now + Duration::from_secs(3600),
        };
        for index in 0..nodes {
            let node = world.node();
            world.nodes.push(node);
            world.begin(index);
        }
        world
    }

    /// Whether nothing may be missing, or come twice.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_lossy && !self.are_small
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.is_told {
            let at = self.now.duration_since(self.begun);
            self.story.push(format!("{:>9.3} {}", at.as_secs_f64(), what()));
        }
    }

    pub(super) fn at(&mut self, after: Duration, event: Event) {
        self.at_time(self.now + after, event);
    }

    fn at_time(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.events.insert(self.serial, event);
        self.queue.push(Reverse((at, self.serial)));
    }

    /// One way of one connection: what goes first arrives first.
    fn lane(&mut self, node: usize, link: u64, lane: u8) -> Instant {
        let slow = if self.is_slow { 200_000 + self.random.below(700_000) } else { 0 };
        let at = self.now + Duration::from_micros(100 + self.random.below(4_000) + slow);
        let last = self.lanes.entry((node, link, lane)).or_insert(at);
        *last = (*last + Duration::from_nanos(1)).max(at);
        *last
    }

    /// Runs until `until`, or until there is nothing left; says whether nothing is broken.
    pub(super) fn run(&mut self, until: Instant) -> bool {
        while let Some(Reverse((at, serial))) = self.queue.peek().copied() {
            if at > until || !self.broken.is_empty() {
                break;
            }
            self.queue.pop();
            self.now = at;
            let event = self.events.remove(&serial).expect("each once");
            self.happens(event);
        }
        self.now = self.now.max(until);
        self.broken.is_empty()
    }

    fn is(&self, node: usize, process: u64) -> bool {
        self.nodes[node].process == process && self.nodes[node].is_alive
    }

    fn happens(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Wake(node, process) if self.is(node, process) => {
                self.nodes[node].wake_at = None;
                self.nodes[node].core.wake(now);
                self.settle(node);
            }
            Event::Tick(node, process) if self.is(node, process) => {
                self.nodes[node].core.tick(now);
                self.at(Duration::from_secs(1), Event::Tick(node, process));
                self.settle(node);
            }
            Event::Arrives(asked) => self.arrives(asked),
            Event::Answer(node, process, link, call, done) if self.is(node, process) => {
                let own = &mut self.nodes[node];
                let is_connecting = matches!(*done, Done::Connected(_));
                if own.open.remove(&call).is_none() || (!is_connecting && own.link != Some(link)) {
                    return;
                }
                if let Done::Connected(Ok(())) = *done {
                    own.link = Some(link);
                }
                let told = self.is_told.then(|| short(&done));
                self.nodes[node].core.done(*done, now);
                self.tell(|| format!("node {node} has {}", told.unwrap_or_default()));
                self.settle(node);
            }
            Event::Incoming(node, process, link, incoming) if self.is(node, process) => {
                let own = &mut self.nodes[node];
                if own.link == Some(link) && own.core.has_link() {
                    own.core.arrived(incoming, now);
                    self.settle(node);
                }
            }
            Event::TooLate(node, process, call) if self.is(node, process) => {
                if let Some(fail) = self.nodes[node].open.remove(&call) {
                    self.nodes[node].core.done(fail(LinkError::TimedOut), now);
                    self.settle(node);
                }
            }
            Event::Read(client, serial, recovered) => {
                self.with_client(client, |client, world| client.read(serial, *recovered, world));
            }
            Event::Due(client, serial) => self.with_client(client, |client, world| client.due(serial, world)),
            Event::Send(client) => self.with_client(client, Client::send),
            Event::Return(client) => self.with_client(client, Client::come_back),
            Event::Start(index) => {
                let node = self.node();
                self.nodes[index] = node;
                self.tell(|| format!("node {index} starts"));
                self.begin(index);
            }
            Event::Fault => self.fault(),
            Event::Mend(trouble) => self.mend(trouble),
            _ => {}
        }
    }

    pub(super) fn with_client(&mut self, index: usize, act: impl FnOnce(&mut Client, &mut Self)) {
        let mut client = std::mem::replace(&mut self.clients[index], Client::placeholder());
        act(&mut client, self);
        self.clients[index] = client;
        let nodes: Vec<usize> =
            (0..self.nodes.len()).filter(|node| !self.nodes[*node].commands.is_empty()).collect();
        nodes.into_iter().for_each(|node| self.settle(node));
    }
}

/// Bounds that nothing of a short story meets, or that much does.
fn bounds(are_small: bool) -> Bounds {
    let bounds = Bounds { node_bytes: 1 << 30, ..Bounds::default() };
    if !are_small {
        return bounds;
    }
    let kept = |messages| Kept { messages, ..bounds.history };
    Bounds { history: kept(60), tail: kept(20), ids: 40, spool: kept(30), ..bounds }
}
