//! What nodes ask of the backend, and what comes back: late, in order on each connection, or not at all.

use super::{CALL_MAX, Event, World};
use crate::{
    delivery::Posted,
    history::Span,
    name::GroupName,
    position::Position,
    relay::{Incoming, LinkError, Opening, Outgoing},
    report::Census,
    resilient::{
        calls::{Call, Done, ENTRIES_MAX},
        sim::backend::Push,
    },
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// What is asked of the backend.
pub(crate) enum Ask {
    Connect,
    Subscribe(Vec<GroupName>),
    Unsubscribe(Vec<GroupName>),
    Open(u64, Vec<Opening>, Vec<GroupName>),
    Publish(Vec<Outgoing>),
    PutBack(GroupName, crate::position::Epoch, Vec<crate::history::Remembered>),
    Read(GroupName, Position),
    Probe(u64),
    Announce,
    /// For a client, with the number of its join.
    History(usize, u64, GroupName, Span),
}

pub(crate) struct Asked {
    node: usize,
    process: u64,
    link: u64,
    call: u64,
    ask: Ask,
}

impl World {
    pub(super) fn make(&mut self, node: usize, call: Call) {
        let (live, rest) = (0, 1);
        self.tell(|| format!("node {node} asks {}", short(&call)));
        let (lane, ask, fail): (u8, Ask, Box<dyn FnOnce(LinkError) -> Done>) = match call {
            Call::End => {
                let link = self.nodes[node].link.take();
                self.nodes[node].open.clear();
                if let Some(link) = link {
                    self.heard.remove(&(node, link));
                }
                return;
            }
            Call::Connect => {
                self.serial += 1;
                (rest, Ask::Connect, Box::new(|why| Done::Connected(Err(why))))
            }
            Call::Subscribe(groups) => {
                let failed = groups.clone();
                (live, Ask::Subscribe(groups), Box::new(|why| Done::Subscribed(failed, Err(why))))
            }
            Call::Unsubscribe(groups) => {
                (live, Ask::Unsubscribe(groups), Box::new(|why| Done::Unsubscribed(Err(why))))
            }
            Call::Open(generation, openings, groups) => {
                let failed = groups.clone();
                let fail = move |why| Done::Opened(generation, failed, Err(why));
                (rest, Ask::Open(generation, openings, groups), Box::new(fail))
            }
            Call::Publish(batch) => (live, Ask::Publish(batch), Box::new(|why| Done::Published(Err(why)))),
            Call::PutBack(group, epoch, lost) => {
                let failed = group.clone();
                (rest, Ask::PutBack(group, epoch, lost), Box::new(|why| Done::PutBack(failed, Err(why))))
            }
            Call::Read(group, after) => {
                let failed = group.clone();
                (rest, Ask::Read(group, after), Box::new(|why| Done::Read(failed, Err(why))))
            }
            Call::Probe(number) => (rest, Ask::Probe(number), Box::new(|why| Done::Probed(Err(why)))),
            Call::Announce => (rest, Ask::Announce, Box::new(|why| Done::Announced(Err(why)))),
            Call::Send(..) => return,
        };
        let link = match (&ask, self.nodes[node].link) {
            (Ask::Connect, _) => self.serial,
            (_, Some(link)) => link,
            (_, None) => return,
        };
        self.serial += 1;
        let (call, process) = (self.serial, self.nodes[node].process);
        self.nodes[node].open.insert(call, fail);
        let arrives = self.lane(node, link, lane);
        self.at(CALL_MAX, Event::TooLate(node, process, call));
        self.at_time(arrives, Event::Arrives(Asked { node, process, link, call, ask }));
    }

    /// A client's question, by its node's link; says whether there is one.
    pub(crate) fn ask_history(
        &mut self,
        node: usize,
        client: usize,
        serial: u64,
        group: GroupName,
        span: Span,
    ) -> bool {
        let Some(link) = self.nodes[node].link else { return false };
        let process = self.nodes[node].process;
        let arrives = self.lane(node, link, 1);
        let ask = Ask::History(client, serial, group, span);
        self.at_time(arrives, Event::Arrives(Asked { node, process, link, call: 0, ask }));
        true
    }

    pub(super) fn arrives(&mut self, asked: Asked) {
        if self.is_down {
            if let Ask::Connect = asked.ask {
                let Asked { node, process, link, call, .. } = asked;
                let refused = Done::Connected(Err(LinkError::Closed("refused".to_owned())));
                self.at(
                    Duration::from_millis(1),
                    Event::Answer(node, process, link, call, Box::new(refused)),
                );
            }
            return;
        }
        if self.is_hung {
            self.held.push(asked);
            return;
        }
        self.carry_out(asked);
    }

    pub(super) fn carry_out(&mut self, asked: Asked) {
        let Asked { node, process, link, call, ask } = asked;
        if link < self.oldest_link {
            return;
        }
        let is_open =
            self.is(node, process) && (self.nodes[node].link == Some(link) || matches!(ask, Ask::Connect));
        // What was under way when its link broke may have arrived, or not.
        if !is_open && self.random.one_in(2) {
            return;
        }
        let mut lane = 3;
        let mut pushes = Vec::new();
        let done = match ask {
            Ask::Connect => {
                self.heard.insert((node, link), BTreeSet::new());
                Done::Connected(Ok(()))
            }
            Ask::Subscribe(groups) => {
                lane = 2;
                if let Some(heard) = self.heard.get_mut(&(node, link)) {
                    heard.extend(groups.iter().cloned());
                }
                Done::Subscribed(groups, Ok(()))
            }
            Ask::Unsubscribe(groups) => {
                lane = 2;
                if let Some(heard) = self.heard.get_mut(&(node, link)) {
                    heard.retain(|group| !groups.contains(group));
                }
                Done::Unsubscribed(Ok(()))
            }
            Ask::Open(generation, openings, groups) => {
                let opened = openings.iter().map(|opening| self.backend.open(process, opening)).collect();
                Done::Opened(generation, groups, opened)
            }
            Ask::Publish(batch) => {
                lane = 2;
                let mut verdicts = Vec::new();
                for outgoing in &batch {
                    let (verdict, push) = self.backend.publish(process, outgoing);
                    verdicts.push(verdict);
                    pushes.extend(push);
                }
                Done::Published(Ok(verdicts))
            }
            Ask::PutBack(group, epoch, lost) => {
                let (put, pushed) = self.backend.put_back(&group, epoch, &lost);
                pushes = pushed;
                Done::PutBack(group, put)
            }
            Ask::Read(group, after) => {
                let read = self.backend.read(&group, Span::After(after), ENTRIES_MAX);
                Done::Read(group, read)
            }
            Ask::Probe(number) => {
                if is_open && !self.deaf.contains(&node) {
                    let at = self.lane(node, link, 2);
                    self.at_time(at, Event::Incoming(node, process, link, Incoming::Probe(number)));
                }
                Done::Probed(Ok(()))
            }
            Ask::Announce => Done::Announced(Ok(Census::default())),
            Ask::History(client, serial, group, span) => {
                if let Ok(read) = self.backend.read(&group, span, ENTRIES_MAX) {
                    let at = self.lane(node, link, 3);
                    self.at_time(at, Event::Read(client, serial, Box::new(read)));
                }
                return;
            }
        };
        let pushed_first = self.random.one_in(2);
        if pushed_first {
            self.push(&pushes);
        }
        let at = self.lane(node, link, lane);
        self.at_time(at, Event::Answer(node, process, link, call, Box::new(done)));
        if !pushed_first {
            self.push(&pushes);
        }
    }

    pub(super) fn push(&mut self, pushes: &[Push]) {
        let links: Vec<(usize, u64)> = self.heard.keys().copied().collect();
        for (group, posted) in pushes {
            for (node, link) in &links {
                if self.heard[&(*node, *link)].contains(group) && !self.deaf.contains(node) {
                    let at = self.lane(*node, *link, 2);
                    let incoming = Incoming::Posted(copy(posted));
                    let process = self.nodes[*node].process;
                    self.at_time(at, Event::Incoming(*node, process, *link, incoming));
                }
            }
        }
    }
}

/// What stands in a story of a call or its answer.
pub(super) fn short(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").chars().take(400).collect()
}

/// As each node reads its own.
fn copy(posted: &Posted) -> Arc<Posted> {
    let mut message = crate::message::Message::event(posted.id, "", "");
    message.body = posted.body.clone();
    let mut copy = Posted::new(posted.group.clone(), message, posted.position);
    copy.was = posted.was.clone();
    Arc::new(copy)
}
