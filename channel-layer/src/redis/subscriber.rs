//! What Redis pushes, read: `time epoch offset envelope` on a group's channel, `length address envelope` on a node's.
//!
//! The first is an entry as the publishing script keeps it: ten digits, and 16 hexadecimal ones twice; nothing but zeros says
//! that the message is ephemeral. A row of `p` in their place says that a change of presence follows. Anybody who may publish
//! can write here, so nothing is taken for granted.

use crate::{
    delivery::Posted,
    envelope,
    name::{ChannelName, GroupName},
    redis::{history::TIME_BYTES, keys::Keys, label},
    relay::Incoming,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use redis::Value;
use std::sync::Arc;

/// What stands in the place of a position before a change of presence.
pub(crate) const PRESENCE: [u8; label::BYTES] = [b'p'; label::BYTES];

/// What stands before an envelope that has no place in a history.
pub(crate) const UNPLACED: [u8; TIME_BYTES + label::BYTES] = [b'0'; TIME_BYTES + label::BYTES];

/// One push of kind `message`; `None` when it is none of ours.
pub(crate) fn read(keys: &Keys, data: Vec<Value>) -> Option<Incoming> {
    let [Value::BulkString(channel), Value::BulkString(payload)] = <[Value; 2]>::try_from(data).ok()? else {
        return None;
    };
    let payload = Bytes::from(payload);
    match keys.group_of(std::str::from_utf8(&channel).ok()?) {
        Some(group) if payload.starts_with(&PRESENCE) => {
            Some(Incoming::Presence { group, change: payload.slice(PRESENCE.len()..) })
        }
        Some(group) => posted(group, payload).map(|posted| Incoming::Posted(Arc::new(posted))),
        // The only other channel that is subscribed to is the node's own.
        None => read_direct(payload),
    }
}

fn posted(group: GroupName, mut payload: Bytes) -> Option<Posted> {
    if payload.len() < UNPLACED.len() {
        return None;
    }
    let place = payload.split_to(UNPLACED.len());
    let position = if *place == UNPLACED { None } else { Some(label::position(&place[TIME_BYTES..])?) };
    Some(envelope::decode(payload).ok()?.posted(group, position))
}

/// The payload of a message to a mailbox.
pub(crate) fn direct(to: &ChannelName, envelope: &[u8]) -> Vec<u8> {
    let address = to.as_str().as_bytes();
    let mut payload = BytesMut::with_capacity(1 + address.len() + envelope.len());
    payload.put_u8(u8::try_from(address.len()).expect("a name is under 100 bytes"));
    payload.put_slice(address);
    payload.put_slice(envelope);
    payload.to_vec()
}

/// The payload of a canary: no address, and its number.
pub(crate) fn probe(number: u64) -> [u8; 9] {
    let mut payload = [0; 9];
    payload[1..].copy_from_slice(&number.to_be_bytes());
    payload
}

fn read_direct(mut payload: Bytes) -> Option<Incoming> {
    let length = usize::from(payload.try_get_u8().ok()?);
    if length == 0 {
        return <[u8; 8]>::try_from(&*payload).ok().map(|number| Incoming::Probe(u64::from_be_bytes(number)));
    }
    if payload.len() < length {
        return None;
    }
    let to = std::str::from_utf8(&payload.split_to(length)).ok()?.parse().ok()?;
    Some(Incoming::Direct { to, message: envelope::decode(payload).ok()?.message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, MessageId};

    fn push(channel: &str, payload: &[u8]) -> Vec<Value> {
        vec![Value::BulkString(channel.into()), Value::BulkString(payload.into())]
    }

    #[test]
    fn a_push_is_read_with_its_position_or_without() {
        let keys = Keys::new("p", 0);
        let envelope = envelope::encode(&Message::frame(MessageId::from_u128(1), "{}"));
        let numbered = [b"176000000000000000000000ff0000000000000010", &*envelope].concat();
        let Some(Incoming::Posted(posted)) = read(&keys, push("p:{g}:4", &numbered)) else {
            panic!("not read")
        };
        let position = posted.position.unwrap();
        assert_eq!((posted.group.as_str(), position.epoch.as_u64(), position.offset), ("g", 255, 16));
        let ephemeral = [&UNPLACED[..], &*envelope].concat();
        assert!(matches!(
            read(&keys, push("p:{g}:4", &ephemeral)),
            Some(Incoming::Posted(posted)) if posted.position.is_none()
        ));
        assert!(matches!(read(&keys, push("p:node:n", &probe(7))), Some(Incoming::Probe(7))));
        assert!(read(&keys, push("p:node:n", &probe(7)[..8])).is_none());
        let to: ChannelName = "n.0!s".parse().unwrap();
        assert!(matches!(
            read(&keys, push("p:node:n", &direct(&to, &envelope))),
            Some(Incoming::Direct { to: read, .. }) if read == to
        ));
    }

    #[test]
    fn garbage_is_none_of_ours() {
        let keys = Keys::new("p", 0);
        let envelope = envelope::encode(&Message::frame(MessageId::from_u128(1), "{}"));
        let wrong_label = [b"1760000000zz000000000000ff0000000000000010", &*envelope].concat();
        for payload in [&b""[..], b"x", b"\xff\xff", &UNPLACED, &wrong_label, &[200, 1, 2]] {
            assert!(read(&keys, push("p:{g}:4", payload)).is_none());
            assert!(read(&keys, push("p:node:n", payload)).is_none());
        }
        assert!(read(&keys, vec![Value::Nil]).is_none());
    }
}
