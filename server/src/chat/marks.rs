//! Reactions and read positions: what stands beside the messages, and what a joiner is given of it.

use crate::{
    chat::{
        answer::{answer_done, refusing},
        chats::Chats,
        message::owner,
    },
    consumer::{Context, Outcome},
    position::{from_wire, on_wire},
    state::reactions::{Mark, Reaction},
};
use channel_layer::{
    Amendment, Answer, Body, Error, GapReason, GroupName, MessageId, Owner, Page, Position, Posted,
    Recovered, Span, Version,
};
use futures_util::future::{FutureExt, join};
use palabre_protocol::{ChatSlot, Counts, ErrorCode, React, Reacted, Read, Refusal, Request};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Messages of a snapshot whose reactions come with it: all that it may have.
const REACTED_MAX: usize = 50;

/// Unread messages are counted up to here.
const UNREAD_MAX: usize = 100;

pub(super) fn react(request: &Request, chats: &Arc<Chats>, cx: &Context) -> Outcome {
    let asked: React = request.body()?;
    refusing(request, &asked.group, cx, || {
        let group = cx.member_of(&asked.group)?;
        let target = MessageId::from_u128(asked.id);
        let mark = if asked.on { Mark::On } else { Mark::Off };
        let reaction = Reaction { user: owner(cx), kind: asked.kind.clone(), mark, version: asked.version };
        let taken = chats.state.reactions.react(&group, target, reaction);
        let (to, here) = (group.clone(), Arc::clone(chats));
        let told = async move {
            if let Some(tally) = taken.await? {
                here.tell(&to, target, tally);
            }
            Ok(())
        };
        let told = chats.see_through(told.boxed());
        answer_done(request, &group, Some(target), async move { Ok(told.await.map(|()| None)?) }, cx)
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
            let user = owner(&cx2);
            let Some(mut position) = present(&cx2, &to, position).await? else {
                let message = "the history does not know this position";
                return Err(Refusal::new(ErrorCode::NotFound, message).into());
            };
            // What was read in an epoch that lost nothing counts in the present one.
            if let Some(was) = reads.of(&to, user).await?.filter(|was| was.epoch != position.epoch) {
                let was = present(&cx2, &to, was).await?.map_or(0, |was| was.offset);
                position.offset = position.offset.max(was);
            }
            Ok(Some(reads.advance(&to, user, position).await?))
        };
        answer_done(request, &group, None, read, cx)
    })
}

/// A position of the history's past as one of its present epoch; `None`: the history does not know it.
async fn present(cx: &Context, group: &GroupName, position: Position) -> Result<Option<Position>, Error> {
    let head = match cx.history(group, Span::After(position), 1).await? {
        Recovered::All(page) | Recovered::Gap(GapReason::Trimmed, page) => page.head,
        Recovered::Gap(_, _) => return Ok(None),
    };
    Ok(Some(Position { epoch: head.epoch, offset: position.offset }))
}

/// What somebody who is given `page` is told of it and of themselves. What cannot be had now is left out.
pub(super) async fn slot(
    group: &GroupName,
    page: &Page,
    chats: &Chats,
    cx: &Context,
) -> Option<Box<RawValue>> {
    let user = owner(cx);
    let shown = page.messages.iter().rev().filter(|posted| matches!(posted.body, Body::Frame(_)));
    let shown: Vec<MessageId> = shown.take(REACTED_MAX).map(|posted| posted.id).collect();
    let reactions: Answer<Vec<_>> = match &shown[..] {
        [] => futures_util::future::ready(Ok(Vec::new())).boxed(),
        _ => chats.state.reactions.of(group, shown.clone(), user),
    };
    let (reactions, unread) = join(reactions, unread(group, user, chats, cx)).await;
    let (reactions, unread) = (reactions.unwrap_or_default(), unread.unwrap_or_default());
    let reacted: Vec<(u128, Reacted<'_>)> = (shown.iter().zip(&reactions))
        .filter(|(_, seen)| !seen.tally.counts.is_empty())
        .map(|(id, seen)| {
            let (counts, rev) = (Counts(&seen.tally.counts), seen.tally.rev);
            (id.as_u128(), Reacted { counts, rev, mine: &seen.mine })
        })
        .collect();
    if reacted.is_empty() && unread.is_none() {
        return None;
    }
    let slot = ChatSlot {
        reactions: &reacted,
        read: unread.map(|(read, _, _)| on_wire(read)),
        unread: unread.map(|(_, count, _)| count),
        unread_more: unread.is_some_and(|(_, _, more)| more),
    };
    Some(to_raw_value(&slot).expect("its keys are text"))
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
    let is_new =
        |version: &Version| version.amendment == Amendment::Replace && version.first.offset > read.offset;
    let is_news = |posted: &&Arc<Posted>| {
        let is_message =
            matches!(posted.body, Body::Frame(_)) && posted.version.as_deref().is_none_or(is_new);
        is_message && posted.owner != Some(user)
    };
    let count = page.iter().filter(is_news).count() as u64;
    Ok(Some((read, count, more)))
}
