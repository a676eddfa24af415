//! Chat's words: say something in a group, change it, take it back, mark it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::core::is_longer_than;
use super::parts;
use crate::codec::Limits;
use crate::error::{ErrorCode, Refusal};
use crate::place::Position;
use crate::strict;

/// A message for a group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send<'a> {
    /// The group's name, as the client spells it.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// 8 to 64 of `A-Z a-z 0-9 _ -`: the same in every repeat of this message.
    #[serde(borrow, deserialize_with = "parts::client_id")]
    pub client_id: Cow<'a, str>,
    /// What the user wrote.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Any JSON value, passed on byte for byte.
    #[serde(borrow, default, deserialize_with = "strict::optional_raw")]
    pub data: Option<&'a RawValue>,
    /// The id of another message: 32 lower-case hexadecimal digits.
    #[serde(default, deserialize_with = "parts::optional_id_text")]
    pub reply_to: Option<String>,
    /// The sender's position when it tried first.
    pub since: Option<Position>,
}

impl Send<'_> {
    /// What the user wrote.
    pub fn written(&self) -> Written<'_> {
        let Self { client_id, text, data, reply_to, .. } = self;
        Written { client_id, text, data: *data, reply_to: reply_to.as_deref() }
    }
}

/// Another text in the place of one's own.
///
/// What an edit leaves out the message has no more: it is the whole of it anew.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit<'a> {
    /// The group's name, as the client spells it.
    pub group: String,
    /// The message.
    #[serde(deserialize_with = "parts::id")]
    pub id: u128,
    /// This edit's own, as a send has one.
    #[serde(borrow, deserialize_with = "parts::client_id")]
    pub client_id: Cow<'a, str>,
    /// What the user wrote instead.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Any JSON value, passed on byte for byte.
    #[serde(borrow, default, deserialize_with = "strict::optional_raw")]
    pub data: Option<&'a RawValue>,
    /// The id of the message that this one answers.
    #[serde(default, deserialize_with = "parts::optional_id_text")]
    pub reply_to: Option<String>,
    /// The sender's position when it tried first.
    pub since: Option<Position>,
}

impl Edit<'_> {
    /// What the user wrote instead.
    pub fn written(&self) -> Written<'_> {
        let Self { client_id, text, data, reply_to, .. } = self;
        Written { client_id, text, data: *data, reply_to: reply_to.as_deref() }
    }
}

/// What a user wrote, whether first or instead: what a [`Send`] and an [`Edit`] have in common, and others get to see.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// Of this send, or of this edit.
    pub client_id: &'a str,
    /// The words.
    pub text: &'a str,
    /// The sender's JSON, byte for byte.
    pub data: Option<&'a RawValue>,
    /// The id of the message that this one answers.
    pub reply_to: Option<&'a str>,
}

impl Written<'_> {
    /// Checks lengths.
    ///
    /// # Errors
    ///
    /// `too_large` for a text past `text_chars`, or data that would fill a frame of `frame_bytes` alone.
    pub fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        if is_longer_than(limits.text_chars, self.text) {
            let message = format!("`text` has more than {} characters", limits.text_chars);
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        if self.data.is_some_and(|data| data.get().len() > limits.frame_bytes) {
            let message = format!("`data` has more than {} bytes", limits.frame_bytes);
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        Ok(())
    }
}

/// The end of a message of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete<'a> {
    /// The group's name, as the client spells it.
    pub group: String,
    /// The message.
    #[serde(deserialize_with = "parts::id")]
    pub id: u128,
    /// This deletion's own, as a send has one.
    #[serde(borrow, deserialize_with = "parts::client_id")]
    pub client_id: Cow<'a, str>,
    /// The sender's position when it tried first.
    pub since: Option<Position>,
}

/// A reaction to a message, given or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct React {
    /// The group's name, as the client spells it.
    pub group: String,
    /// The message.
    #[serde(deserialize_with = "parts::id")]
    pub id: u128,
    /// Which one, an emoji most often: 1 to 32 bytes without control characters.
    #[serde(deserialize_with = "parts::kind")]
    pub kind: String,
    /// Given or taken back.
    pub on: bool,
    /// The user's own count of what they did to this reaction: of two, the greater holds. None: the hub counts.
    #[serde(default, deserialize_with = "parts::optional_number")]
    pub version: Option<u64>,
}

/// How far the user has read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// The group's name, as the client spells it.
    pub group: String,
    /// The last message that was read.
    pub position: Position,
}

/// Somebody is writing in a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typing {
    /// The group's name, as the client spells it.
    pub group: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_passes_byte_for_byte() {
        let data = r#"{"b": 1.0,  "a":1e2,"a":"\u0041","n":123456789012345678901234567890}"#;
        let text = format!(
            r#"{{"type":"chat.send","data":  {data} ,"group":"lobby","client_id":"c-5b1e9f02","text":""}}"#
        );
        let request = crate::decode(&*text, &Limits::default()).unwrap();
        assert_eq!(request.body::<Send<'_>>().unwrap().data.unwrap().get(), data);
    }

    #[test]
    fn data_has_the_limit_of_the_frame() {
        let limits = Limits { frame_bytes: 8, ..Limits::default() };
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let (fits, long) = (raw("[123456]"), raw("[1234567]"));
        let written = |data| Written { client_id: "c-5b1e9f02", text: "", data: Some(data), reply_to: None };
        assert_eq!(written(&fits).check(&limits), Ok(()));
        assert_eq!(written(&long).check(&limits).unwrap_err().code, ErrorCode::TooLarge);
    }
}
