//! Where WebSocket frames begin and end in what comes in, followed before anything is put together.
//!
//! tungstenite says nothing of a message until it is whole: neither that one is begun, nor in how many pieces it comes.
//! This reads the headers alone, a few bytes of state a socket. What the standard forbids is tungstenite's business, which
//! gets the same bytes; but for lengths that are no lengths, which that takes.

/// The longest header without its mask.
const HEADER_MAX: usize = 10;

const FIN: u8 = 0x80;
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;
const MASK_BYTES: u64 = 4;

/// Follows one socket's incoming bytes.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The header that is being read, and how much of it is there.
    header: [u8; HEADER_MAX],
    have: usize,
    /// Bytes of the mask and the payload that are still to come.
    left: u64,
    /// Pieces so far of the message that is begun.
    pieces: u32,
    /// Pieces that ended no message, since somebody asked.
    news: u32,
    /// A length was longer than it need be, or than any may be.
    has_bad_length: bool,
}

impl Scanner {
    /// Follows what was read; gives the number of frames that begin in it.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            self.header[self.have] = first;
            self.have += 1;
            bytes = rest;
            if let Some(left) = self.body_bytes() {
                self.have = 0;
                self.left = left;
                self.count(self.header[0]);
                begun += 1;
            }
        }
        begun
    }

    /// Nothing is begun: neither a frame nor a message of several.
    pub(super) fn is_at_rest(&self) -> bool {
        self.have == 0 && self.left == 0 && self.pieces == 0
    }

    /// Pieces so far of a message whose last has not come; 0 when the next frame begins a new one.
    pub(super) fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Pieces that ended no message, since this was last asked.
    pub(super) fn take_news(&mut self) -> u32 {
        std::mem::take(&mut self.news)
    }

    /// A length was written in more bytes than it needs, or has 64 bits.
    pub(super) fn has_bad_length(&self) -> bool {
        self.has_bad_length
    }

    /// What follows the header, once that is whole.
    fn body_bytes(&mut self) -> Option<u64> {
        let [_, second, length @ ..] = self.header;
        let payload = match (second & !MASKED, self.have) {
            (126, 4) => u64::from(u16::from_be_bytes([length[0], length[1]])),
            (127, HEADER_MAX) => u64::from_be_bytes(length),
            (126 | 127, _) => return None,
            (short, 2) => u64::from(short),
            _ => return None,
        };
        let lengths = match self.have {
            2 => 0..=125,
            4 => 126..=0xffff,
            _ => 0x1_0000..=i64::MAX as u64,
        };
        self.has_bad_length |= !lengths.contains(&payload);
        let mask = if second & MASKED == 0 { 0 } else { MASK_BYTES };
        Some(payload.saturating_add(mask))
    }

    fn count(&mut self, first: u8) {
        if first & CONTROL != 0 {
            return;
        }
        if first & FIN == 0 {
            self.pieces = self.pieces.saturating_add(1);
            self.news = self.news.saturating_add(1);
        } else {
            self.pieces = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and its masked payload of zeros.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..=125 => bytes.push(MASKED | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(MASKED | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(MASKED | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.resize(bytes.len() + 4 + length, 0);
        bytes
    }

    #[test]
    fn frames_are_found_whole_or_byte_by_byte() {
        let lengths = [0, 1, 125, 126, 65_535, 65_536];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(0x81, *length)).collect();
        let mut whole = Scanner::default();
        assert_eq!(whole.follow(&bytes), lengths.len());
        assert!(whole.is_at_rest());
        let mut dripped = Scanner::default();
        let begun: usize = bytes.iter().map(|byte| dripped.follow(std::slice::from_ref(byte))).sum();
        assert_eq!(begun, lengths.len());
        assert!(dripped.is_at_rest() && !dripped.has_bad_length());
    }

    #[test]
    fn a_message_is_begun_until_its_last_piece_is_there() {
        let mut scanner = Scanner::default();
        scanner.follow(&frame(0x01, 3));
        scanner.follow(&frame(0x89, 3));
        scanner.follow(&frame(0x00, 0));
        assert_eq!((scanner.pieces(), scanner.is_at_rest()), (2, false));
        let last = frame(0x80, 2);
        scanner.follow(&last[..last.len() - 1]);
        assert_eq!((scanner.pieces(), scanner.is_at_rest()), (0, false));
        scanner.follow(&last[last.len() - 1..]);
        assert!(scanner.is_at_rest());
        assert_eq!((scanner.take_news(), scanner.take_news()), (2, 0));
    }

    #[test]
    fn no_header_leads_it_astray() {
        let mut scanner = Scanner::default();
        scanner.follow(&[0x81, 0xff]);
        scanner.follow(&[0xff; 8]);
        assert_eq!(scanner.follow(&[0; 1_000]), 0);
        assert!(!scanner.is_at_rest() && scanner.has_bad_length());
    }
}
