//! Ids and epochs as the wire shows them: lower-case hexadecimal digits, a fixed number of them.
//!
//! Written here, on the stack, because ids are written once a message on the way to every screen, where a
//! formatter's indirection shows. Reading is strict: other spellings of the same number are refused, so
//! that whoever compares the text compares the number.

use serde::Serializer;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of an epoch.
pub(crate) fn of_u64(number: u64) -> [u8; 16] {
    digits(&number.to_be_bytes())
}

/// The digits of a message's id.
pub(crate) fn of_u128(number: u128) -> [u8; 32] {
    digits(&number.to_be_bytes())
}

/// The number that `text` shows, if it is exactly `count` lower-case digits.
pub(crate) fn read(text: &str, count: usize) -> Option<u128> {
    let plain = text.len() == count && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u128::from_str_radix(text, 16).ok() } else { None }
}

/// For `serialize_with`: an id as its 32 digits.
pub(crate) fn id<S: Serializer>(id: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(as_str(&of_u128(*id)))
}

/// For `serialize_with`: an id as its 32 digits, or `null`.
#[expect(clippy::ref_option, reason = "it is what `serialize_with` hands over")]
pub(crate) fn optional_id<S: Serializer>(id: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(known) => self::id(known, serializer),
        None => serializer.serialize_none(),
    }
}

/// The digits as text.
pub(crate) fn as_str(digits: &[u8]) -> &str {
    str::from_utf8(digits).expect("hexadecimal digits are ASCII")
}

fn digits<const BYTES: usize, const COUNT: usize>(bytes: &[u8; BYTES]) -> [u8; COUNT] {
    let mut text = [0; COUNT];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for number in [0, 1, 0x9f2c_41d0_7ab3_5e68, u64::MAX] {
            assert_eq!(read(as_str(&of_u64(number)), 16), Some(number.into()));
        }
        assert_eq!(as_str(&of_u128(0xab)), "000000000000000000000000000000ab");
        assert_eq!(read(as_str(&of_u128(u128::MAX)), 32), Some(u128::MAX));
    }

    #[test]
    fn other_spellings_of_a_number_are_refused() {
        for text in ["", "ab", "00AB", "+0ab", "0x0a", "00a ", "000ab", "00é"] {
            assert_eq!(read(text, 4), None, "{text:?}");
        }
    }
}
