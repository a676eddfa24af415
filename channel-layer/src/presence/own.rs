//! This node's own row of a group: when it is written, and as what.
//!
//! A list, with what has changed since the last version; a number, once there are too many; nothing, when nobody is here.

use crate::presence::{
    PresenceRules,
    lease::RowWrite,
    room::{Difference, Room, Said, Turn},
    row::{Change, People, ROW_BYTES_MAX, What, encode_change, encode_row},
};
use bytes::Bytes;

/// How this node's own row stands at the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Absent,
    /// Nobody knows: the backend was away since it was written. It is written whole, or withdrawn.
    Unsure,
    Listed,
    Counted(usize),
}

impl Room {
    /// What becomes of this node's own row; `difference` is what has changed in a row that is a list.
    pub(super) fn write(&mut self, difference: Difference, turn: &Turn<'_>) -> Option<RowWrite> {
        let members_max = turn.rules.members_max;
        if self.here == 0 {
            return self.withdraw(turn.node, turn.number);
        }
        // Back to a list only well below the bound: a group that hovers there is not written whole again and again.
        let lists = match self.form {
            Form::Absent | Form::Unsure | Form::Listed => self.here <= members_max,
            Form::Counted(told) => self.here <= members_max - members_max / 10 && told != self.here,
        };
        let is_same = difference.joined.is_empty() && difference.left.is_empty();
        match self.form {
            Form::Listed if lists && is_same => self.renew(turn),
            Form::Counted(told) if told == self.here => self.renew(turn),
            _ => Some(self.put(lists, difference, turn)),
        }
    }

    /// Takes the own row away, if it stands.
    pub(super) fn withdraw(&mut self, node: &str, turn: u32) -> Option<RowWrite> {
        let stood = std::mem::replace(&mut self.form, Form::Absent) != Form::Absent;
        stood.then(|| RowWrite::Withdraw { change: self.say(node, turn, What::Gone) })
    }

    pub(super) fn renew(&mut self, turn: &Turn<'_>) -> Option<RowWrite> {
        if turn.number < self.beat_at {
            return None;
        }
        self.beat_next(turn);
        Some(RowWrite::Renew { version: self.version })
    }

    /// Up to a fifth earlier than it must be, so that rooms that were written together are not renewed together.
    pub(super) fn beat_next(&mut self, turn: &Turn<'_>) {
        let heartbeat = turn.rules.heartbeat_turns();
        let early = turn.random % (heartbeat / 5 + 1);
        self.beat_at = turn.number.saturating_add((heartbeat - early).max(1));
    }

    pub(super) fn put(&mut self, lists: bool, difference: Difference, turn: &Turn<'_>) -> RowWrite {
        let listed = lists.then(|| self.list()).map(|people| (encode_row(&people), people));
        let (row, people) = listed.filter(|(row, _)| row.len() <= ROW_BYTES_MAX).unwrap_or_else(|| {
            let count = People::Counted(u32::try_from(self.here).unwrap_or(u32::MAX));
            (encode_row(&count), count)
        });
        let was_list = self.form == Form::Listed;
        self.form = match people {
            People::Listed(_) => Form::Listed,
            People::Counted(_) => Form::Counted(self.here),
        };
        let what = if was_list && self.form == Form::Listed {
            let left = difference.left.into_iter().map(|member| member.key).collect();
            What::Part { joined: difference.joined, left }
        } else {
            What::Whole(people)
        };
        let change = self.say(turn.node, turn.number, what);
        self.beat_next(turn);
        RowWrite::Put { version: self.version, row, change }
    }

    /// Everybody with a connection to this node, noted as such.
    pub(super) fn list(&mut self) -> People {
        let mut members = Vec::with_capacity(self.here);
        for (key, person) in &mut self.people {
            person.listed = if person.here > 0 { Said::Present } else { Said::Nothing };
            if person.here > 0 {
                members.push(person.member(key));
            }
        }
        People::Listed(members)
    }

    pub(super) fn say(&mut self, node: &str, turn: u32, what: What) -> Bytes {
        // A room writes once a turn at most, and turns only go on, whether the room is forgotten meanwhile or not.
        let to = u64::from(turn);
        let from = std::mem::replace(&mut self.version, to);
        encode_change(&Change { node: node.into(), from, to, what })
    }

    /// The backend does not have this node's row as it should be, or nobody knows.
    pub(super) fn lose_own(&mut self, turn: u32, rules: &PresenceRules) {
        if !matches!(self.form, Form::Absent | Form::Unsure) {
            self.form = Form::Unsure;
            // Then its lease is over, wherever it stood.
            self.beat_at = turn.saturating_add(rules.lease_turns());
        }
    }
}
