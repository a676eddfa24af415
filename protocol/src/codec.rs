//! Text to requests, events to frames, and the limits of both.
//!
//! [`decode`] looks at a frame's outside only: that it is one JSON object, not nested too deeply, with a `type`, a `ref`
//! that can be answered, and no field twice. What is inside the fields is read when somebody asks for it, by
//! [`Request::body`]. The length of a frame is not looked at here: the socket refuses a long one before it is text.
//!
//! Work is linear in the length of the text, and no recursion follows a client's nesting.

mod outside;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use self::outside::Outside;
use crate::error::{ErrorCode, Refusal};
use crate::frame::Draft;
use crate::request::{Part, Request};
use crate::strict::{Text, plain};

/// For `type` and `ref`, which are echoed.
const WORD_BYTES_MAX: usize = 64;

/// How much a client may say at once; `welcome` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of one message from the client.
    pub frame_bytes: usize,
    /// Characters of a message's text.
    pub text_chars: usize,
    /// Characters of a user's name.
    pub name_chars: usize,
    /// Arrays and objects inside each other, the frame being the first.
    pub nesting: usize,
    /// Groups that a connection is in.
    pub groups: usize,
    /// Groups named in one `join`.
    pub groups_per_join: usize,
    /// Requests that wait for their answer.
    pub open_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            text_chars: 4_000,
            name_chars: 64,
            nesting: 32,
            groups: 200,
            groups_per_join: 100,
            open_requests: 16,
        }
    }
}

/// A text that is no request, and the `ref` that the error reply carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// What is wrong.
    pub refusal: Refusal,
    /// The client's `ref`, whenever it could be read.
    pub reference: Option<Box<str>>,
}

/// Reads the outside of a client's frame.
///
/// # Errors
///
/// `bad_json` (never with a `ref`), `too_deep`, or `bad_request` that names the field.
pub fn decode(text: impl Into<Box<str>>, limits: &Limits) -> Result<Request, Rejected> {
    read(text.into(), limits)
}

fn read(frame: Box<str>, limits: &Limits) -> Result<Request, Rejected> {
    let text = &*frame;
    let Outside { kind, reference, fields, is_too_deep, fault } = Outside::read(text, limits.nesting)
        .map_err(|error| Rejected { refusal: unreadable(text, &error), reference: None })?;
    let word = |raw| word(raw).map(|word| Part::read(text, word));
    let (reference, reference_fault) = match reference.map(word) {
        None => (None, None),
        Some(Some(word)) => (Some(word), None),
        Some(None) => (None, Some(must_be_word("ref"))),
    };
    let kind = match kind.map(word) {
        Some(Some(word)) => Ok(word),
        Some(None) => Err(must_be_word("type")),
        None => Err(bad_request("missing field `type`")),
    };
    let too_deep = is_too_deep
        .then(|| Refusal::new(ErrorCode::TooDeep, format!("nested deeper than {} levels", limits.nesting)));
    match (too_deep.or(fault).or(reference_fault), kind) {
        (None, Ok(kind)) => Ok(Request::new(frame, kind, reference, fields)),
        (Some(refusal), _) | (None, Err(refusal)) => {
            Err(Rejected { refusal, reference: reference.map(|reference| reference.of(text).into()) })
        }
    }
}

/// A whole WebSocket text frame, header and JSON, ready for a socket.
///
/// # Panics
///
/// When `event` cannot be JSON, as a map whose keys are not text: that is a fault in the type, which its first use
/// shows. None of this crate's events can.
pub fn encode(event: &impl Serialize) -> Bytes {
    // Most replies are an ack or shorter.
    let mut draft = Draft::with_capacity(256);
    draft.json(event);
    draft.finish()
}

/// A string of 1 to [`WORD_BYTES_MAX`] bytes.
fn word(raw: &RawValue) -> Option<Cow<'_, str>> {
    let word = match plain(raw.get()) {
        Some(word) => word.into(),
        None => serde_json::from_str::<Text<'_>>(raw.get()).ok()?.0,
    };
    (1..=WORD_BYTES_MAX).contains(&word.len()).then_some(word)
}

fn must_be_word(field: &str) -> Refusal {
    bad_request(format!("`{field}` must be a string of 1 to {WORD_BYTES_MAX} bytes"))
}

fn bad_request(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::BadRequest, crate::request::brief(message.into()))
}

/// Tells a text that is not JSON from JSON that is not an object.
fn unreadable(text: &str, error: &serde_json::Error) -> Refusal {
    // A reader that wanted an object stopped at the first byte; only reading on tells whether the rest was JSON.
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if error.is_data() => bad_request("a frame is one JSON object"),
        _ => Refusal::new(ErrorCode::BadJson, format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_at_the_limit_of_nesting_is_read() {
        let nested = format!(r#"{{"type":"x","data":{}{}}}"#, "[".repeat(31), "]".repeat(31));
        assert_eq!(decode(nested, &Limits::default()).unwrap().kind(), "x");
    }

    #[test]
    fn the_ref_is_found_wherever_the_fault_is() {
        let many: String = (0..5_000).map(|n| format!("\"f{n}\":0,")).collect();
        for text in [
            format!(r#"{{"data":{}{},"type":"x","ref":"r"}}"#, "[".repeat(20_000), "]".repeat(20_000)),
            format!(r#"{{{many}"type":"x","ref":"r"}}"#),
            r#"{"a":1,"a":2,"type":"x","ref":"r"}"#.to_owned(),
            r#"{"ref":"r"}"#.to_owned(),
        ] {
            let rejected = decode(text, &Limits::default()).unwrap_err();
            assert_eq!(rejected.reference.as_deref(), Some("r"), "{}", rejected.refusal);
        }
    }

    #[test]
    fn a_refusal_does_not_echo_what_is_long() {
        let name = "é".repeat(20_000);
        let text = format!(r#"{{"type":"x","{name}":1,"{name}":2}}"#);
        let message = decode(text, &Limits::default()).unwrap_err().refusal.message;
        assert!(message.len() <= 256, "{}", message.len());
    }
}
