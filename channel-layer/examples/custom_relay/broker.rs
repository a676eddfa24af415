//! The backend: a task with a queue, which stands for a server elsewhere.
//!
//! It numbers, keeps, indexes and passes on, one request at a time, so that each step is atomic by itself. It keeps all in
//! memory: a crash forgets, and then openings begin new epochs. Behind a wire it would hold bytes where it holds messages.

use super::{group::Group, rows::Rows};
use channel_layer::{
    ChannelName, GroupName, Incoming, Lineage, LinkError, Message, Opened, Opening, Outgoing, Posted,
    Presented, Recovered, RowStored, RowWrite, Span, Verdict,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::interval,
};

/// How many groups and nodes there may be.
const GROUPS_MAX: usize = 10_000;
const NODES_MAX: usize = 64;
/// How often a node is told that something was dropped.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, LinkError>>;

/// What nodes ask for, over the connection of that number.
#[derive(Debug)]
pub(crate) enum Request {
    Connect(String, mpsc::Sender<Incoming>, Reply<u64>),
    Open(u64, Vec<Opening>, Reply<Vec<Opened>>),
    Publish(u64, Vec<Outgoing>, Reply<Vec<Result<Verdict, LinkError>>>),
    Send(u64, ChannelName, Message, Reply<()>),
    Probe(u64, u64, Reply<()>),
    Subscribe(u64, Vec<GroupName>, Reply<()>),
    Unsubscribe(u64, Vec<GroupName>, Reply<()>),
    Read(u64, GroupName, Span, usize, Reply<Recovered>),
    Present(u64, Duration, Vec<(GroupName, RowWrite)>, Reply<Vec<Presented>>),
    Rows(u64, Vec<GroupName>, Reply<Vec<Vec<RowStored>>>),
    Trouble(Trouble, Reply<()>),
}

/// What can happen to a backend.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// All connections break.
    Cut,
    /// The same, and everything is forgotten.
    Crash,
}

/// The backend. It ends with its last relay.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    groups: HashMap<GroupName, Group>,
    rows: Rows,
    nodes: HashMap<u64, Node>,
    connections: u64,
}

#[derive(Debug)]
struct Node {
    name: String,
    groups: HashSet<GroupName>,
    arrivals: mpsc::Sender<Incoming>,
    dropped: bool,
}

impl Broker {
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut ticks = interval(TELL_EVERY);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                _ = ticks.tick() => {
                    self.nodes.retain(|_, node| !node.arrivals.is_closed());
                    self.nodes.values_mut().for_each(Node::tell_dropped);
                    self.rows.expire();
                }
            }
        }
    }

    /// Who has stopped waiting does not want to know.
    fn answer(&mut self, request: Request) {
        let _unheard = match request {
            Request::Connect(name, arrivals, reply) => reply.send(self.connect(name, arrivals)).is_ok(),
            Request::Open(from, openings, reply) => reply.send(self.open(from, &openings)).is_ok(),
            Request::Publish(from, batch, reply) => {
                let name = self.node(from).map(|node| node.name.clone());
                let publish = |name: String| batch.into_iter().map(|one| self.publish(&name, one)).collect();
                reply.send(name.map(publish)).is_ok()
            }
            Request::Send(from, to, message, reply) => {
                let known = self.node(from).map(|_| ());
                if let Some(node) = self.nodes.values_mut().find(|node| node.name == to.node()) {
                    node.push(Incoming::Direct { to, message });
                }
                reply.send(known).is_ok()
            }
            Request::Probe(from, number, reply) => {
                reply.send(self.node(from).map(|node| node.push(Incoming::Probe(number)))).is_ok()
            }
            Request::Subscribe(from, groups, reply) => {
                reply.send(self.node(from).map(|node| node.groups.extend(groups))).is_ok()
            }
            Request::Unsubscribe(from, groups, reply) => {
                let end = |node: &mut Node| node.groups.retain(|group| !groups.contains(group));
                reply.send(self.node(from).map(end)).is_ok()
            }
            Request::Read(from, name, span, messages_max, reply) => {
                let known = self.node(from).map(|_| ());
                let group = known.and_then(|()| self.groups.get(&name).ok_or(LinkError::Unopened));
                reply.send(group.map(|group| group.read(span, messages_max))).is_ok()
            }
            Request::Present(from, lease, writes, reply) => {
                let name = self.node(from).map(|node| node.name.clone());
                let present = |name: String| {
                    writes
                        .into_iter()
                        .map(|(group, write)| self.present(&name, lease, &group, write))
                        .collect()
                };
                reply.send(name.map(present)).is_ok()
            }
            Request::Rows(from, groups, reply) => {
                let known = self.node(from).map(|_| ());
                reply.send(known.map(|()| groups.iter().map(|group| self.rows.read(group)).collect())).is_ok()
            }
            Request::Trouble(trouble, reply) => {
                self.nodes.clear();
                if matches!(trouble, Trouble::Crash) {
                    self.groups.clear();
                    self.rows = Rows::default();
                }
                reply.send(Ok(())).is_ok()
            }
        };
    }

    fn node(&mut self, connection: u64) -> Result<&mut Node, LinkError> {
        self.nodes.get_mut(&connection).ok_or_else(closed)
    }

    /// A link for a node; the one before ends, for nobody pushes into it any more.
    fn connect(&mut self, name: String, arrivals: mpsc::Sender<Incoming>) -> Result<u64, LinkError> {
        self.nodes.retain(|_, node| node.name != name);
        if self.nodes.len() >= NODES_MAX {
            return Err(LinkError::Refused("too many nodes".to_owned()));
        }
        self.connections += 1;
        self.nodes.insert(self.connections, Node { name, groups: HashSet::new(), arrivals, dropped: false });
        Ok(self.connections)
    }

    fn open(&mut self, from: u64, openings: &[Opening]) -> Result<Vec<Opened>, LinkError> {
        let name = self.node(from)?.name.clone();
        let open = |opening: &Opening| {
            if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&opening.group) {
                return Err(LinkError::Refused("too many groups".to_owned()));
            }
            // Only here is a group made and an epoch begun.
            let group = self.groups.entry(opening.group.clone()).or_insert_with(|| Group::new(opening.epoch));
            if group.chains.len() >= NODES_MAX {
                group.chains.clear();
            }
            let chain = group.chains.entry(name.clone()).or_default();
            if chain.0 < opening.generation {
                *chain = (opening.generation, 0);
            }
            let (span, messages_max) = match opening.known {
                Some(known) => (Span::After(known), opening.entries_max),
                None => (Span::Latest, opening.entries_max),
            };
            let recovered = group.read(span, messages_max);
            Ok(Opened { lineage: Lineage::of(group.head.epoch), recovered })
        };
        openings.iter().map(open).collect()
    }

    /// Numbers, keeps and passes on, or says why not.
    fn publish(&mut self, node: &str, outgoing: Outgoing) -> Result<Verdict, LinkError> {
        let Outgoing { group: name, message, place } = outgoing;
        let Some((epoch, chain)) = place else {
            self.push(&Arc::new(Posted::new(name, message, None)));
            return Ok(Verdict::Sent);
        };
        let Some(group) = self.groups.get_mut(&name).filter(|group| group.head.epoch == epoch) else {
            return Ok(Verdict::Stale);
        };
        match group.chains.get_mut(node) {
            Some(last) if (last.0, last.1 + 1) == (chain.generation, chain.seq) => last.1 = chain.seq,
            _ => return Ok(Verdict::Fenced),
        }
        let posted = match group.keep(name, message) {
            Ok(posted) => posted,
            Err(refused) => return Ok(refused),
        };
        self.push(&posted);
        Ok(Verdict::Placed(posted.position.expect("what is kept has a position")))
    }

    fn present(&mut self, name: &str, lease: Duration, group: &GroupName, write: RowWrite) -> Presented {
        let (presented, change) = self.rows.write(name, lease, group, write);
        if let Some(change) = change {
            for node in self.nodes.values_mut().filter(|node| node.groups.contains(group)) {
                node.push(Incoming::Presence { group: group.clone(), change: change.clone() });
            }
        }
        presented
    }

    fn push(&mut self, posted: &Arc<Posted>) {
        for node in self.nodes.values_mut().filter(|node| node.groups.contains(&posted.group)) {
            node.push(Incoming::Posted(Arc::clone(posted)));
        }
    }
}

impl Node {
    /// Never waits: what does not fit is dropped, and said so once there is room.
    fn push(&mut self, arrival: Incoming) {
        self.tell_dropped();
        if !self.dropped {
            self.dropped = matches!(self.arrivals.try_send(arrival), Err(mpsc::error::TrySendError::Full(_)));
        }
    }

    fn tell_dropped(&mut self) {
        self.dropped = self.dropped && self.arrivals.try_send(Incoming::Dropped).is_err();
    }
}

pub(crate) fn closed() -> LinkError {
    LinkError::Closed("there is no such connection".to_owned())
}
