//! Editing and deleting what one has written oneself.
//!
//! Either is a message of its own, idempotent like a send, that takes the place of the one it names; the layer checks whose
//! that is, in the same step in which it takes effect.

use crate::{
    chat::{
        chats::Chats,
        post::{Named, answer, digest, id, now_ms, owner, user},
    },
    consumer::{Context, Outcome},
    position::from_wire,
};
use channel_layer::{Amendment, Message, MessageId};
use palabre_protocol::{ChatMessage, Delete, Deleted, Edit, Limits, Request};
use std::sync::Arc;

pub(super) fn edit(request: &Request, limits: &Limits, cx: &Context) -> Outcome {
    let asked: Edit<'_> = request.body()?;
    refusing(request, &asked.group, cx, || {
        asked.check(limits)?;
        let group = cx.member_of(&asked.group)?;
        let floor = asked.since.map(from_wire).transpose()?;
        let message = ChatMessage {
            client_id: &asked.client_id,
            ts: now_ms(),
            user: user(cx),
            text: &asked.text,
            data: asked.data,
            reply_to: asked.reply_to.as_deref(),
        };
        let (target, data) = (MessageId::from_u128(asked.id), asked.data.map_or("", |data| data.get()));
        let reply_to = asked.reply_to.as_deref().unwrap_or_default();
        let digest = digest(&[request.kind(), &target.to_string(), &asked.text, data, reply_to]);
        let message = Message::frame(id(&group, cx, &asked.client_id), message.edited_payload())
            .owned_by(owner(cx))
            .with_digest(digest)
            .with_floor(floor);
        let sent = cx.amend(&group, target, message, Amendment::Replace);
        answer(request, &group, sent, Named::As(target), cx)
    })
}

pub(super) fn delete(request: &Request, chats: Option<&Arc<Chats>>, cx: &Context) -> Outcome {
    let asked: Delete = request.body()?;
    refusing(request, &asked.group, cx, || {
        let group = cx.member_of(&asked.group)?;
        let floor = asked.since.map(from_wire).transpose()?;
        let target = MessageId::from_u128(asked.id);
        let tombstone = Deleted { client_id: &asked.client_id, ts: now_ms(), user: user(cx) };
        let message = Message::frame(id(&group, cx, &asked.client_id), tombstone.payload())
            .owned_by(owner(cx))
            .with_digest(digest(&[request.kind(), &target.to_string()]))
            .with_floor(floor);
        let sent = cx.amend(&group, target, message, Amendment::Delete);
        let sent = match chats {
            Some(chats) => chats.forgetting(&group, target, sent),
            None => sent,
        };
        answer(request, &group, sent, Named::As(target), cx)
    })
}

/// Does what a request about a group asks for; a refusal names the group.
pub(super) fn refusing(
    request: &Request,
    group: &str,
    cx: &Context,
    act: impl FnOnce() -> Outcome,
) -> Outcome {
    if let Err(failure) = act() {
        cx.refuse(request.reference(), group, &failure);
    }
    Ok(())
}
