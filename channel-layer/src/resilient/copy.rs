//! This node's copy of a group's history, brought up to what comes in and what was read.
//!
//! Whatever is new in it is handed out to the members in the same step. Nothing is asked for here.

use crate::{
    delivery::{Delivery, Posted},
    history::{Lineage, Page, Recovered},
    message::MessageId,
    name::GroupName,
    position::Position,
    registry::{
        Group,
        tail::{Tail, TailBounds},
    },
};
use std::sync::Arc;
use tokio::time::Instant;

/// Whether a page is all that its history ever had, but for what was amended.
pub(super) fn begins_with_first(page: &Page) -> bool {
    let first = page.messages.first().and_then(|posted| posted.position);
    !page.more && first.map_or(page.head.offset == 0, |first| first.offset == 1)
}

pub(super) enum Step {
    Done,
    /// Something between the head and the message is missing.
    Missing,
    /// The message's epoch is none that this node knows.
    Strange,
}

pub(super) fn step(group: &mut Group, position: Position, posted: &Arc<Posted>) -> Step {
    let Some(tail) = &mut group.tail else { return Step::Strange };
    let head = tail.head();
    if position.epoch != head.epoch {
        return match tail.lineage().resume(position, head.offset) {
            Ok(_) => Step::Done,
            Err(_) => Step::Strange,
        };
    }
    if position.offset <= head.offset {
        return Step::Done;
    }
    if position.offset > head.offset + 1 {
        return Step::Missing;
    }
    post(group, Arc::clone(posted));
    Step::Done
}

/// Hands out a message of the history, or only its position to those who have it already.
fn post(group: &mut Group, posted: Arc<Posted>) {
    let (Some(tail), Some(position)) = (&mut group.tail, posted.position) else { return };
    if position.offset <= tail.head().offset {
        // A read was overtaken: by an opening, or by another read.
        return;
    }
    if tail.find(posted.sent_as()).is_some() {
        tail.pass(position.offset);
        group.fan_out(Delivery::Placed { group: posted.group.clone(), id: posted.id, position });
    } else {
        // The backend has the digests; this copy need not.
        group.post(posted, 0, Instant::now());
    }
}

/// Takes members past offsets whose messages were amended since and stand further on: what is live has no holes.
fn pass_over(group: &Group, next: &Posted) {
    let (Some(tail), Some(next_at)) = (&group.tail, next.position) else { return };
    for position in next_at.missing_after(tail.head()) {
        group.fan_out(Delivery::Placed { group: next.group.clone(), id: MessageId::REPLACED, position });
    }
}

/// Brings the copy up to what was read; says whether there is more to read.
pub(super) fn take(
    name: &GroupName,
    group: &mut Group,
    lineage: Option<&Lineage>,
    recovered: Recovered,
    bounds: TailBounds,
) -> bool {
    match (&mut group.tail, recovered) {
        (Some(tail), Recovered::All(page)) => {
            if let Some(lineage) = lineage {
                tail.set_lineage(lineage.clone());
            }
            let Page { messages, head, more } = page;
            for message in messages {
                pass_over(group, &message);
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
            group.tail = Some(Tail::of_page(bounds, lineage, page));
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
            group.tail = Some(Tail::of_page(bounds, lineage, &page));
            group.fan_out(Delivery::Resync { group: name.clone(), reason, page: Box::new(page) });
            false
        }
    }
}
