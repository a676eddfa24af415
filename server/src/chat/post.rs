//! Sending: a request becomes a message whose id is the client's choice, so that a repeat is known wherever it arrives.

use crate::{
    consumer::{Context, Failure, Outcome},
    position::{from_wire, on_wire},
};
use channel_layer::{Message, MessageId, Retention};
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
    let who = cx.identity();
    let message = ChatMessage {
        client_id: &asked.client_id,
        ts: now_ms(),
        user: User { id: &who.id, name: &who.name },
        text: &asked.text,
        data: asked.data,
        reply_to: asked.reply_to.as_deref(),
        version: 1,
    };
    let message = Message::frame(id(group.as_str(), &who.id, &asked.client_id), message.payload())
        .with_digest(digest(request.kind(), asked))
        .with_floor(floor);
    // Its place in the order is taken here; only the ack waits.
    let sent = cx.group_send(&group, message, Retention::Kept);
    let reference = request.reference().map(str::to_owned);
    cx.defer(async move {
        let reference = reference.as_deref();
        let frame = match sent.await {
            Ok(sent) => Ack {
                reference: reference?,
                group: group.as_str(),
                id: sent.id.as_u128(),
                position: sent.position.map(on_wire),
                scope: sent.scope.as_str(),
            }
            .encode(),
            Err(error) => {
                let Failure(Refusal { code, message }) = error.into();
                let group = Some(group.as_str());
                palabre_protocol::encode(&ErrorFrame { reference, group, code, message: &message })
            }
        };
        Some(frame)
    })
}

/// The first 16 bytes of SHA-256 over the three, each after its length: `docs/protocol.md`.
fn id(group: &str, user: &str, client_id: &str) -> MessageId {
    let hash = hash(&[group, user, client_id]);
    let (first, _) = hash.split_at(16);
    MessageId::from_u128(u128::from_be_bytes(first.try_into().expect("16 of 32 bytes")))
}

/// Of what the client sent, without what the hub adds: a repeat has the same.
fn digest(kind: &str, asked: &Send<'_>) -> u64 {
    let data = asked.data.map_or("", |data| data.get());
    let hash = hash(&[kind, &asked.text, data, asked.reply_to.as_deref().unwrap_or_default()]);
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

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
