//! A group's messages for somebody who lacks them: on a join, after a resume, when what they hold is not whole.
//!
//! Messages come as the JSON texts that [`payload`](crate::payload) gives of frames that were delivered, and are copied
//! between the brackets. A busy room's snapshot is 50 messages for every joiner; parsing and printing them again would
//! cost more than everything else about the join.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::frame::Draft;
use crate::place::Position;

/// A group as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The JSON texts of the latest messages, oldest first.
    pub messages: &'a [Bytes],
    /// Does the history have older ones?
    pub more: bool,
    /// How many members the group has, when that is known.
    pub occupancy: Option<u64>,
    /// What each consumer has to say about the group.
    pub slots: Slots<'a>,
}

/// What consumers have to say beside some messages, each under its name, which is none of [`RESERVED`].
pub type Slots<'a> = &'a [(&'a str, Box<RawValue>)];

/// What no consumer can be called: the fields of the frames that have slots.
pub const RESERVED: &[&str] = &[
    "type",
    "ref",
    "group",
    "position",
    "recovered",
    "reason",
    "lost",
    "snapshot",
    "messages",
    "more",
    "next",
    "occupancy",
];

/// How a join ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// A first join, or one without `since`.
    Snapshot(Snapshot<'a>),
    /// A resume that worked.
    Recovered {
        /// The JSON texts of what was missed, oldest first.
        messages: &'a [Bytes],
        /// Was more missed, which did not fit?
        more: bool,
        /// What each consumer has to say about these messages.
        slots: Slots<'a>,
    },
    /// It cannot be said now: what has a position comes with the answer, which is a `resumed`.
    Pending,
    /// A resume that did not.
    Lost {
        /// One of [`Reason`](super::Reason)'s words.
        reason: &'a str,
        /// What the client takes instead of what it held.
        snapshot: Snapshot<'a>,
    },
}

/// The whole frame that answers a `join` for one group.
pub fn joined(reference: &str, group: &str, position: Option<Position>, outcome: &Outcome<'_>) -> Bytes {
    let mut draft = outcome.draft();
    draft.push(b"{\"type\":\"joined\",\"ref\":");
    draft.json(reference);
    push_place(&mut draft, group, position);
    push_outcome(&mut draft, outcome);
    draft.push(b"}");
    draft.finish()
}

/// The whole frame that answers later a `join` that was [`Pending`](Outcome::Pending).
pub fn resumed(group: &str, position: Option<Position>, outcome: &Outcome<'_>) -> Bytes {
    let mut draft = outcome.draft();
    draft.push(b"{\"type\":\"resumed\"");
    push_place(&mut draft, group, position);
    push_outcome(&mut draft, outcome);
    draft.push(b"}");
    draft.finish()
}

impl Outcome<'_> {
    fn draft(&self) -> Draft {
        let (messages, slots): (&[Bytes], Slots<'_>) = match self {
            Self::Snapshot(snapshot) | Self::Lost { snapshot, .. } => (snapshot.messages, snapshot.slots),
            Self::Recovered { messages, slots, .. } => (messages, slots),
            Self::Pending => (&[], &[]),
        };
        Draft::with_capacity(size(messages, slots))
    }
}

fn push_outcome(draft: &mut Draft, outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Snapshot(snapshot) => push_snapshot(draft, snapshot),
        Outcome::Recovered { messages, more, slots } => {
            draft.push(b",\"recovered\":true,");
            push_messages(draft, messages, *more);
            push_slots(draft, slots);
        }
        Outcome::Pending => draft.push(b",\"recovered\":\"pending\""),
        Outcome::Lost { reason, snapshot } => {
            draft.push(b",\"recovered\":false,\"reason\":");
            draft.json(*reason);
            push_snapshot(draft, snapshot);
        }
    }
}

/// The whole frame that tells a member, unasked, to take a snapshot instead of what it holds.
pub fn resync(group: &str, reason: &str, position: Option<Position>, snapshot: &Snapshot<'_>) -> Bytes {
    let mut draft = Draft::with_capacity(size(snapshot.messages, snapshot.slots));
    draft.push(b"{\"type\":\"resync\",\"reason\":");
    draft.json(reason);
    push_place(&mut draft, group, position);
    push_snapshot(&mut draft, snapshot);
    draft.push(b"}");
    draft.finish()
}

/// The whole frame that answers a `history`: some JSON texts, oldest first, where to read on if there is more, and what
/// consumers have to say about them.
pub fn history(
    reference: &str,
    group: &str,
    messages: &[Bytes],
    next: Option<Position>,
    slots: Slots<'_>,
) -> Bytes {
    let mut draft = Draft::with_capacity(size(messages, slots));
    draft.push(b"{\"type\":\"history\",\"ref\":");
    draft.json(reference);
    draft.push(b",\"group\":");
    draft.json(group);
    draft.push(b",");
    push_messages(&mut draft, messages, next.is_some());
    if let Some(next) = next {
        draft.push(b",\"next\":");
        draft.json(&next);
    }
    push_slots(&mut draft, slots);
    draft.push(b"}");
    draft.finish()
}

fn push_place(draft: &mut Draft, group: &str, position: Option<Position>) {
    draft.push(b",\"group\":");
    draft.json(group);
    draft.push(b",\"position\":");
    draft.json(&position);
}

fn push_snapshot(draft: &mut Draft, snapshot: &Snapshot<'_>) {
    draft.push(b",\"snapshot\":{");
    push_messages(draft, snapshot.messages, snapshot.more);
    if let Some(occupancy) = snapshot.occupancy {
        draft.push(b",\"occupancy\":");
        draft.json(&occupancy);
    }
    push_slots(draft, snapshot.slots);
    draft.push(b"}");
}

fn push_slots(draft: &mut Draft, slots: Slots<'_>) {
    for (name, slot) in slots {
        draft.push(b",");
        draft.json(*name);
        draft.push(b":");
        draft.push(slot.get());
    }
}

fn push_messages(draft: &mut Draft, messages: &[Bytes], more: bool) {
    draft.push(b"\"messages\":[");
    for (place, message) in messages.iter().enumerate() {
        if place > 0 {
            draft.push(b",");
        }
        draft.push(message);
    }
    draft.push(b"],\"more\":");
    draft.json(&more);
}

/// Room enough for nearly every frame: names and the fixed words rarely take more than 320 bytes.
fn size(messages: &[Bytes], slots: Slots<'_>) -> usize {
    let messages: usize = messages.iter().map(|message| message.len() + 1).sum();
    let slots: usize = slots.iter().map(|(name, slot)| name.len() + slot.get().len() + 4).sum();
    320 + messages + slots
}
