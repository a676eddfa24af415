//! A frame's outside: its fields as raw texts, each name once, and how deep it goes.
//!
//! Reading goes on after a fault: the error reply wants the `ref`, and that may come last.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::bad_request;
use crate::error::Refusal;
use crate::strict::Text;

/// No frame of the protocol has half as many; comparing each name with all others stays cheap.
const FIELDS_MAX: usize = 64;

/// A frame's fields, as far as `decode` looks.
#[derive(Default)]
pub(super) struct Outside<'a> {
    pub(super) kind: Option<&'a RawValue>,
    /// None as well if there were two: neither is the one to answer.
    pub(super) reference: Option<&'a RawValue>,
    pub(super) fields: Vec<(Box<str>, Box<RawValue>)>,
    /// The first thing that was wrong. Reading goes on after it, as the `ref` may come last.
    pub(super) fault: Option<Refusal>,
}

impl<'de> Deserialize<'de> for Outside<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OutsideVisitor)
    }
}

struct OutsideVisitor;

impl<'de> Visitor<'de> for OutsideVisitor {
    type Value = Outside<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outside<'de>, A::Error> {
        let mut outside = Outside::default();
        let (mut count, mut references) = (0, 0);
        while let Some(Text(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            count += 1;
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
                name if outside.fields.iter().any(|(other, _)| **other == *name) => true,
                name => {
                    outside.fields.push((name.into(), value.to_owned()));
                    false
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
pub(super) fn is_deeper_than(levels_max: usize, text: &str) -> bool {
    // Whoever opens few brackets cannot nest deeply, and counting them is many times quicker than following them.
    let opening = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if opening <= levels_max {
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
