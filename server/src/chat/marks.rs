//! Reactions and read positions: what stands beside the messages, and what whoever reads them is told of it.

use crate::{
    chat::{
        answer::{answer_done, refusing},
        chats::Chats,
    },
    consumer::{Context, Failure, Outcome},
    position::{from_wire, on_wire},
    state::reactions::{Mark, Reaction, Seen},
};
use channel_layer::{
    Amendment, Body, Error, GapReason, GroupName, MessageId, Owner, Position, Posted, Recovered, Span,
    Version,
};
use futures_util::future::{FutureExt, join};
use palabre_protocol::{ChatSlot, Counts, ErrorCode, React, Reacted, Read, Refusal, Request};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Messages of one answer whose reactions come with it, the last of them: all that a snapshot or a page may have.
const REACTED_MAX: usize = 100;

/// What these reactions may weigh; what is over it is left out, that of the older messages.
const REACTED_BYTES: usize = 48 << 10;

/// Unread messages are counted up to here.
const UNREAD_MAX: usize = 100;

pub(super) fn react(request: &Request, chats: &Arc<Chats>, cx: &Context) -> Outcome {
    let asked: React = request.body()?;
    refusing(request, &asked.group, cx, || {
        let group = cx.member_of(&asked.group)?;
        let target = MessageId::from_u128(asked.id);
        let mark = if asked.on { Mark::On } else { Mark::Off };
        let reaction = Reaction { user: cx.owner(), kind: asked.kind.clone(), mark, version: asked.version };
        let taken = chats.state.reactions.react(&group, target, reaction);
        let (to, here) = (group.clone(), Arc::clone(chats));
        let told = async move {
            if let Some(tally) = taken.await? {
                here.tell(&to, target, tally);
            }
            Ok(())
        };
        let told = chats.see_through(told.boxed());
        let done = async move {
            told.await.map_err(|error| full(error, "this message takes no more reactions"))?;
            Ok(None)
        };
        answer_done(request, &group, Some(target), done, cx)
    })
}

pub(super) fn read(request: &Request, chats: &Arc<Chats>, cx: &Context) -> Outcome {
    let asked: Read = request.body()?;
    refusing(request, &asked.group, cx, || {
        let group = cx.member_of(&asked.group)?;
        let position = from_wire(asked.position)?;
        let (cx2, chats, to) = (cx.clone(), Arc::clone(chats), group.clone());
        let read = async move {
            let reads = &chats.state.reads;
            let user = cx2.owner();
            let Some(mut position) = present(&cx2, &to, position).await? else {
                let message = "the history does not know this position";
                return Err(Refusal::new(ErrorCode::NotFound, message).into());
            };
            // What was read in an epoch that lost nothing counts in the present one.
            if let Some(was) = reads.of(&to, user).await?.filter(|was| was.epoch != position.epoch) {
                let was = present(&cx2, &to, was).await?.map_or(0, |was| was.offset);
                position.offset = position.offset.max(was);
            }
            let read = reads.advance(&to, user, position).await;
            Ok(Some(read.map_err(|error| full(error, "this group keeps no more read positions"))?))
        };
        answer_done(request, &group, None, read, cx)
    })
}

/// What a refusal says where nothing more is kept: it is not the message that is too large.
fn full(error: Error, message: &'static str) -> Failure {
    match error {
        Error::TooLarge => Refusal::new(ErrorCode::TooLarge, message).into(),
        other => other.into(),
    }
}

/// A position of the history's past as one of its present epoch; `None`: the history does not know it.
async fn present(cx: &Context, group: &GroupName, position: Position) -> Result<Option<Position>, Error> {
    let head = match cx.history(group, Span::After(position), 1).await? {
        Recovered::All(page) | Recovered::Gap(GapReason::Trimmed, page) => page.head,
        Recovered::Gap(_, _) => return Ok(None),
    };
    Ok(Some(Position { epoch: head.epoch, offset: position.offset }))
}

/// What somebody who begins anew is told of the messages that they are given, and of themselves. What cannot be had now is left
/// out.
pub(super) async fn joining(
    group: &GroupName,
    messages: &[Arc<Posted>],
    chats: &Chats,
    cx: &Context,
) -> Option<Box<RawValue>> {
    let user = cx.owner();
    let (reactions, unread) =
        join(reactions(group, messages, user, chats), unread(group, user, chats, cx)).await;
    slot(&reactions, unread.unwrap_or_default())
}

/// What somebody who reads on is told of the messages that they are given.
pub(super) async fn reading(
    group: &GroupName,
    messages: &[Arc<Posted>],
    chats: &Chats,
    cx: &Context,
) -> Option<Box<RawValue>> {
    slot(&reactions(group, messages, cx.owner(), chats).await, None)
}

/// The reactions to the last of these messages, those that have some, as far as they can be had.
async fn reactions(
    group: &GroupName,
    messages: &[Arc<Posted>],
    user: Owner,
    chats: &Chats,
) -> Vec<(MessageId, Seen)> {
    let frames = messages.iter().rev().filter(|posted| matches!(posted.body, Body::Frame(_)));
    let shown: Vec<MessageId> = frames.take(REACTED_MAX).map(|posted| posted.id).collect();
    if shown.is_empty() {
        return Vec::new();
    }
    let seen = chats.state.reactions.of(group, shown.clone(), user).await.unwrap_or_default();
    let mut bytes = 0;
    let mut fits = |seen: &Seen| {
        bytes += weight(seen);
        bytes <= REACTED_BYTES
    };
    let reacted = shown.into_iter().zip(seen).filter(|(_, seen)| !seen.tally.counts.is_empty());
    reacted.take_while(|(_, seen)| fits(seen)).collect()
}

/// What one message's reactions take on the wire, at most: a kind's quotes and backslashes are written as two bytes each.
fn weight(seen: &Seen) -> usize {
    let mine = seen.mine.iter().map(|kind| 2 * kind.len() + 3);
    let all = seen.tally.counts.iter().map(|(kind, _)| 2 * kind.len() + 20);
    100 + all.chain(mine).sum::<usize>()
}

fn slot(reactions: &[(MessageId, Seen)], unread: Option<(Position, u64, bool)>) -> Option<Box<RawValue>> {
    if reactions.is_empty() && unread.is_none() {
        return None;
    }
    let slot = ChatSlot {
        reactions: &reactions.iter().map(|(id, seen)| (id.as_u128(), reacted(seen))).collect::<Vec<_>>(),
        read: unread.map(|(read, _, _)| on_wire(read)),
        unread: unread.map(|(_, count, _)| count),
        unread_more: unread.is_some_and(|(_, _, more)| more),
    };
    Some(to_raw_value(&slot).expect("its keys are text"))
}

fn reacted(seen: &Seen) -> Reacted<'_> {
    Reacted { counts: Counts(&seen.tally.counts), rev: seen.tally.rev, mine: &seen.mine }
}

/// How far the user has read, how many messages of others came since, and whether there are more than were counted.
async fn unread(
    group: &GroupName,
    user: Owner,
    chats: &Chats,
    cx: &Context,
) -> Result<Option<(Position, u64, bool)>, Error> {
    let Some(read) = chats.state.reads.of(group, user).await? else { return Ok(None) };
    let (page, more) = match cx.history(group, Span::After(read), UNREAD_MAX).await? {
        Recovered::All(page) => (page.messages, page.more),
        Recovered::Gap(GapReason::Trimmed, page) => (page.messages, true),
        // It was read in a history that is not this one.
        Recovered::Gap(_, _) => return Ok(None),
    };
    // What was edited since stands further on than where it is read.
    let is_new = |version: &Version| {
        let is_later = version.first.is_none_or(|first| first.offset > read.offset);
        version.amendment == Amendment::Replace && is_later
    };
    let is_news = |posted: &&Arc<Posted>| {
        let is_message =
            matches!(posted.body, Body::Frame(_)) && posted.version.as_deref().is_none_or(is_new);
        is_message && posted.owner != Some(user)
    };
    let count = page.iter().filter(is_news).count() as u64;
    Ok(Some((read, count, more)))
}
