//! A frame's outside: its fields as raw texts, each name once, and how deep it goes.
//!
//! Reading goes on after a fault: the error reply wants the `ref`, and that may come last.

use std::fmt;

use memchr::memchr2_iter;
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bad_request;
use crate::error::Refusal;
use crate::request::Field;
use crate::strict::Text;

/// No frame of the protocol has half as many; comparing each name with all others stays cheap.
const FIELDS_MAX: usize = 64;

/// A frame's fields, as far as `decode` looks.
#[derive(Default)]
pub(super) struct Outside<'a> {
    pub(super) kind: Option<&'a RawValue>,
    /// None as well if there were two: neither is the one to answer.
    pub(super) reference: Option<&'a RawValue>,
    pub(super) fields: Vec<Field>,
    /// Something in it is inside more arrays and objects than may be, itself counted.
    pub(super) is_too_deep: bool,
    /// The first thing that was wrong. Reading goes on after it, as the `ref` may come last.
    pub(super) fault: Option<Refusal>,
}

impl<'a> Outside<'a> {
    /// The outside of one JSON object.
    pub(super) fn read(text: &'a str, levels_max: usize) -> serde_json::Result<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let outside = reader.deserialize_map(OutsideVisitor { text, levels_max })?;
        reader.end()?;
        Ok(outside)
    }
}

struct OutsideVisitor<'a> {
    text: &'a str,
    levels_max: usize,
}

impl<'de> Visitor<'de> for OutsideVisitor<'de> {
    type Value = Outside<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outside<'de>, A::Error> {
        // A message has six or seven.
        let mut outside = Outside { fields: Vec::with_capacity(8), ..Outside::default() };
        let (mut count, mut references) = (0, 0);
        while let Some(Text(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            count += 1;
            // The frame is a level, and what begins with neither has none.
            let has_levels = value.get().starts_with(['[', '{']);
            outside.is_too_deep |=
                has_levels && is_deeper_than(self.levels_max.saturating_sub(1), value.get());
            let twice = match &*name {
                "type" => outside.kind.replace(value).is_some(),
                "ref" => {
                    references += 1;
                    outside.reference.replace(value).is_some()
                }
                _ if count > FIELDS_MAX => {
                    let fault = || bad_request(format!("more than {FIELDS_MAX} fields"));
                    outside.fault.get_or_insert_with(fault);
                    continue;
                }
                name_read if outside.fields.iter().any(|field| field.name.of(self.text) == name_read) => true,
                _ => {
                    outside.fields.push(Field::found(self.text, name, value));
                    continue;
                }
            };
            if twice {
                outside.fault.get_or_insert_with(|| bad_request(format!("field `{name}` is there twice")));
            }
        }
        if references > 1 {
            outside.reference = None;
        }
        Ok(outside)
    }
}

/// Is anything in this JSON text inside more than `levels_max` arrays and objects?
fn is_deeper_than(levels_max: usize, text: &str) -> bool {
    // Whoever opens few brackets cannot nest deeply, and counting them is many times quicker than following them.
    if memchr2_iter(b'[', b'{', text.as_bytes()).count() <= levels_max {
        return false;
    }
    let mut levels = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => levels += 1,
            b']' | b'}' => levels = levels.saturating_sub(1),
            _ => {}
        }
        if levels > levels_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_no_levels() {
        assert!(!is_deeper_than(1, r#"{"a":"[[[\"[[[\\","b":"{"}"#));
        assert!(is_deeper_than(1, r#"{"a":"\\","b":[]}"#));
        assert!(!is_deeper_than(2, r#"[[],[],{}]"#));
    }
}
