//! A position as Redis has it: its epoch and its offset, 16 hexadecimal digits each.

use crate::position::{Epoch, Position};

/// How many bytes a label has.
pub(super) const BYTES: usize = 32;

/// What stands where there is no position.
pub(super) const NONE: [u8; BYTES] = [b'0'; BYTES];

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The label of a position.
pub(super) fn of(Position { epoch, offset }: Position) -> [u8; BYTES] {
    let mut label = NONE;
    let (first, last) = label.split_at_mut(BYTES / 2);
    first.copy_from_slice(&digits(epoch.as_u64()));
    last.copy_from_slice(&digits(offset));
    label
}

/// A number as half a label has it.
pub(super) fn digits(number: u64) -> [u8; BYTES / 2] {
    std::array::from_fn(|place| DIGITS[(number >> (60 - 4 * place) & 15) as usize])
}

/// The position of a label; `None` when it is none.
pub(super) fn position(label: &[u8]) -> Option<Position> {
    let (epoch, offset) = label.split_first_chunk::<16>()?;
    Some(Position { epoch: Epoch::from_u64(number(epoch)?)?, offset: number(offset.try_into().ok()?)? })
}

fn number(digits: &[u8; 16]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_leads_back_to_its_position_and_nothing_else_does() {
        let position_of = |epoch, offset| Position { epoch: Epoch::from_u64(epoch).unwrap(), offset };
        for (epoch, offset) in [(1, 0), (0xff, 16), (u64::MAX, u64::MAX), (0x0123_4567_89ab_cdef, 1 << 53)] {
            let label = of(position_of(epoch, offset));
            assert_eq!(label, *format!("{epoch:016x}{offset:016x}").as_bytes());
            assert_eq!(position(&label), Some(position_of(epoch, offset)));
        }
        assert_eq!(position(&NONE), None, "zero is no epoch");
        let good = of(position_of(1, 1));
        for bad in [&good[1..], b"", b"zz000000000000ff0000000000000010", b"+0000000000000ff0000000000000010"]
        {
            assert_eq!(position(bad), None);
        }
    }
}
