//! Presence at the backend: each node's row of a group, which ends with its lease.

use channel_layer::{GroupName, Presented, RowStored, RowWrite, Standing};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// The rows of all groups, by node.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    groups: HashMap<GroupName, HashMap<Box<str>, Row>>,
}

#[derive(Debug)]
struct Row {
    ends_at: Instant,
    stored: RowStored,
}

impl Rows {
    /// Puts, renews or withdraws the row of `node`; what there is to be passed on is the second.
    pub(crate) fn write(
        &mut self,
        node: &str,
        lease: Duration,
        group: &GroupName,
        write: RowWrite,
    ) -> (Presented, Option<bytes::Bytes>) {
        let now = Instant::now();
        let ends_at = now + lease;
        let rows = self.groups.entry(group.clone()).or_default();
        let (is_there, change) = match write {
            RowWrite::Put { version, row, change } => {
                let stored = RowStored { node: node.into(), version, left: lease, row };
                rows.insert(node.into(), Row { ends_at, stored });
                (true, Some(change))
            }
            RowWrite::Renew { version } => {
                let mine =
                    rows.get_mut(node).filter(|row| row.stored.version == version && row.ends_at > now);
                (mine.map(|row| row.ends_at = ends_at).is_some(), None)
            }
            RowWrite::Withdraw { change } => {
                rows.remove(node);
                (true, Some(change))
            }
        };
        let standing = |RowStored { node, version, left, .. }| Standing { node, version, left };
        let others = self.read(group).into_iter().filter(|row| &*row.node != node).map(standing).collect();
        (Presented { is_there, others }, change)
    }

    /// The rows that hold; a group without any is forgotten.
    pub(crate) fn read(&mut self, group: &GroupName) -> Vec<RowStored> {
        let now = Instant::now();
        let Some(rows) = self.groups.get_mut(group) else { return Vec::new() };
        rows.retain(|_, row| row.ends_at > now);
        if rows.is_empty() {
            self.groups.remove(group);
            return Vec::new();
        }
        rows.values().map(|row| RowStored { left: row.ends_at - now, ..row.stored.clone() }).collect()
    }

    /// Forgets every row whose lease is over.
    pub(crate) fn expire(&mut self) {
        let groups: Vec<GroupName> = self.groups.keys().cloned().collect();
        groups.iter().for_each(|group| drop(self.read(group)));
    }
}
