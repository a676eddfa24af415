//! What travels between nodes: a message as bytes, with a version first.
//!
//! ```text
//! version u8 = 1 | kind u8 (0 frame, 1 event) | id 16 bytes | header length u16 | header | body
//! header: any number of (tag u8, length u16, value)
//!   1 `except`   2 the event's kind   3 the owner u64, always first   5 former positions: epoch u64, offset u64, at most 3
//!   4 an amendment, always second: its id 16 bytes | 1 replaces, 2 deletes | epoch, offset, version
//! ```
//!
//! Integers are big-endian. An amendment's envelope bears the id of the message that it amends, so that a node that does
//! not know the tag shows no more than another copy of that. Where version 1 stood and which version this is are known to
//! nobody before it is numbered: 16, 16 and 8 hexadecimal digits that the backend fills in, zeros until then.
//!
//! A reader passes over tags that it does not know, so that a newer node can add one; another version is malformed to it.
//! Bounded, because anybody who may publish in the backend can write here.

use crate::{
    amend::{Amendment, Owner, Version},
    delivery::Posted,
    message::{Body, KIND_BYTES_MAX, Message, MessageId},
    name::{ChannelName, GroupName},
    position::{Epoch, Position},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::Range;

const VERSION: u8 = 1;
const KIND_FRAME: u8 = 0;
const KIND_EVENT: u8 = 1;
const TAG_EXCEPT: u8 = 1;
const TAG_EVENT_KIND: u8 = 2;
const TAG_OWNER: u8 = 3;
const TAG_AMENDS: u8 = 4;
const TAG_WAS: u8 = 5;
const REPLACES: u8 = 1;
const DELETES: u8 = 2;
const FIXED_BYTES: usize = 20;

/// Where an amendment's envelope has what its backend fills in: after what is fixed, the owner's field, and the beginning
/// of its own.
pub(crate) const FILLED_IN: Range<usize> = 51..91;

const FILLED_IN_BYTES: usize = 40;

/// Former positions that are kept: those of the last epochs are all that anybody still knows.
const WAS_MAX: usize = 3;

/// The largest envelope that is read.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// These bytes are no envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What an envelope holds.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The message; of an amendment with the id of what it amends.
    pub(crate) message: Message,
    version: Option<Version>,
    was: Vec<Position>,
}

impl Decoded {
    /// The message in its group.
    pub(crate) fn posted(self, group: GroupName, position: Option<Position>) -> Posted {
        let mut posted = Posted::new(group, self.message, position);
        posted.was = self.was.into();
        match self.version {
            Some(version) => posted.with_version(version),
            None => posted,
        }
    }
}

pub(crate) fn encode(message: &Message) -> Bytes {
    let mut header = BytesMut::new();
    if let Some(owner) = message.owner {
        field(&mut header, TAG_OWNER, &owner.as_u64().to_be_bytes());
    }
    if let Some(amends) = message.amends() {
        field(&mut header, TAG_AMENDS, &amended_by(message.id, amends.amendment, [b'0'; FILLED_IN_BYTES]));
    }
    let id = message.amends().map_or(message.id, |amends| amends.target);
    sealed(id, header, message.except.as_ref(), &message.body)
}

/// What was in a history, to be put back into it: with what the backend had filled in, and where it stood.
pub(crate) fn encode_again(posted: &Posted) -> Bytes {
    let mut header = BytesMut::new();
    if let Some(owner) = posted.owner {
        field(&mut header, TAG_OWNER, &owner.as_u64().to_be_bytes());
    }
    if let Some(version) = &posted.version {
        let place = version.first.map_or_else(
            || format!("{:032x}", 0),
            |Position { epoch, offset }| format!("{epoch}{offset:016x}"),
        );
        let filled_in = format!("{place}{:08x}", version.number);
        let filled_in = filled_in.into_bytes().try_into().unwrap_or([b'0'; FILLED_IN_BYTES]);
        field(&mut header, TAG_AMENDS, &amended_by(version.by, version.amendment, filled_in));
    }
    let mut was = BytesMut::new();
    for Position { epoch, offset } in posted.position.iter().chain(&posted.was).take(WAS_MAX) {
        was.put_u64(epoch.as_u64());
        was.put_u64(*offset);
    }
    field(&mut header, TAG_WAS, &was);
    sealed(posted.id, header, posted.except.as_ref(), &posted.body)
}

fn amended_by(
    id: MessageId,
    amendment: Amendment,
    filled_in: [u8; FILLED_IN_BYTES],
) -> [u8; 17 + FILLED_IN_BYTES] {
    let mut value = [0; 17 + FILLED_IN_BYTES];
    value[..16].copy_from_slice(&id.as_u128().to_be_bytes());
    value[16] = match amendment {
        Amendment::Replace => REPLACES,
        Amendment::Delete => DELETES,
    };
    value[17..].copy_from_slice(&filled_in);
    value
}

fn sealed(id: MessageId, mut header: BytesMut, except: Option<&ChannelName>, body: &Body) -> Bytes {
    if let Some(except) = except {
        field(&mut header, TAG_EXCEPT, except.as_str().as_bytes());
    }
    let kind = match body {
        Body::Frame(_) => KIND_FRAME,
        Body::Event { kind, .. } => {
            field(&mut header, TAG_EVENT_KIND, kind.as_bytes());
            KIND_EVENT
        }
    };
    let data = body.data();
    let mut out = BytesMut::with_capacity(FIXED_BYTES + header.len() + data.len());
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u128(id.as_u128());
    out.put_u16(u16::try_from(header.len()).expect("a few short fields"));
    out.put_slice(&header);
    out.put_slice(data);
    out.freeze()
}

fn field(header: &mut BytesMut, tag: u8, value: &[u8]) {
    // What a field holds is a number, a checked name or a word of the program.
    let length = u16::try_from(value.len()).expect("names are short");
    header.put_u8(tag);
    header.put_u16(length);
    header.put_slice(value);
}

pub(crate) fn decode(mut bytes: Bytes) -> Result<Decoded, Malformed> {
    if bytes.len() < FIXED_BYTES || bytes.len() > ENVELOPE_BYTES_MAX || bytes.get_u8() != VERSION {
        return Err(Malformed);
    }
    let kind = bytes.get_u8();
    let id = MessageId::from_u128(bytes.get_u128());
    let header_bytes = usize::from(bytes.get_u16());
    if header_bytes > bytes.len() {
        return Err(Malformed);
    }
    let mut header = bytes.split_to(header_bytes);
    let (mut except, mut event_kind, mut owner, mut version, mut was) = (None, None, None, None, Vec::new());
    while header.has_remaining() {
        if header.len() < 3 {
            return Err(Malformed);
        }
        let (tag, length) = (header.get_u8(), usize::from(header.get_u16()));
        if length > header.len() {
            return Err(Malformed);
        }
        let mut value = header.split_to(length);
        match tag {
            TAG_EXCEPT => except = Some(text(&value)?.parse().map_err(|_| Malformed)?),
            TAG_EVENT_KIND if length > KIND_BYTES_MAX => return Err(Malformed),
            TAG_EVENT_KIND => event_kind = Some(text(&value)?.to_owned()),
            TAG_OWNER => owner = Some(Owner::from_u64(value.try_get_u64().map_err(|_| Malformed)?)),
            TAG_AMENDS => version = Some(amended(value)?),
            TAG_WAS => was = former(value)?,
            _ => {}
        }
    }
    let mut message = match (kind, event_kind) {
        (KIND_FRAME, None) => Message::frame(id, bytes),
        (KIND_EVENT, Some(kind)) => Message::event(id, kind, bytes),
        _ => return Err(Malformed),
    };
    message.except = except;
    message.owner = owner;
    Ok(Decoded { message, version, was })
}

fn former(mut value: Bytes) -> Result<Vec<Position>, Malformed> {
    let mut was = Vec::new();
    while value.has_remaining() && was.len() < WAS_MAX {
        let epoch = value.try_get_u64().ok().and_then(Epoch::from_u64).ok_or(Malformed)?;
        was.push(Position { epoch, offset: value.try_get_u64().map_err(|_| Malformed)? });
    }
    Ok(was)
}

fn text(value: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(value).map_err(|_| Malformed)
}

fn amended(mut value: Bytes) -> Result<Version, Malformed> {
    let by = MessageId::from_u128(value.try_get_u128().map_err(|_| Malformed)?);
    let amendment = match value.try_get_u8() {
        Ok(REPLACES) => Amendment::Replace,
        Ok(DELETES) => Amendment::Delete,
        _ => return Err(Malformed),
    };
    let digits = |range: Range<usize>| text(value.get(range).ok_or(Malformed)?);
    let number = |range| u64::from_str_radix(digits(range)?, 16).map_err(|_| Malformed);
    let epoch: Epoch = digits(0..16)?.parse().map_err(|()| Malformed)?;
    let first = Position { epoch, offset: number(16..32)? };
    Ok(Version { number: number(32..40)?, first: Some(first), by, amendment })
}

#[cfg(test)]
mod tests;
