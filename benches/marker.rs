//! The marker in a message's text: which sender, which of its messages, sent when.
//!
//! `#SSSSSS:QQQQQQQQ:TTTTTTTTTTTTTTTT#`, all decimal and of fixed width, so that it is found by comparing bytes at
//! known places, written over in a ready frame, and never escaped by a JSON encoder.

/// Bytes of a marker.
pub const MARKER_BYTES: usize = 34;
/// The greatest sender that fits.
pub const SENDER_MAX: u32 = 999_999;
/// The greatest sequence number that fits.
pub const SEQ_MAX: u32 = 99_999_999;

const SENDER: std::ops::Range<usize> = 1..7;
const SEQ: std::ops::Range<usize> = 8..16;
const SENT: std::ops::Range<usize> = 17..33;

/// What one message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Who sent it: the number of the sending socket, or of the group when the limit sends.
    pub sender: u32,
    /// The sender's messages are numbered from 0.
    pub seq: u32,
    /// By a [`Clock`](crate::clock::Clock).
    pub sent_us: u64,
}

impl Marker {
    /// The marker's bytes. Numbers above [`SENDER_MAX`] or [`SEQ_MAX`] lose their leading digits;
    /// [`Plan::check`](crate::plan::Plan::check) rules them out.
    #[must_use]
    pub fn bytes(&self) -> [u8; MARKER_BYTES] {
        let mut bytes = *b"#000000:00000000:0000000000000000#";
        put_digits(&mut bytes[SENDER], u64::from(self.sender));
        put_digits(&mut bytes[SEQ], u64::from(self.seq));
        put_digits(&mut bytes[SENT], self.sent_us);
        bytes
    }

    /// The first marker in `text`. `hint` is where the last one was found and is tried first: frames of one kind
    /// have theirs at the same place.
    pub fn find(text: &[u8], hint: &mut usize) -> Option<Self> {
        if let Some(marker) = Self::at(text, *hint) {
            return Some(marker);
        }
        let mut from = 0;
        while let Some(step) = text[from..].iter().position(|&byte| byte == b'#') {
            if let Some(marker) = Self::at(text, from + step) {
                *hint = from + step;
                return Some(marker);
            }
            from += step + 1;
        }
        None
    }

    fn at(text: &[u8], place: usize) -> Option<Self> {
        let bytes = text.get(place..place.checked_add(MARKER_BYTES)?)?;
        if bytes[0] != b'#' || bytes[7] != b':' || bytes[16] != b':' || bytes[33] != b'#' {
            return None;
        }
        Some(Self {
            sender: u32::try_from(digits(&bytes[SENDER])?).ok()?,
            seq: u32::try_from(digits(&bytes[SEQ])?).ok()?,
            sent_us: digits(&bytes[SENT])?,
        })
    }
}

fn put_digits(into: &mut [u8], mut value: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker { sender: 42, seq: 99_999_999, sent_us: 1_790_000_000_123_456 };

    #[test]
    fn a_marker_is_found_again_wherever_it_stands_and_its_place_is_remembered() {
        let mut text = b"{\"a\":\"#1:#000000:\",\"text\":\"".to_vec();
        let place = text.len();
        text.extend_from_slice(&MARKER.bytes());
        text.extend_from_slice(b"....\"}");
        let mut hint = 3;
        assert_eq!(Marker::find(&text, &mut hint), Some(MARKER));
        assert_eq!(hint, place);
        assert_eq!(Marker::find(&text, &mut hint), Some(MARKER));
    }

    #[test]
    fn what_is_cut_or_is_no_number_is_no_marker() {
        let whole = MARKER.bytes();
        assert_eq!(Marker::find(&whole[..MARKER_BYTES - 1], &mut 0), None);
        let mut letters = whole;
        letters[3] = b'x';
        assert_eq!(Marker::find(&letters, &mut 1_000), None);
    }
}
