//! What clients say: a frame whose outside is checked, and the types that its fields become.
//!
//! A [`Request`] is the same for every consumer, an embedder's too: a type, a `ref`, and fields as their own JSON texts.
//! Whoever the type belongs to asks for the fields as a type of theirs. The core's words are in [`Hello`], [`Join`],
//! [`Leave`], [`History`] and [`Presence`], chat's in [`Send`], [`Edit`],
//! [`Delete`], [`React`], [`Read`] and [`Typing`].
//!
//! Two kinds of rule: what is always so is checked while reading; what an operator can set is checked by the types'
//! `check`.

mod chat;
mod core;
mod fields;
mod history;
mod parts;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

pub use self::chat::{Delete, Edit, React, Read, Send, Typing, Written};
pub use self::core::{Hello, Join, JoinGroup, Leave, Presence};
pub use self::history::History;

pub(crate) use self::fields::{Field, Part};
use crate::error::{ErrorCode, Refusal};

/// Refusals quote what a client sent, but not at length.
const MESSAGE_BYTES_MAX: usize = 200;

/// A checked request: its type, its `ref`, and its other fields, unparsed.
///
/// Its `Debug` form has the fields' names and not their values, since those may be secrets.
pub struct Request {
    /// The frame, of which the others are parts: one copy instead of one of each.
    text: Box<str>,
    kind: Part,
    reference: Option<Part>,
    /// In the order in which they came; each name once.
    fields: Vec<Field>,
}

impl Request {
    /// The request that `text` is, whose parts were found in it.
    pub(crate) fn new(text: Box<str>, kind: Part, reference: Option<Part>, fields: Vec<Field>) -> Self {
        Self { text, kind, reference, fields }
    }

    /// The frame's `type`.
    pub fn kind(&self) -> &str {
        self.kind.of(&self.text)
    }

    /// The frame's `ref`: without one there is no answer but errors.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_ref().map(|reference| reference.of(&self.text))
    }

    /// The `ref` of a request that makes no sense without an answer.
    ///
    /// # Errors
    ///
    /// `bad_request` that names `ref`, when there is none.
    pub fn answer_to(&self) -> Result<&str, Refusal> {
        self.reference().ok_or_else(|| Refusal::new(ErrorCode::BadRequest, "missing field `ref`"))
    }

    /// The fields as `T`, which should deny unknown fields, as all requests do.
    ///
    /// A raw value in `T` has the client's bytes.
    ///
    /// # Errors
    ///
    /// `bad_request` that names the field.
    pub fn body<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        fields::read(&self.text, &self.fields)
    }

    /// The refusal of a type that nobody here understands.
    pub fn unknown_type(&self) -> Refusal {
        Refusal::new(ErrorCode::UnknownType, format!("unknown type `{}`", self.kind()))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("kind", &self.kind())
            .field("reference", &self.reference())
            .field("fields", &self.fields.iter().map(|field| field.name.of(&self.text)).collect::<Vec<_>>())
            .finish()
    }
}

/// Cuts a message that may quote the client.
pub(crate) fn brief(message: Cow<'static, str>) -> Cow<'static, str> {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message;
    }
    format!("{}…", &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]).into()
}

#[cfg(test)]
mod tests {
    use crate::{ErrorCode, Limits, decode};

    use serde::Deserialize;
    use serde_json::value::RawValue;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stroke<'a> {
        width: u8,
        #[serde(borrow)]
        colour: Option<&'a RawValue>,
    }

    fn refused(text: &str) -> String {
        let request = decode(text, &Limits::default()).unwrap();
        let refusal = request.body::<Stroke<'_>>().unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadRequest);
        refusal.to_string()
    }

    #[test]
    fn an_embedders_type_reads_its_own_fields() {
        let text = r#"{"width":3,"type":"board.draw","colour": [1.0,  "red"] }"#;
        let request = decode(text, &Limits::default()).unwrap();
        let stroke: Stroke<'_> = request.body().unwrap();
        assert_eq!(stroke.width, 3);
        assert_eq!(stroke.colour.unwrap().get(), r#"[1.0,  "red"]"#, "byte for byte");
    }

    #[test]
    fn a_string_is_read_as_whatever_is_asked_for_with_escapes_or_without() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Named(String);
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Shade {
            Red,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Brush<'a> {
            name: Named,
            shade: Option<Shade>,
            letter: char,
            maker: &'a str,
            #[serde(borrow)]
            raw: Option<&'a RawValue>,
        }
        for (shade, raw) in [(r#""red""#, r#""a b""#), (r#""r\u0065d""#, r#""a\nb""#)] {
            let text = format!(
                r#"{{"type":"x","name":{shade},"shade":{shade},"letter":"é","maker":"","raw":{raw}}}"#
            );
            let request = decode(text, &Limits::default()).unwrap();
            let brush: Brush<'_> = request.body().unwrap();
            assert_eq!((brush.name, brush.shade), (Named("red".into()), Some(Shade::Red)));
            assert_eq!((brush.letter, brush.maker, brush.raw.unwrap().get()), ('é', "", raw));
        }
        assert_eq!(refused(r#"{"type":"x","width":"\u0033"}"#), refused(r#"{"type":"x","width":"3"}"#));
    }

    #[test]
    fn each_refusal_names_the_field_and_no_column() {
        assert_eq!(refused(r#"{"type":"x"}"#), "missing field `width`");
        assert_eq!(
            refused(r#"{"type":"x","width":"3"}"#),
            "`width`: invalid type: string \"3\", expected u8"
        );
        assert_eq!(
            refused(r#"{"type":"x","width":3,"depth":4}"#),
            "unknown field `depth`, expected `width` or `colour`"
        );
    }

    #[test]
    fn a_request_does_not_show_its_values() {
        let request = decode(r#"{"type":"hello","ref":"1","token":"secret"}"#, &Limits::default()).unwrap();
        let shown = format!("{request:?}");
        assert!(shown.contains("token") && !shown.contains("secret"), "{shown}");
        let shown = format!("{:?}", request.body::<crate::Hello<'_>>().unwrap());
        assert!(shown.contains("token") && !shown.contains("secret"), "{shown}");
    }
}
