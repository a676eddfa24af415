//! What travels between nodes: a message as bytes, with a version first.
//!
//! ```text
//! version u8 = 1 | kind u8 (0 frame, 1 event) | id 16 bytes | header length u16 | header | body
//! header: any number of (tag u8, length u16, value); tag 1 is `except`, tag 2 the event's kind
//! ```
//!
//! Integers are big-endian. A reader passes over tags that it does not know, so that a newer node can add one; another
//! version is malformed to it. Bounded, because anybody who may publish in the backend can write here.

use crate::message::{Body, Message, MessageId};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const KIND_FRAME: u8 = 0;
const KIND_EVENT: u8 = 1;
const TAG_EXCEPT: u8 = 1;
const TAG_EVENT_KIND: u8 = 2;
const FIXED_BYTES: usize = 20;

/// The largest envelope that is read.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// These bytes are no envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) fn encode(message: &Message) -> Bytes {
    let event_kind = match &message.body {
        Body::Frame(_) => None,
        Body::Event { kind, .. } => Some(&**kind),
    };
    let mut header = BytesMut::new();
    let mut field = |tag: u8, value: Option<&str>| {
        if let Some(value) = value {
            // What a field holds is a checked name or a word of the program.
            let length = u16::try_from(value.len()).expect("names are short");
            header.put_u8(tag);
            header.put_u16(length);
            header.put_slice(value.as_bytes());
        }
    };
    field(TAG_EXCEPT, message.except.as_ref().map(|name| name.as_str()));
    field(TAG_EVENT_KIND, event_kind);
    let data = message.body.data();
    let mut out = BytesMut::with_capacity(FIXED_BYTES + header.len() + data.len());
    out.put_u8(VERSION);
    out.put_u8(if event_kind.is_some() { KIND_EVENT } else { KIND_FRAME });
    out.put_u128(message.id.as_u128());
    out.put_u16(u16::try_from(header.len()).expect("two short fields"));
    out.put_slice(&header);
    out.put_slice(data);
    out.freeze()
}

pub(crate) fn decode(mut bytes: Bytes) -> Result<Message, Malformed> {
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
    let (mut except, mut event_kind) = (None, None);
    while header.has_remaining() {
        if header.len() < 3 {
            return Err(Malformed);
        }
        let (tag, length) = (header.get_u8(), usize::from(header.get_u16()));
        if length > header.len() {
            return Err(Malformed);
        }
        let value = header.split_to(length);
        let text = || std::str::from_utf8(&value).map_err(|_| Malformed);
        match tag {
            TAG_EXCEPT => except = Some(text()?.parse().map_err(|_| Malformed)?),
            TAG_EVENT_KIND => event_kind = Some(text()?.to_owned()),
            _ => {}
        }
    }
    let mut message = match (kind, event_kind) {
        (KIND_FRAME, None) => Message::frame(id, bytes),
        (KIND_EVENT, Some(kind)) => Message::event(id, kind, bytes),
        _ => return Err(Malformed),
    };
    message.except = except;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Message {
        Message::event(MessageId::from_u128(7), "chat.kick", "data").except("n.1!s".parse().unwrap())
    }

    fn same(a: &Message, b: &Message) -> bool {
        (a.id, &a.except, &a.body, a.digest()) == (b.id, &b.except, &b.body, b.digest())
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for message in [event(), Message::frame(MessageId::from_u128(u128::MAX), "{}")] {
            assert!(same(&decode(encode(&message)).unwrap(), &message));
        }
    }

    #[test]
    fn a_field_of_a_newer_node_is_passed_over() {
        let mut bytes = encode(&event()).to_vec();
        let length = u16::from_be_bytes([bytes[18], bytes[19]]) + 5;
        bytes[18..20].copy_from_slice(&length.to_be_bytes());
        bytes.splice(20..20, [99, 0, 2, 1, 2]);
        assert!(same(&decode(bytes.into()).unwrap(), &event()));
    }

    #[test]
    fn whatever_else_comes_is_malformed_and_never_a_panic() {
        let good = encode(&event());
        for cut in 0..FIXED_BYTES {
            assert_eq!(decode(good.slice(..cut)).err(), Some(Malformed), "cut at {cut}");
        }
        for position in 0..good.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut bytes = good.to_vec();
                bytes[position] = value;
                // Some changes only make another message; none may panic.
                let _any = decode(bytes.into());
            }
        }
        let mut other_version = good.to_vec();
        other_version[0] = 2;
        assert_eq!(decode(other_version.into()).err(), Some(Malformed));
        assert_eq!(decode(vec![1; ENVELOPE_BYTES_MAX + 1].into()).err(), Some(Malformed));
    }
}
