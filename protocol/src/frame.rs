//! WebSocket frames as a server writes them: one piece, FIN set, unmasked (RFC 6455, section 5.2).
//!
//! A frame is made once and written to any number of sockets as it is, so the header belongs to its bytes. Reading
//! what clients send (masks, fragments, control frames) is not done here.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

use crate::close::CloseCode;
use crate::hex;
use crate::place::Position;
use crate::strict::is_plain;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// The longest header without a mask: two bytes and a length of eight.
const HEADER_BYTES_MAX: usize = 10;

/// A whole text frame around `payload`, which must be UTF-8.
pub fn text(payload: &[u8]) -> Bytes {
    let mut draft = Draft::with_capacity(payload.len());
    draft.push(payload);
    draft.finish()
}

/// A whole binary frame around `payload`.
pub fn binary(payload: &[u8]) -> Bytes {
    [&*header_of(BINARY, payload.len()), payload].concat().into()
}

/// A whole close frame: the code, and its reason for people.
pub fn close(code: CloseCode) -> Bytes {
    let reason = code.reason().as_bytes();
    let number = code.code().to_be_bytes();
    [&*header_of(CLOSE, number.len() + reason.len()), &number, reason].concat().into()
}

/// The header of a text frame whose payload is `len` bytes long.
pub fn header(len: usize) -> Header {
    header_of(TEXT, len)
}

fn header_of(opcode: u8, len: usize) -> Header {
    let mut bytes = [0; HEADER_BYTES_MAX];
    bytes[0] = FIN | opcode;
    let used = match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => {
            bytes[1] = short;
            2
        }
        (_, Ok(medium)) => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            // No target has a `usize` above 64 bits.
            bytes[2..].copy_from_slice(&(len as u64).to_be_bytes());
            HEADER_BYTES_MAX
        }
    };
    Header { bytes, used }
}

/// Two, four or ten bytes that stand before a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    used: usize,
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Header").field(&&**self).finish()
    }
}

/// How many bytes of a text frame made here are header.
///
/// Also right for frames that are shorter than they say: the answer is then the frame's own length.
pub(crate) fn header_len(frame: &[u8]) -> usize {
    let len = match frame.get(1) {
        Some(127) => HEADER_BYTES_MAX,
        Some(126) => 4,
        _ => 2,
    };
    len.min(frame.len())
}

/// Frames that are shorter are written where the last one was, and copied from there.
const SCRATCH_BYTES: usize = 4 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A text frame in the making.
///
/// Its length is known only at the end but stands at the beginning, so room for the longest header is left there.
#[derive(Debug)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// An empty frame with room for `payload_bytes`; more makes it grow.
    pub(crate) fn with_capacity(payload_bytes: usize) -> Self {
        let room = HEADER_BYTES_MAX + payload_bytes;
        let mut bytes = if room <= SCRATCH_BYTES { SCRATCH.take() } else { Vec::new() };
        bytes.reserve(room);
        bytes.extend_from_slice(&[0; HEADER_BYTES_MAX]);
        Self(bytes)
    }

    pub(crate) fn push(&mut self, payload: impl AsRef<[u8]>) {
        self.0.extend_from_slice(payload.as_ref());
    }

    /// Writes `value` as JSON.
    pub(crate) fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        serde_json::to_writer(&mut self.0, value)
            .expect("memory takes every byte, and what the hub says has only text for keys");
    }

    /// Writes `text` as a JSON string. Most need no escaping, and a look that says so is many times quicker than
    /// escaping byte by byte.
    pub(crate) fn text(&mut self, text: &str) {
        if is_plain(text) {
            self.push(b"\"");
            self.push(text);
            self.push(b"\"");
        } else {
            self.json(text);
        }
    }

    /// Writes a position as JSON, as its `Serialize` would: there is one in each message and in each ack.
    pub(crate) fn position(&mut self, position: Position) {
        self.push(b"{\"epoch\":\"");
        self.push(hex::of_u64(position.epoch));
        self.push(b"\",\"offset\":");
        self.json(&position.offset);
        self.push(b"}");
    }

    /// Writes a position as JSON, or `null`.
    pub(crate) fn optional_position(&mut self, position: Option<Position>) {
        match position {
            Some(position) => self.position(position),
            None => self.push(b"null"),
        }
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let header = header(self.0.len() - HEADER_BYTES_MAX);
        let start = HEADER_BYTES_MAX - header.len();
        self.0[start..HEADER_BYTES_MAX].copy_from_slice(&header);
        if self.0.capacity() > SCRATCH_BYTES {
            return Bytes::from(self.0).slice(start..);
        }
        self.copy(start)
    }

    /// What was written, without a header. In memory of just its length, for it is kept as long as a history.
    pub(crate) fn payload(self) -> Bytes {
        self.copy(HEADER_BYTES_MAX)
    }

    fn copy(mut self, start: usize) -> Bytes {
        let written = Bytes::copy_from_slice(&self.0[start..]);
        if self.0.capacity() <= SCRATCH_BYTES {
            self.0.clear();
            SCRATCH.set(self.0);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_has_its_shortest_header() {
        assert_eq!(*header(0), [0x81, 0]);
        assert_eq!(*header(125), [0x81, 125]);
        assert_eq!(*header(126), [0x81, 126, 0, 126]);
        assert_eq!(*header(255), [0x81, 126, 0, 255]);
        assert_eq!(*header(65535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(*header(65536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_payload_stands_behind_its_header() {
        for len in [0, 1, 125, 126, 65535, 65536] {
            let payload = vec![b'x'; len];
            let frame = text(&payload);
            let start = header_len(&frame);
            assert_eq!(frame[..start], *header(len));
            assert_eq!(frame[start..], payload);
        }
    }

    #[test]
    fn a_payload_takes_no_more_memory_than_it_has_bytes() {
        for len in [10, 10_000] {
            let mut draft = Draft::with_capacity(len);
            // Twice as long once it is escaped, so that what it is written into grows.
            draft.text(&"\n".repeat(len));
            let payload = draft.payload().try_into_mut().unwrap();
            assert_eq!((payload.len(), payload.capacity()), (2 * len + 2, 2 * len + 2));
        }
    }

    #[test]
    fn a_close_frame_has_its_code_and_reason() {
        assert_eq!(&close(CloseCode::Flood)[..], b"\x88\x07\x11\x97flood");
    }
}
