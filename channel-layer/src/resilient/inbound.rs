//! What comes in, put in order: a gap is repaired before anything later is handed out.
//!
//! Offsets make loss visible. The next offset is handed out; an earlier one was seen; a later one waits until what is
//! missing has been read from the backend; one of a strange epoch waits until the group has been opened again.

use crate::{
    delivery::{Delivery, Posted},
    history::{Lineage, Page, Recovered},
    message::Message,
    name::GroupName,
    position::Position,
    registry::{
        Group, Registry,
        tail::{Before, Bounds, Tail},
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What a node keeps of a group: enough for those who reconnect and those who come late.
const COPY: Bounds = Bounds { messages: 100, bytes: 256 << 10, age: Duration::from_secs(5 * 60), ids: 200 };

/// What a group may hold back while it is being repaired or opened; beyond it the rest is read again.
const HOLD_MAX: usize = 4_096;

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
    held: VecDeque<(Position, Message)>,
}

#[derive(Debug)]
pub(crate) struct Inbound {
    registry: Arc<Registry>,
    readers: HashMap<GroupName, Reader>,
}

impl Inbound {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, readers: HashMap::new() }
    }

    /// Where this node's copy of the group ends.
    pub(crate) fn head(&self, group: &GroupName) -> Option<Position> {
        self.registry.existing(group, |group| group.tail.as_ref().map(Tail::head)).flatten()
    }

    /// Takes a message that the backend passed on.
    pub(crate) fn accept(&mut self, name: &GroupName, position: Option<Position>, message: Message) -> Need {
        let Some(position) = position else {
            let posted = Posted::new(name.clone(), message, None);
            self.registry.existing(name, |group| group.fan_out(&Delivery::Message(Arc::new(posted))));
            return Need::Nothing;
        };
        let reader = self.readers.entry(name.clone()).or_default();
        if reader.stage != Stage::Live {
            reader.hold(position, message);
            return Need::Nothing;
        }
        let step = self.registry.existing(name, |group| step(name, group, position, message));
        match step {
            None | Some(Step::Done) => Need::Nothing,
            Some(Step::Missing(after, message)) => {
                reader.held.push_front((position, message));
                reader.stage = Stage::Reading;
                Need::Read(after)
            }
            Some(Step::Strange(message)) => {
                reader.held.push_front((position, message));
                self.unsync(name);
                Need::Open
            }
        }
    }

    /// Takes the answer of an opening of a group that is subscribed to.
    pub(crate) fn opened(&mut self, name: &GroupName, lineage: &Lineage, recovered: Recovered) -> Need {
        let Ok(more) = self.registry.with(name, |group| {
            group.synced = true;
            take(name, group, Some(lineage), recovered)
        }) else {
            return Need::Nothing;
        };
        self.go_on(name, more)
    }

    /// Takes the answer of a read.
    pub(crate) fn read(&mut self, name: &GroupName, recovered: Recovered) -> Need {
        let more = self.registry.existing(name, |group| take(name, group, None, recovered));
        self.go_on(name, more.unwrap_or(false))
    }

    fn go_on(&mut self, name: &GroupName, more: bool) -> Need {
        let head = self.head(name);
        let reader = self.readers.entry(name.clone()).or_default();
        if let (true, Some(head)) = (more, head) {
            reader.stage = Stage::Reading;
            return Need::Read(head);
        }
        reader.stage = Stage::Live;
        while let Some((position, message)) =
            self.readers.get_mut(name).and_then(|reader| reader.held.pop_front())
        {
            let need = self.accept(name, Some(position), message);
            if need != Need::Nothing {
                return need;
            }
        }
        Need::Nothing
    }

    fn unsync(&mut self, name: &GroupName) {
        if let Some(reader) = self.readers.get_mut(name) {
            reader.stage = Stage::Unsynced;
        }
        self.registry.existing(name, |group| group.synced = false);
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
    fn hold(&mut self, position: Position, message: Message) {
        // What does not fit shows as a jump later, and is then read.
        if self.held.len() < HOLD_MAX {
            self.held.push_back((position, message));
        }
    }
}

enum Step {
    Done,
    /// Something between this position and the message is missing.
    Missing(Position, Message),
    /// The message's epoch is none that this node knows.
    Strange(Message),
}

fn step(name: &GroupName, group: &mut Group, position: Position, message: Message) -> Step {
    let Some(tail) = &mut group.tail else { return Step::Strange(message) };
    let head = tail.head();
    if position.epoch != head.epoch {
        return match tail.lineage().resume(position, head.offset) {
            Ok(_) => Step::Done,
            Err(_) => Step::Strange(message),
        };
    }
    if position.offset <= head.offset {
        return Step::Done;
    }
    if position.offset > head.offset + 1 {
        return Step::Missing(head, message);
    }
    post(group, Arc::new(Posted::new(name.clone(), message, Some(position))));
    Step::Done
}

/// Hands out a message of the history, or only its position to those who have it already.
fn post(group: &mut Group, posted: Arc<Posted>) {
    let (Some(tail), Some(position)) = (&mut group.tail, posted.position) else { return };
    if tail.find(posted.id).is_some() {
        tail.pass(position.offset);
        group.fan_out(&Delivery::Placed { group: posted.group.clone(), id: posted.id, position });
    } else {
        // The backend has the digests; this copy need not.
        group.post(posted, 0, Instant::now());
    }
}

/// Brings the copy up to what was read; says whether there is more to read.
fn take(name: &GroupName, group: &mut Group, lineage: Option<&Lineage>, recovered: Recovered) -> bool {
    match (&mut group.tail, recovered) {
        (Some(tail), Recovered::All(page)) => {
            if let Some(lineage) = lineage {
                tail.set_lineage(lineage.clone());
            }
            let Page { messages, head, more } = page;
            for message in messages {
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
            group.tail = Some(copy(lineage, page));
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
            group.tail = Some(copy(lineage, &page));
            group.fan_out(&Delivery::Resync { group: name.clone(), reason, page });
            false
        }
    }
}

fn copy(lineage: Lineage, page: &Page) -> Tail {
    let first = page.messages.first().and_then(|posted| posted.position);
    let start = first.map_or(page.head.offset, |first| first.offset - 1);
    let before = if page.more { Before::Backend } else { Before::Nothing };
    let mut tail = Tail::new(COPY, lineage, start, before);
    for posted in &page.messages {
        tail.append(Arc::clone(posted), 0, Instant::now());
    }
    tail.pass(page.head.offset);
    tail
}
