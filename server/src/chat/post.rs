//! Sending: a request becomes a message whose id is the client's choice, so that a repeat is known wherever it arrives.

use crate::{
    consumer::{Context, Failure, Outcome},
    position::{from_wire, on_wire},
};
use channel_layer::{Answer, GroupName, Message, MessageId, Owner, Retention, Sent};
use palabre_protocol::{Ack, ChatMessage, ErrorFrame, Limits, Refusal, Request, Send, User};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn send(request: &Request, limits: &Limits, cx: &Context) -> Outcome {
    let asked: Send<'_> = request.body()?;
    if let Err(failure) = post(request, &asked, limits, cx) {
        cx.refuse(request.reference(), &asked.group, &failure);
    }
    Ok(())
}

fn post(request: &Request, asked: &Send<'_>, limits: &Limits, cx: &Context) -> Outcome {
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
    let data = asked.data.map_or("", |data| data.get());
    let digest = digest(&[request.kind(), &asked.text, data, asked.reply_to.as_deref().unwrap_or_default()]);
    let message = Message::frame(id(&group, cx, &asked.client_id), message.payload())
        .owned_by(owner(cx))
        .with_digest(digest)
        .with_floor(floor);
    // Its place in the order is taken here; only the ack waits.
    let sent = cx.group_send(&group, message, Retention::Kept);
    answer(request, &group, sent, Named::BySend, cx)
}

/// By which id an ack names the message.
pub(super) enum Named {
    /// By what was sent.
    BySend,
    /// By what was amended.
    As(MessageId),
}

/// Puts off the ack, or the error, until it is known what became of a message.
pub(super) fn answer(
    request: &Request,
    group: &GroupName,
    sent: Answer<Sent>,
    named: Named,
    cx: &Context,
) -> Outcome {
    let (reference, group) = (request.reference().map(str::to_owned), group.clone());
    let to = cx.clone();
    cx.defer(async move {
        let reference = reference.as_deref();
        let frame = match sent.await {
            Ok(sent) => Ack {
                reference: reference?,
                group: group.as_str(),
                id: match named {
                    Named::BySend => sent.id.as_u128(),
                    Named::As(id) => id.as_u128(),
                },
                position: sent.position.map(on_wire),
                scope: sent.scope.as_str(),
            }
            .encode(),
            Err(error) => {
                let Failure(Refusal { code, message }) = error.into();
                let group = Some(group.as_str());
                to.error(&ErrorFrame { reference, group, code, message: &message })
            }
        };
        Some(frame)
    })
}

pub(super) fn user(cx: &Context) -> User<'_> {
    let who = cx.identity();
    User { id: &who.id, name: &who.name }
}

/// Whose messages a user's are: the same on every node and in every connection.
pub(super) fn owner(cx: &Context) -> Owner {
    Owner::from_u64(digest(&[&cx.identity().id]))
}

/// The id of what this client calls `client_id`: the first 16 bytes of SHA-256 over the three, each after its length.
pub(super) fn id(group: &GroupName, cx: &Context, client_id: &str) -> MessageId {
    let hash = hash(&[group.as_str(), &cx.identity().id, client_id]);
    let (first, _) = hash.split_at(16);
    MessageId::from_u128(u128::from_be_bytes(first.try_into().expect("16 of 32 bytes")))
}

/// Of what the client sent, without what the hub adds: a repeat has the same.
pub(super) fn digest(parts: &[&str]) -> u64 {
    let hash = hash(parts);
    let (first, _) = hash.split_at(8);
    u64::from_be_bytes(first.try_into().expect("8 of 32 bytes"))
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        let length = u32::try_from(part.len()).expect("a frame is shorter");
        hash.update(length.to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
