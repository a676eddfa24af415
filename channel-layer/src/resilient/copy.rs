//! This node's copy of a group's history, brought up to what comes in and what was read.
//!
//! Whatever is new in it is handed out to the members in the same step. Nothing is asked for here.

use crate::{
    delivery::{Delivery, Posted},
    gap::{Gap, Hole},
    history::{GapReason, Lineage, Page, Recovered},
    message::MessageId,
    name::GroupName,
    position::Position,
    registry::{
        Group,
        tail::{Tail, TailBounds},
    },
};
use std::{iter, sync::Arc};
use tokio::time::Instant;

/// Whether a page is all that its history ever had, but for what was amended.
pub(super) fn begins_with_first(page: &Page) -> bool {
    let first = page.messages.first().and_then(|posted| posted.position);
    !page.more && first.map_or(page.head.offset == 0, |first| first.offset == 1)
}

pub(super) enum Step {
    /// Members were handed it out.
    News,
    /// There was nothing to hand out.
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
    if post(group, Arc::clone(posted)) { Step::News } else { Step::Done }
}

/// Hands out a message of the history, or only its position to those who have it already; says whether it was news.
fn post(group: &mut Group, posted: Arc<Posted>) -> bool {
    let (Some(tail), Some(position)) = (&group.tail, posted.position) else { return false };
    if position.offset <= tail.head().offset {
        // A read was overtaken: by an opening, or by another read.
        return false;
    }
    let gap = Gap::of(&posted);
    // It was lost and put back; or it says of what is lost what nobody here lacks.
    let is_last_seen = |hole: &Hole| tail.has_seen(Position { epoch: hole.epoch, offset: hole.last });
    let is_no_loss =
        gap.as_ref().is_some_and(|gap| !gap.holes.is_empty() && gap.holes.iter().all(is_last_seen));
    let has_come_by = tail.find(posted.sent_as()).is_some()
        || iter::once(&position).chain(&posted.was).any(|at| tail.has_seen(*at));
    // Or it is of this node, and was handed out before it had a position.
    let number = |posted: &Posted| posted.version.as_ref().map(|version| version.number);
    let shown = group.take_loose(posted.sent_as());
    let is_shown = shown.is_some_and(|shown| number(&shown) == number(&posted));
    let name = || posted.group.clone();
    let delivery = match gap {
        _ if has_come_by || is_no_loss || is_shown => {
            Delivery::Placed { group: name(), id: posted.id, position }
        }
        Some(gap) => gap.delivery(name(), Some(position)),
        None => Delivery::Message(Arc::clone(&posted)),
    };
    let is_news = matches!(delivery, Delivery::Message(_));
    group.keep(posted, Instant::now());
    group.fan_out(delivery);
    is_news
}

/// Takes members past offsets whose messages were amended since and stand further on: what is live has no holes.
fn pass_over(group: &Group, next: &Posted) {
    let (Some(tail), Some(next_at)) = (&group.tail, next.position) else { return };
    for position in next_at.missing_after(tail.head()) {
        group.fan_out(Delivery::Placed { group: next.group.clone(), id: MessageId::REPLACED, position });
    }
}

/// Of what members were handed out without a position some stands in a page that the copy begins with. They stand at its end by
/// now, in its epoch, and are not led back into the one before.
fn place_loose(group: &mut Group, lineage: &Lineage, page: &Page) {
    for posted in &page.messages {
        if let (Some(mut position), Some(shown)) = (posted.position, group.take_loose(posted.sent_as())) {
            if lineage.has_kept(position, page.head.offset) {
                position.epoch = lineage.epoch;
            }
            group.fan_out(Delivery::Placed { group: shown.group.clone(), id: shown.id, position });
        }
    }
}

/// What the copy hangs on to is what the history says, from now on.
fn renew(name: &GroupName, group: &mut Group, lineage: &Lineage) {
    let Some(tail) = &mut group.tail else { return };
    let head = tail.head();
    if head.epoch == lineage.epoch {
        tail.set_lineage(lineage.clone());
        return;
    }
    let goes_on_after = lineage.resume(head, head.offset).unwrap_or(0);
    tail.rewind(lineage.clone(), goes_on_after);
    if goes_on_after < head.offset {
        // What somebody had was put back. What nobody had, nobody knows of.
        group.fan_out(Delivery::Gap {
            group: name.clone(),
            position: None,
            lost: 0,
            reason: GapReason::Rebuilt,
        });
    }
}

/// What was read has been taken.
pub(super) struct Read {
    /// There is more to read.
    pub(super) more: bool,
    /// How many messages the members lacked.
    pub(super) news: u64,
}

/// Brings the copy up to what was read.
pub(super) fn take(
    name: &GroupName,
    group: &mut Group,
    lineage: Option<&Lineage>,
    recovered: Recovered,
    bounds: TailBounds,
) -> Read {
    match (&mut group.tail, recovered) {
        (Some(_), Recovered::All(page)) => {
            if let Some(lineage) = lineage {
                renew(name, group, lineage);
            }
            let Page { messages, head, more } = page;
            let mut news = 0;
            for message in messages {
                pass_over(group, &message);
                news += u64::from(post(group, message));
            }
            if let (Some(tail), false) = (&mut group.tail, more) {
                // What the history dropped from its end is no loss.
                tail.pass(head.offset);
            }
            Read { more, news }
        }
        (None, recovered) => {
            // All that is retained counts as seen: members of this node begin here.
            let page = recovered.page();
            let lineage = lineage.cloned().unwrap_or_else(|| Lineage::of(page.head.epoch));
            group.tail = Some(Tail::of_page(bounds, lineage.clone(), page));
            place_loose(group, &lineage, page);
            Read { more: false, news: 0 }
        }
        (Some(tail), Recovered::Gap(reason, page)) => {
            tracing::warn!(
                event = "layer.resync",
                group = %name,
                reason = reason.as_str(),
                "what this node held is not what the history holds"
            );
            let lineage = lineage.unwrap_or_else(|| tail.lineage()).clone();
            group.tail = Some(tail.succeeded_by(Tail::of_page(bounds, lineage.clone(), &page)));
            // The page comes first: a member that was told of a position in it would hold what stands before that for seen.
            let resync = Delivery::Resync { group: name.clone(), reason, page: Box::new(page.clone()) };
            group.fan_out(resync);
            place_loose(group, &lineage, &page);
            Read { more: false, news: 0 }
        }
    }
}
