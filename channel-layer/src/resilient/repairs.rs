//! Which groups are to be read because something of them was missed: some at a time, those first of which it is certain.
//!
//! A backend that had to drop arrivals does not say of which groups, so all are in doubt. Their reads share the places of
//! everybody's, or what they bring would keep the publishes and the signs of life behind it waiting.

use crate::{
    name::GroupName,
    resilient::inbound::{Inbound, Need},
};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Something is missing.
    missing: VecDeque<GroupName>,
    /// Something may be missing; nobody waits for it.
    doubted: VecDeque<GroupName>,
}

impl Repairs {
    pub(super) fn want(&mut self, group: GroupName) {
        self.missing.push_back(group);
    }

    /// Arrivals were lost, and nobody knows of which groups.
    pub(super) fn doubt(&mut self, groups: Vec<GroupName>) {
        self.doubted.extend(groups);
    }

    /// The group to be read next.
    pub(super) fn next(&mut self, inbound: &mut Inbound) -> Option<GroupName> {
        if let Some(group) = self.missing.pop_front() {
            return Some(group);
        }
        while let Some(group) = self.doubted.pop_front() {
            if inbound.resolve(&group) == Need::Read {
                return Some(group);
            }
        }
        None
    }

    /// The link is lost: openings bring what was missed.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }
}
