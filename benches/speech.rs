//! The few words of protocol v1 that the load says and understands, by byte search alone.
//!
//! No frame is parsed as JSON: a load generator that spends more on a delivery than the hub does measures itself.
//! The order of a frame's fields does not matter; that the encoder puts no spaces around colons does.

use std::io::Write as _;

use crate::marker::{MARKER_BYTES, Marker};

/// A client's question whether the hub is there.
pub const PING: &[u8] = br#"{"type":"ping"}"#;
/// The answer to the hub's own question.
pub const PONG: &[u8] = br#"{"type":"pong"}"#;

const TYPE: &[u8] = br#""type":""#;
const HEALTHY: &[u8] = br#""state":"healthy""#;

/// What a frame of the hub is, as far as the load cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `chat.message`.
    Message,
    /// `ack`.
    Ack,
    /// `error`.
    Error,
    /// `welcome`.
    Welcome,
    /// `joined`.
    Joined,
    /// `layer`.
    Layer,
    /// `ping`.
    Ping,
    /// `pong`.
    Pong,
    /// Everything else: presence, settled positions, types of a later version.
    Other,
}

/// Recognises frames; remembers where it found things, for the next frame is mostly like the last.
#[derive(Debug, Default)]
pub struct Ear {
    type_at: usize,
    marker_at: usize,
}

impl Ear {
    /// What `text` is.
    pub fn kind(&mut self, text: &[u8]) -> Kind {
        if !text.get(self.type_at..).is_some_and(|rest| rest.starts_with(TYPE)) {
            match find(text, TYPE) {
                Some(place) => self.type_at = place,
                None => return Kind::Other,
            }
        }
        let rest = &text[self.type_at + TYPE.len()..];
        let name = rest.iter().position(|&byte| byte == b'"').map_or(rest, |end| &rest[..end]);
        match name {
            b"chat.message" => Kind::Message,
            b"ack" => Kind::Ack,
            b"error" => Kind::Error,
            b"welcome" => Kind::Welcome,
            b"joined" => Kind::Joined,
            b"layer" => Kind::Layer,
            b"ping" => Kind::Ping,
            b"pong" => Kind::Pong,
            _ => Kind::Other,
        }
    }

    /// The marker in the text of a message.
    pub fn marker(&mut self, text: &[u8]) -> Option<Marker> {
        Marker::find(text, &mut self.marker_at)
    }
}

/// Whether a `welcome` or `layer` frame says that the layer is healthy.
#[must_use]
pub fn says_healthy(text: &[u8]) -> bool {
    find(text, HEALTHY).is_some()
}

/// The first frame of a connection.
#[must_use]
pub fn hello() -> Vec<u8> {
    br#"{"type":"hello","ref":"hello"}"#.to_vec()
}

/// The request to be a member of group number `group`.
#[must_use]
pub fn join(group: u32) -> Vec<u8> {
    format!(r#"{{"type":"join","ref":"join","groups":[{{"group":"{}"}}]}}"#, group_name(group)).into_bytes()
}

/// Writes a `chat.send` with the marker at the start of a text of `text_bytes` into `frame`, in place of what was
/// in it.
pub fn chat_send(frame: &mut Vec<u8>, group: u32, marker: &Marker, text_bytes: usize) {
    let Marker { sender, seq, .. } = *marker;
    frame.clear();
    write!(
        frame,
        r#"{{"type":"chat.send","ref":"{sender:06}-{seq:08}","group":"{}","client_id":"b-{sender:06}-{seq:08}","text":""#,
        group_name(group),
    )
    .expect("writing to a vector does not fail");
    frame.extend_from_slice(&marker.bytes());
    frame.resize(frame.len() + text_bytes.saturating_sub(MARKER_BYTES), b'.');
    frame.extend_from_slice(br#""}"#);
}

/// Of fixed width, so that all deliveries of a run have about the same length.
fn group_name(group: u32) -> String {
    format!("bench-{group:06}")
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_recognised_wherever_its_type_stands() {
        let mut ear = Ear::default();
        assert_eq!(ear.kind(br#"{"type":"ack","ref":"1"}"#), Kind::Ack);
        assert_eq!(ear.kind(br#"{"group":"a","type":"chat.message","text":"t"}"#), Kind::Message);
        assert_eq!(ear.kind(br#"{"group":"b","type":"chat.message","text":"t"}"#), Kind::Message);
        assert_eq!(ear.kind(br#"{"type":"chat.messages"}"#), Kind::Other);
        assert_eq!(ear.kind(b"{}"), Kind::Other);
        assert_eq!(ear.kind(b""), Kind::Other);
    }

    #[test]
    fn a_send_has_the_length_of_text_that_was_asked_for_and_its_marker_is_found() {
        let marker = Marker { sender: 7, seq: 12, sent_us: 99 };
        let mut frame = b"what was there before".to_vec();
        chat_send(&mut frame, 3, &marker, 128);
        let sent: serde_json::Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!(sent["text"].as_str().unwrap().len(), 128);
        assert_eq!(sent["group"], "bench-000003");
        assert_eq!(Ear::default().marker(&frame), Some(marker));
    }
}
