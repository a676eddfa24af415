//! A node's row of a group and its changes, as bytes between nodes: versioned, bounded, read with suspicion.
//!
//! ```text
//! row:    version u8 = 1 | people
//! change: version u8 = 1 | length u8, node | from u64 | to u64 | what u8: 0 whole, then people; 1 part; 2 gone
//! people: form u8: 0 listed | count u32 | members     1 counted | count u32
//! part:   count u32 | members that came | count u32 | keys of those that went
//! member: length u32, key | length u32, info
//! ```
//!
//! Integers are big-endian. Anybody who may write in the backend can write here: what cannot be read is passed over.

use crate::member::Member;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

const VERSION: u8 = 1;
const WHOLE: u8 = 0;
const PART: u8 = 1;
const GONE: u8 = 2;
const LISTED: u8 = 0;
const COUNTED: u8 = 1;

/// A row that would be larger carries a number only.
pub(crate) const ROW_BYTES_MAX: usize = 256 << 10;

/// The largest change that is read: whoever came and went beside each other.
const CHANGE_BYTES_MAX: usize = 1 << 20;

/// Who has a connection to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum People {
    Listed(Vec<Member>),
    Counted(u32),
}

/// What one node says of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) node: Box<str>,
    /// The version that a part goes on from.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Whole(People),
    Part { joined: Vec<Member>, left: Vec<Arc<str>> },
    Gone,
}

pub(crate) fn encode_row(people: &People) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    put_people(&mut out, people);
    out.freeze()
}

/// The people of a row; `None` when it is none of this version.
pub(crate) fn decode_row(mut row: Bytes) -> Option<People> {
    if row.len() > CHANGE_BYTES_MAX || row.try_get_u8().ok()? != VERSION {
        return None;
    }
    people(&mut row)
}

pub(crate) fn encode_change(change: &Change) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    out.put_u8(u8::try_from(change.node.len()).expect("a node's name is short"));
    out.put_slice(change.node.as_bytes());
    out.put_u64(change.from);
    out.put_u64(change.to);
    match &change.what {
        What::Whole(people) => {
            out.put_u8(WHOLE);
            put_people(&mut out, people);
        }
        What::Part { joined, left } => {
            out.put_u8(PART);
            put_members(&mut out, joined);
            out.put_u32(count(left.len()));
            left.iter().for_each(|key| put_text(&mut out, key.as_bytes()));
        }
        What::Gone => out.put_u8(GONE),
    }
    out.freeze()
}

/// A change; `None` when it is none of this version.
pub(crate) fn decode_change(mut bytes: Bytes) -> Option<Change> {
    if bytes.len() > CHANGE_BYTES_MAX || bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let length = usize::from(bytes.try_get_u8().ok()?);
    let node = std::str::from_utf8(&take(&mut bytes, length)?).ok()?.into();
    let (from, to) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
    let what = match bytes.try_get_u8().ok()? {
        WHOLE => What::Whole(people(&mut bytes)?),
        PART => {
            let joined = members(&mut bytes)?;
            let count = bytes.try_get_u32().ok()?;
            What::Part { joined, left: (0..count).map(|_| key(&mut bytes)).collect::<Option<_>>()? }
        }
        GONE => What::Gone,
        _ => return None,
    };
    Some(Change { node, from, to, what })
}

fn put_people(out: &mut BytesMut, people: &People) {
    match people {
        People::Listed(members) => {
            out.put_u8(LISTED);
            put_members(out, members);
        }
        People::Counted(count) => {
            out.put_u8(COUNTED);
            out.put_u32(*count);
        }
    }
}

fn put_members(out: &mut BytesMut, members: &[Member]) {
    out.put_u32(count(members.len()));
    for member in members {
        put_text(out, member.key.as_bytes());
        put_text(out, &member.info);
    }
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(count(text.len()));
    out.put_slice(text);
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("what a node has in memory of one group is far from 4 GiB")
}

fn people(bytes: &mut Bytes) -> Option<People> {
    match bytes.try_get_u8().ok()? {
        LISTED => members(bytes).map(People::Listed),
        COUNTED => bytes.try_get_u32().ok().map(People::Counted),
        _ => None,
    }
}

fn members(bytes: &mut Bytes) -> Option<Vec<Member>> {
    // The count is not trusted: nothing is allocated for members that do not come.
    let count = bytes.try_get_u32().ok()?;
    (0..count).map(|_| Some(Member { key: key(bytes)?, info: text(bytes)?.as_ref().into() })).collect()
}

fn key(bytes: &mut Bytes) -> Option<Arc<str>> {
    let key = text(bytes)?;
    Some(std::str::from_utf8(&key).ok()?.into())
}

fn text(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    take(bytes, length)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(key: &str) -> Member {
        Member { key: key.into(), info: key.to_uppercase().into_bytes().into() }
    }

    fn changes() -> Vec<Change> {
        let listed = People::Listed(vec![member("a"), member("é")]);
        let part = What::Part { joined: vec![member("b")], left: vec!["c".into(), "".into()] };
        [What::Whole(listed), What::Whole(People::Counted(7_000)), part, What::Gone]
            .map(|what| Change { node: "00ff".into(), from: 1, to: u64::MAX, what })
            .into()
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for change in changes() {
            assert_eq!(decode_change(encode_change(&change)), Some(change.clone()));
            if let What::Whole(people) = change.what {
                assert_eq!(decode_row(encode_row(&people)), Some(people));
            }
        }
    }

    #[test]
    fn whatever_else_comes_is_passed_over_and_never_a_panic() {
        for change in changes() {
            let good = encode_change(&change);
            for cut in 0..good.len() {
                assert_eq!(decode_change(good.slice(..cut)), None, "cut at {cut}");
            }
            for position in 0..good.len() {
                for value in [0, 1, 2, 3, 0x7f, 0xff] {
                    let mut bytes = good.to_vec();
                    bytes[position] = value;
                    // Some are only another change; none may panic, or take memory for what does not come.
                    let _any = decode_change(bytes.clone().into());
                    let _any = decode_row(bytes.into());
                }
            }
        }
        assert_eq!(decode_row(Bytes::from_static(&[2, 1, 0, 0, 0, 0])), None, "another version");
    }
}
