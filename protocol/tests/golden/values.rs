//! JSON values as the plain types that the wire's fields have; a value of another kind ends the test.

use palabre_protocol::Position;
use serde_json::Value;

pub(crate) fn position(position: &Value) -> Option<Position> {
    serde_json::from_value(position.clone()).unwrap()
}

pub(crate) fn id(id: &Value) -> u128 {
    u128::from_str_radix(text(id), 16).unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn text_or_none(value: &Value) -> Option<&str> {
    (!value.is_null()).then(|| text(value))
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

pub(crate) fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}
