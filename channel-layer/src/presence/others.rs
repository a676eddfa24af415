//! The rows of other nodes in one room: taken by version, read when a change is missing, dropped when their lease ends.

use crate::{
    member::Member,
    presence::{
        lease::RowStored,
        room::{Person, Room, Said, Sight, enqueue},
        row::{Change, People, What, decode_row},
    },
};
use std::{collections::HashSet, sync::Arc};
use tokio::time::Instant;

/// Rows of others that are looked at; a hub has fewer nodes.
const ROWS_MAX: usize = 64;

/// The row of another node.
pub(super) struct Row {
    node: Box<str>,
    version: u64,
    expires_at: Instant,
    pub(super) people: RowPeople,
}

pub(super) enum RowPeople {
    Listed(HashSet<Arc<str>>),
    Counted(usize),
}

impl Room {
    /// Takes what another node says of its row.
    pub(super) fn hear(&mut self, change: Change, expires_at: Instant) {
        let Change { node, from, to, what } = change;
        let known = self.rows.iter().position(|row| row.node == node);
        let version = known.map(|index| self.rows[index].version);
        match what {
            _ if version.is_some_and(|version| to <= version) => {}
            What::Whole(people) => self.set_row(&node, to, people, expires_at),
            What::Gone => {
                if let Some(index) = known {
                    self.remove_row(index);
                }
            }
            What::Part { joined, left } => {
                let row = known.map(|index| &mut self.rows[index]).filter(|row| row.version == from);
                let Some(Row { people: RowPeople::Listed(_), .. }) = &row else {
                    // Of a node that was never seen, or a change before it is missing.
                    self.doubt();
                    return;
                };
                self.part(&node, joined, left);
                if let Some(row) = self.rows.iter_mut().find(|row| row.node == node) {
                    (row.version, row.expires_at) = (to, expires_at);
                }
            }
        }
    }

    pub(super) fn part(&mut self, node: &str, joined: Vec<Member>, left: Vec<Arc<str>>) {
        let Some(row) = self.rows.iter_mut().find(|row| &*row.node == node) else { return };
        let RowPeople::Listed(keys) = &mut row.people else { return };
        let gone: Vec<Arc<str>> = left.into_iter().filter(|key| keys.remove(key)).collect();
        let (mut new, mut renamed) = (Vec::new(), Vec::new());
        for member in joined {
            if keys.insert(Arc::clone(&member.key)) { new.push(member) } else { renamed.push(member) }
        }
        gone.iter().for_each(|key| self.absent_elsewhere(key));
        new.iter().for_each(|member| self.present_elsewhere(member));
        for Member { key, info } in &renamed {
            if let Some(person) = self.people.get_mut(key) {
                person.rename(info);
                enqueue(&mut self.queue, key, person);
            }
        }
    }

    /// Takes a whole row of another node.
    pub(super) fn set_row(&mut self, node: &str, version: u64, people: People, expires_at: Instant) {
        let before =
            self.rows.iter().position(|row| &*row.node == node).map(|index| self.rows.swap_remove(index));
        if self.rows.len() < ROWS_MAX {
            let people = match people {
                People::Counted(count) => RowPeople::Counted(count as usize),
                People::Listed(members) => {
                    // First those who are there: who is in both rows is absent at no time.
                    members.iter().for_each(|member| self.present_elsewhere(member));
                    RowPeople::Listed(members.into_iter().map(|member| member.key).collect())
                }
            };
            self.rows.push(Row { node: node.into(), version, expires_at, people });
        }
        self.drop_row(before);
    }

    pub(super) fn remove_row(&mut self, index: usize) {
        let row = self.rows.swap_remove(index);
        self.drop_row(Some(row));
    }

    pub(super) fn drop_row(&mut self, row: Option<Row>) {
        if let Some(Row { people: RowPeople::Listed(keys), .. }) = row {
            keys.iter().for_each(|key| self.absent_elsewhere(key));
        }
    }

    pub(super) fn present_elsewhere(&mut self, member: &Member) {
        let person = self.people.entry(Arc::clone(&member.key)).or_insert_with(|| Person::new(&member.info));
        person.elsewhere = person.elsewhere.saturating_add(1);
        // The name that a connection to this node was given counts more here.
        if person.here == 0 && person.info != member.info {
            person.rename(&member.info);
        }
        enqueue(&mut self.queue, &member.key, person);
    }

    pub(super) fn absent_elsewhere(&mut self, key: &Arc<str>) {
        if let Some(person) = self.people.get_mut(key) {
            person.elsewhere = person.elsewhere.saturating_sub(1);
            enqueue(&mut self.queue, key, person);
        }
    }

    /// What the backend says of another node's row: it has this version and holds until then. A version that is not
    /// the one known here has to be read.
    pub(crate) fn confirm(&mut self, node: &str, version: u64, expires_at: Instant) {
        match self.rows.iter_mut().find(|row| &*row.node == node) {
            Some(row) if row.version >= version => row.expires_at = row.expires_at.max(expires_at),
            _ => self.doubt(),
        }
    }

    pub(super) fn doubt(&mut self) {
        if self.sight == Sight::Whole {
            self.sight = Sight::Doubted;
        }
    }

    /// Takes all rows of others, as the backend has them now.
    pub(super) fn learn(&mut self, rows: Vec<RowStored>, now: Instant) {
        for RowStored { node, version, left, row } in rows {
            let (people, expires_at) = (decode_row(row), now + left);
            let known = self.rows.iter_mut().find(|row| row.node == node);
            match (known, people) {
                // Its changes may have overtaken the read.
                (Some(row), _) if row.version >= version => row.expires_at = expires_at,
                (_, Some(people)) => self.set_row(&node, version, people, expires_at),
                (_, None) => {}
            }
        }
        if self.sight == Sight::None {
            // They were there before anybody here looked: that is no news.
            for person in self.people.values_mut().filter(|person| person.elsewhere > 0) {
                person.told = Said::Present;
            }
            if self.here == 0 {
                self.told = self.occupancy();
            }
        }
        self.sight = Sight::Whole;
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(index) = self.rows.iter().position(|row| row.expires_at <= now) {
            self.remove_row(index);
        }
    }
}
