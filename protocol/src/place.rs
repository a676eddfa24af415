//! Where a message stands in its group, put into a payload that was encoded without knowing it.
//!
//! A message is encoded once by its sender's node, before it has a position, and is kept and passed on in that form.
//! Each node that delivers it puts group, id and position in front, once for all of its members. This is the hot path
//! of the hub: nothing is parsed, and one allocation holds the frame with its header.

mod position;

use bytes::Bytes;

pub use position::{NUMBER_MAX, Position};

use crate::frame::{self, Draft};
use crate::hex;

/// What [`place`](place()) puts in front of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Placing<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The message's id.
    pub id: u128,
    /// `null` on the wire when there is none yet.
    pub position: Option<Position>,
    /// Older positions of a message that was put back into the history; left out when empty.
    pub was: &'a [Position],
    /// What a message is that was edited or deleted; left out of one that stands as it was sent.
    pub edited: Option<Edited>,
}

/// What [`place`](place()) says of a message that was edited or deleted.
#[derive(Debug, Clone, Copy)]
pub struct Edited {
    /// Where version 1 stood: its place on the screen. Left out while that is not known: then version 1 is where it was shown.
    pub first: Option<Position>,
    /// Which version it is, from 2 on.
    pub version: u64,
}

/// The WebSocket text frame of a ready payload, with `group`, `id`, `position` and, if there is one, `was` put in
/// right after its `{`; `first` and `version` too, if it was edited.
///
/// The payload is a JSON object with at least one field and none of those that are put in; it is trusted to be that, for
/// a consumer of the hub encoded it.
pub fn place(placing: &Placing<'_>, payload: &[u8]) -> Bytes {
    debug_assert!(payload.starts_with(b"{") && payload.ends_with(b"}"), "a JSON object with a field");
    let mut draft = Draft::with_capacity(placing.bytes_max() + payload.len());
    draft.push(b"{\"group\":");
    draft.text(placing.group);
    draft.push(b",\"id\":\"");
    draft.push(hex::of_u128(placing.id));
    draft.push(b"\",\"position\":");
    draft.optional_position(placing.position);
    if !placing.was.is_empty() {
        draft.push(b",\"was\":");
        draft.json(placing.was);
    }
    if let Some(Edited { first, version }) = placing.edited {
        if let Some(first) = first {
            draft.push(b",\"first\":");
            draft.json(&first);
        }
        draft.push(b",\"version\":");
        draft.json(&version);
    }
    draft.push(b",");
    draft.push(payload.strip_prefix(b"{").unwrap_or(payload));
    draft.finish()
}

/// The JSON text of a ready frame, without its header. Nothing is copied.
pub fn payload(frame: &Bytes) -> Bytes {
    frame.slice(frame::header_len(frame)..)
}

/// `{"epoch":"…","offset":…},` with the longest numbers.
const POSITION_BYTES_MAX: usize = 64;
/// All that [`place`](place()) adds but the name of the group, `was`, `first` and `version`.
const FIXED_BYTES_MAX: usize = 72 + POSITION_BYTES_MAX;
/// `,"first":`, `,"version":` and the longest numbers.
const EDITED_BYTES_MAX: usize = 40 + POSITION_BYTES_MAX;

impl Placing<'_> {
    /// The most that is added to a payload.
    fn bytes_max(&self) -> usize {
        let was = if self.was.is_empty() { 0 } else { 9 + self.was.len() * POSITION_BYTES_MAX };
        let edited = self.edited.map_or(0, |_| EDITED_BYTES_MAX);
        FIXED_BYTES_MAX + self.group.len() + was + edited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: Position = Position { epoch: 0xff, offset: 7 };

    fn placed(placing: &Placing<'_>) -> String {
        String::from_utf8(payload(&place(placing, br#"{"type":"x","n":1.0}"#)).to_vec()).unwrap()
    }

    #[test]
    fn what_is_put_in_stands_first_and_the_rest_is_untouched() {
        let placing = Placing { group: "lobby", id: 0xab, position: Some(POSITION), was: &[], edited: None };
        assert_eq!(
            placed(&placing),
            r#"{"group":"lobby","id":"000000000000000000000000000000ab","position":{"epoch":"00000000000000ff","offset":7},"type":"x","n":1.0}"#
        );
    }

    #[test]
    fn a_message_without_a_place_says_so() {
        let text = placed(&Placing { group: "lobby", id: 1, position: None, was: &[], edited: None });
        assert!(text.contains(r#","position":null,"type":"#), "{text}");
    }

    #[test]
    fn older_positions_are_listed() {
        let was = [POSITION, Position { epoch: 1, offset: NUMBER_MAX }];
        let text =
            placed(&Placing { group: "lobby", id: 1, position: Some(POSITION), was: &was, edited: None });
        assert!(text.contains(r#""was":[{"epoch":"00000000000000ff","offset":7},{"epoch":"0000000000000001","offset":9007199254740991}],"type""#), "{text}");
    }

    #[test]
    fn an_edited_message_says_where_it_stood_and_which_version_it_is() {
        let edited = Some(Edited { first: Some(POSITION), version: 3 });
        let position = Some(Position { offset: 9, ..POSITION });
        let text = placed(&Placing { group: "lobby", id: 1, position, was: &[], edited });
        assert!(
            text.contains(
                r#""offset":9},"first":{"epoch":"00000000000000ff","offset":7},"version":3,"type":"#
            ),
            "{text}"
        );
    }

    #[test]
    fn a_strange_name_cannot_break_out_of_its_string() {
        let text =
            placed(&Placing { group: "a\",\"x\":\"\n", id: 1, position: None, was: &[], edited: None });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["group"], "a\",\"x\":\"\n");
    }

    #[test]
    fn the_room_that_is_set_aside_is_enough() {
        let was = [Position { epoch: u64::MAX, offset: u64::MAX }; 12];
        let edited = Some(Edited { first: Some(was[0]), version: u64::MAX });
        let placing = Placing {
            group: &"g".repeat(99),
            id: u128::MAX,
            position: Some(was[0]),
            was: &was,
            edited: None,
        };
        for (was, edited) in [(&was[..0], None), (&was[..1], edited), (&was[..], None), (&was[..0], edited)] {
            let placing = Placing { was, edited, ..placing };
            let added = place(&placing, br#"{"a":1}"#).len() - br#"{"a":1}"#.len();
            assert!(added <= placing.bytes_max(), "{added}");
        }
    }
}
