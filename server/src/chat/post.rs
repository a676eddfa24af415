//! Writing: what somebody sends, changes or takes back of their own.
//!
//! An edit or a deletion is a message of its own, idempotent like a send, that takes the place of the one it names; the layer
//! checks whose that is, in the same step in which it takes effect.

use crate::{
    chat::{
        answer::{answer, refusing},
        chats::Chats,
        message::{digest_of, message, now_ms, shown, user},
        pace::Pace,
    },
    consumer::{Context, Outcome, digest::digest},
};
use channel_layer::{Amendment, MessageId, Retention};
use palabre_protocol::{Delete, Deleted, Edit, Limits, Request, Send};
use std::sync::Arc;

pub(super) fn send(request: &Request, limits: &Limits, cx: &Context) -> Outcome {
    let asked: Send<'_> = request.body()?;
    refusing(request, &asked.group, cx, || {
        let written = asked.written();
        written.check(limits)?;
        let group = cx.member_of(&asked.group)?;
        let digest = digest_of(&[request.kind()], &written);
        let payload = shown(written, cx).payload();
        let message = message(&group, &asked.client_id, payload, digest, asked.since, cx)?;
        let id = message.id;
        // Its place in the order is taken here; only the ack waits.
        let sent = cx.group_send(&group, message, Retention::Kept);
        answer(request, &group, sent, id, id, cx)
    })
}

pub(super) fn edit(
    request: &Request,
    limits: &Limits,
    chats: Option<&Arc<Chats>>,
    pace: &mut Pace,
    cx: &Context,
) -> Outcome {
    let asked: Edit<'_> = request.body()?;
    refusing(request, &asked.group, cx, || {
        let written = asked.written();
        written.check(limits)?;
        let group = cx.member_of(&asked.group)?;
        let target = MessageId::from_u128(asked.id);
        let digest = digest_of(&[request.kind(), &target.to_string()], &written);
        let payload = shown(written, cx).edited_payload();
        let message = message(&group, &asked.client_id, payload, digest, asked.since, cx)?;
        if let Err(over) = pace.take(chats.map(|chats| &**chats), cx) {
            cx.slow_down(request.reference(), &group, &over);
            return Ok(());
        }
        let sent_as = message.id;
        let sent = cx.amend(&group, target, message, Amendment::Replace);
        answer(request, &group, sent, sent_as, target, cx)
    })
}

pub(super) fn delete(
    request: &Request,
    chats: Option<&Arc<Chats>>,
    pace: &mut Pace,
    cx: &Context,
) -> Outcome {
    let asked: Delete<'_> = request.body()?;
    refusing(request, &asked.group, cx, || {
        let group = cx.member_of(&asked.group)?;
        let target = MessageId::from_u128(asked.id);
        let digest = digest(&[&[request.kind(), &target.to_string()]]);
        let payload = Deleted { client_id: &asked.client_id, ts: now_ms(), user: user(cx) }.payload();
        let message = message(&group, &asked.client_id, payload, digest, asked.since, cx)?;
        if let Err(over) = pace.take(chats.map(|chats| &**chats), cx) {
            cx.slow_down(request.reference(), &group, &over);
            return Ok(());
        }
        let sent_as = message.id;
        let sent = cx.amend(&group, target, message, Amendment::Delete);
        let sent = match chats {
            Some(chats) => chats.forgetting(&group, target, sent),
            None => sent,
        };
        answer(request, &group, sent, sent_as, target, cx)
    })
}
