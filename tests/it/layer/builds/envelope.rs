//! Envelopes as another build writes and reads them: the first one, or one that says more than anybody knows yet.

use bytes::{BufMut, Bytes, BytesMut};
use channel_layer::{Message, MessageId, Position};

/// What a build writes into an envelope's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// A kind and an exclusion.
    First,
    /// And a field, of a tag that nobody knows yet.
    Newer,
}

/// An envelope as that build writes it.
pub(super) fn encode(build: Build, message: &Message) -> Bytes {
    let mut header = BytesMut::new();
    let mut field = |tag: u8, value: &[u8]| {
        header.put_u8(tag);
        header.put_u16(u16::try_from(value.len()).unwrap());
        header.put_slice(value);
    };
    if build == Build::Newer {
        field(77, b"what nobody can read yet");
    }
    if let Some(except) = &message.except {
        field(1, except.as_str().as_bytes());
    }
    let channel_layer::Body::Frame(data) = &message.body else { panic!("these tests send frames") };
    let mut out = BytesMut::new();
    out.put_slice(&[1, 0]);
    out.put_u128(message.id.as_u128());
    out.put_u16(u16::try_from(header.len()).unwrap());
    out.put_slice(&header);
    out.put_slice(data);
    out.freeze()
}

/// As the first build read one: version, kind, id, the two fields that it knew, and the rest.
pub(super) fn decode(envelope: &[u8]) -> Option<Message> {
    let [1, 0, rest @ ..] = envelope else { return None };
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (mut header, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let mut message = Message::frame(MessageId::from_u128(u128::from_be_bytes(*id)), body.to_vec());
    while let [tag, high, low, rest @ ..] = header {
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *tag == 1 {
            message.except = Some(std::str::from_utf8(value).ok()?.parse().ok()?);
        }
        header = rest;
    }
    Some(message)
}

/// What a push on a group's channel says after its time, and an entry: a position, 16 digits each, and the envelope.
pub(super) fn label(payload: &[u8]) -> Option<(Option<Position>, &[u8])> {
    let (label, envelope) = payload.split_at_checked(32)?;
    if label == [b'0'; 32] {
        return Some((None, envelope));
    }
    let (epoch, offset) = std::str::from_utf8(label).ok()?.split_at(16);
    let position = Position { epoch: epoch.parse().ok()?, offset: u64::from_str_radix(offset, 16).ok()? };
    Some((Some(position), envelope))
}
