//! A text that comes whole, in one frame and one read, is unmasked where it lies.
//!
//! That is what nearly everything is that a client says, and needs no state: tungstenite's, its buffers and its copies were a
//! twentieth of the instructions of a message in small groups. Whatever is not clearly such a frame is tungstenite's.

use std::str::Utf8Error;

const FINAL_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;

/// The longest payload of a header without a length of its own, and what stands in place of a longer one's.
const SHORT_MAX: usize = 125;
const LONG: usize = 126;

/// The text that `bytes` are a masked frame of, and of nothing else, if its length is at most `bytes_max` and spelled as short
/// as it can be. They are as they were if it is `None`.
pub(super) fn whole_text(bytes: &mut [u8], bytes_max: usize) -> Option<Result<&str, Utf8Error>> {
    let [FINAL_TEXT, second, rest @ ..] = bytes else { return None };
    let short = usize::from(second.checked_sub(MASKED)?);
    let (length, rest) = match (short, rest) {
        (..=SHORT_MAX, rest) => (short, rest),
        (LONG, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (mask, payload) = rest.split_first_chunk_mut::<MASK_BYTES>()?;
    let is_spelled_short = short < LONG || length > SHORT_MAX;
    if payload.len() != length || length > bytes_max || !is_spelled_short {
        return None;
    }
    unmask(payload, *mask);
    Some(str::from_utf8(payload))
}

fn unmask(payload: &mut [u8], mask: [u8; MASK_BYTES]) {
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = payload.as_chunks_mut::<MASK_BYTES>();
    for masked in words {
        *masked = (u32::from_ne_bytes(*masked) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
