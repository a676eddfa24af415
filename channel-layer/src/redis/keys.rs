//! Every key and channel name in Redis.
//!
//! Databases of one server have keys of their own, but share its channels: so a group's channel names the database too.
//! All keys of a group share the hash tag `{group}`, so that a cluster keeps them in one slot and a script may touch
//! them all. A group's name can hold no brace, so no two groups meet.

use crate::name::GroupName;
use std::sync::Arc;

/// The names under one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Arc<str>,
    /// What ends the name of a group's channel; nothing in database 0.
    database: Arc<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str, database: i64) -> Self {
        let database = if database == 0 { String::new() } else { format!(":db{database}") };
        Self { prefix: prefix.into(), database: database.into() }
    }

    /// The hash in which a group's history is kept, and the pub/sub channel of the group in database 0. The name has the version
    /// of the form: builds that keep histories in another one neither touch this one nor hear of it.
    pub(crate) fn history(&self, group: &GroupName) -> String {
        format!("{}:{{{group}}}:4", self.prefix)
    }

    /// What a group's channel has after the name of its history.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// A key beside a group's history, for values that somebody keeps there: it has the life of the history.
    pub(crate) fn beside(&self, group: &GroupName, name: &str) -> String {
        format!("{}:{{{group}}}:{name}", self.prefix)
    }

    /// The hash of the leases on a group's rows of presence, and the hash of the rows.
    pub(crate) fn presence(&self, group: &GroupName) -> [String; 2] {
        ["pl", "pr"].map(|part| format!("{}:{{{group}}}:{part}", self.prefix))
    }

    /// The pub/sub channel of a group.
    pub(crate) fn channel(&self, group: &GroupName) -> String {
        format!("{}:{{{group}}}:4{}", self.prefix, self.database)
    }

    /// The pub/sub channel of a process, whose name no other has.
    pub(crate) fn node(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }

    /// The sorted set of the nodes that are there.
    pub(crate) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// The group of a pub/sub channel, if it is one of ours.
    pub(crate) fn group_of(&self, channel: &str) -> Option<GroupName> {
        let group = channel.strip_prefix(&*self.prefix)?.strip_prefix(":{")?;
        group.strip_suffix(&*self.database)?.strip_suffix("}:4")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_leads_back_to_its_group_and_no_other_name_does() {
        let keys = Keys::new("palabre", 0);
        let group: GroupName = "a.b-c_d".parse().unwrap();
        assert_eq!(keys.group_of(&keys.channel(&group)), Some(group.clone()));
        assert_eq!(keys.history(&group), "palabre:{a.b-c_d}:4");
        for other in ["palabre:node:1", "palabre:{a b}:4", "other:{a}:4", "palabre:{a}", "palabre:{a}:m", ""]
        {
            assert_eq!(keys.group_of(other), None, "{other}");
        }
    }

    #[test]
    fn databases_share_no_channel() {
        let [first, second] = [0, 2].map(|database| Keys::new("palabre", database));
        let group: GroupName = "a".parse().unwrap();
        assert_eq!(second.group_of(&second.channel(&group)), Some(group.clone()));
        assert_eq!(second.group_of(&first.channel(&group)), None);
        assert_eq!(first.group_of(&second.channel(&group)), None);
    }
}
