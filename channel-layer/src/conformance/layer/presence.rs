//! Who is in a group: at once on their node, soon on every other, and once.

use super::{Fixture, Layer, is_healthy, two_nodes};
use crate::{
    conformance::{
        rules::{P1, P2, P3, P4, P5, P7, PATIENT, Rule},
        tools::{group, not_applicable},
    },
    delivery::Delivery,
    mailbox::Mailbox,
    member::{Attendance, Member, Roster},
    name::GroupName,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

pub(super) fn called(key: &str, info: &str) -> Member {
    Member { key: key.into(), info: info.as_bytes().into() }
}

pub(super) fn somebody(key: &str) -> Member {
    called(key, &format!("{key}'s name"))
}

fn keys<'a>(members: impl IntoIterator<Item = &'a Member>) -> BTreeSet<String> {
    members.into_iter().map(|member| member.key.to_string()).collect()
}

/// Who stands by on each node.
pub(super) const HOSTS: [&str; 2] = ["host-0", "host-1"];

/// What these cases wait for and look at.
impl Rule {
    async fn roster(self, layer: &Layer, group: &GroupName) -> Roster {
        self.in_time("a roster", layer.presence().roster(group)).await
    }

    /// Asks until the roster is this, and its number is the occupancy; the others may take some time for it.
    pub(super) async fn sees(
        self,
        layer: &Layer,
        group: &GroupName,
        expected: Roster,
        forgotten_after: Duration,
    ) {
        let mut last = None;
        let look = async {
            loop {
                let roster = self.roster(layer, group).await;
                let occupancy = self.in_time("an occupancy", layer.presence().occupancy(group)).await;
                if roster == expected && occupancy == expected.occupancy {
                    return;
                }
                last = Some((roster, occupancy));
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENT + forgotten_after, look).await.is_err() {
            self.broken(format_args!("the roster stays {last:?} instead of {expected:?}"));
        }
    }

    /// The same for these and the hosts.
    pub(super) async fn lists(
        self,
        layer: &Layer,
        group: &GroupName,
        members: impl IntoIterator<Item = Member>,
    ) {
        self.sees(layer, group, hosted(members), Duration::ZERO).await;
    }

    /// The next change that a mailbox is told.
    async fn change(self, mailbox: &mut Mailbox) -> Arc<Attendance> {
        match self.next(mailbox).await {
            Delivery::Presence(change) => change,
            other => self.broken(format_args!("received {other:?} instead of a change")),
        }
    }

    /// A mailbox on each node, and somebody there: a node tells its mailboxes of groups that it has members in.
    pub(super) async fn hosts(self, nodes: &[Layer; 2], group: &GroupName) -> [Mailbox; 2] {
        let mailboxes = [self.join(&nodes[0], group, 256).await, self.join(&nodes[1], group, 256).await];
        for (node, host) in nodes.iter().zip(HOSTS) {
            node.presence().enter(group, &somebody(host));
        }
        for node in nodes {
            self.lists(node, group, []).await;
        }
        mailboxes
    }

    /// Reads changes until one says that this one has come; gives who else was told to have come, and to have gone.
    pub(super) async fn comes(self, mailbox: &mut Mailbox, key: &str) -> [BTreeSet<String>; 2] {
        let [mut joined, mut left] = [BTreeSet::new(), BTreeSet::new()];
        while !joined.remove(key) {
            let change = self.change(mailbox).await;
            joined.append(&mut keys(&change.joined));
            left.append(&mut keys(&change.left));
        }
        joined.retain(|key| !HOSTS.contains(&&**key));
        [joined, left]
    }

    pub(super) async fn goes(self, mailbox: &mut Mailbox, key: &str) {
        while !keys(&self.change(mailbox).await.left).contains(key) {}
    }
}

pub(super) fn listed(members: impl IntoIterator<Item = Member>) -> Roster {
    let mut members: Vec<Member> = members.into_iter().collect();
    members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Roster { occupancy: members.len(), members: Some(members) }
}

/// These, and the hosts.
fn hosted(members: impl IntoIterator<Item = Member>) -> Roster {
    listed(members.into_iter().chain(HOSTS.map(somebody)))
}

const NOBODY: [BTreeSet<String>; 2] = [BTreeSet::new(), BTreeSet::new()];

pub(super) async fn who_enters_is_there_at_once_and_is_told_to_the_mailboxes(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    P1.same("a group that nobody is in", P1.roster(&nodes[0], &lobby).await, listed([]));
    let mut mailboxes = P1.hosts(&nodes, &lobby).await;
    let presence = nodes[0].presence();
    presence.enter(&lobby, &somebody("ana"));
    P1.same("the roster", P1.roster(&nodes[0], &lobby).await, hosted([somebody("ana")]));
    for mailbox in &mut mailboxes {
        P2.same("who else was told", P2.comes(mailbox, "ana").await, NOBODY);
    }
    // By another name from now on: at once here, and told as a coming everywhere.
    let renamed = called("ana", "Ana Maria");
    presence.enter(&lobby, &renamed);
    P1.same("the roster", P1.roster(&nodes[0], &lobby).await, hosted([renamed.clone()]));
    for mailbox in &mut mailboxes {
        let change = P1.change(mailbox).await;
        P1.same("who is called otherwise", &change.joined, &vec![renamed.clone()]);
        P1.same("what was told", (&change.group, change.occupancy, change.left.len()), (&lobby, 3, 0));
    }
    // One of her two connections ends, and then the other.
    presence.leave(&lobby, "ana");
    presence.enter(&lobby, &somebody("bo"));
    for mailbox in &mut mailboxes {
        P2.same("who else was told", P2.comes(mailbox, "bo").await, NOBODY);
    }
    presence.leave(&lobby, "ana");
    for mailbox in &mut mailboxes {
        let change = P2.change(mailbox).await;
        P2.same("who has gone", (&change.left, change.occupancy), (&vec![renamed.clone()], 3));
        P2.holds(change.joined.is_empty(), "somebody has come");
    }
    P1.lists(&nodes[1], &lobby, [somebody("bo")]).await;
}

pub(super) async fn somebody_is_one_however_many_connections_they_have(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailboxes = P3.hosts(&nodes, &lobby).await;
    for node in [0, 1, 0] {
        nodes[node].presence().enter(&lobby, &somebody("ana"));
    }
    for node in &nodes {
        P3.lists(node, &lobby, [somebody("ana")]).await;
    }
    for mailbox in &mut mailboxes {
        P3.comes(mailbox, "ana").await;
    }
    // Two of three end: that is no news, here or there.
    for (leaves, witness) in [(0, "bo"), (1, "cy")] {
        nodes[leaves].presence().leave(&lobby, "ana");
        nodes[leaves].presence().enter(&lobby, &somebody(witness));
        for mailbox in &mut mailboxes {
            P3.same("who else was told", P3.comes(mailbox, witness).await, NOBODY);
        }
    }
    for node in &nodes {
        P3.lists(node, &lobby, ["ana", "bo", "cy"].map(somebody)).await;
    }
    nodes[0].presence().leave(&lobby, "ana");
    for mailbox in &mut mailboxes {
        P3.goes(mailbox, "ana").await;
    }
    for node in &nodes {
        P3.lists(node, &lobby, ["bo", "cy"].map(somebody)).await;
    }
}

pub(super) async fn every_node_shows_the_same_members(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut early = P4.hosts(&nodes, &lobby).await;
    nodes[0].presence().enter(&lobby, &somebody("ana"));
    nodes[1].presence().enter(&lobby, &somebody("bo"));
    // A node that nobody of the group is on has to ask; one that comes late finds those who were there.
    let late = fixture.node().await;
    is_healthy(&late).await;
    for node in nodes.iter().chain([&late]) {
        P4.lists(node, &lobby, ["ana", "bo"].map(somebody)).await;
    }
    for key in ["bo", "cy"] {
        late.presence().enter(&lobby, &somebody(key));
    }
    for mailbox in &mut early {
        P4.comes(mailbox, "cy").await;
    }
    // Some come and go at once, and some stay.
    for number in 0..12 {
        let (presence, key) = (nodes[number % 2].presence(), format!("m{number}"));
        presence.enter(&lobby, &somebody(&key));
        if number % 3 > 0 {
            presence.leave(&lobby, &key);
        }
    }
    late.presence().leave(&lobby, "bo");
    late.presence().leave(&lobby, "cy");
    nodes[0].presence().leave(&lobby, "ana");
    for node in nodes.iter().chain([&late]) {
        P4.lists(node, &lobby, ["bo", "m0", "m3", "m6", "m9"].map(somebody)).await;
    }
}

pub(super) async fn of_a_crowd_there_is_a_number_and_of_few_the_names(fixture: &dyn Fixture) {
    let Some(members_max) = fixture.members_max() else {
        return not_applicable("how many members are named is not known, or too many");
    };
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailboxes = P5.hosts(&nodes, &lobby).await;
    let crowd: Vec<Member> = (0..members_max).map(|number| somebody(&format!("m{number:04}"))).collect();
    for member in &crowd {
        nodes[0].presence().enter(&lobby, member);
    }
    // Who is there twice counts once in a number too.
    nodes[0].presence().enter(&lobby, &crowd[0]);
    let occupancy = members_max + HOSTS.len();
    for node in &nodes {
        P5.sees(node, &lobby, Roster { occupancy, members: None }, Duration::ZERO).await;
    }
    for mailbox in &mut mailboxes {
        loop {
            let change = P5.change(mailbox).await;
            P5.holds(change.joined.len() <= members_max, "too many are named");
            if change.occupancy == occupancy {
                P5.holds(change.joined.is_empty(), "some of too many are named");
                break;
            }
        }
    }
    let (stay, go) = crowd.split_at(members_max / 2);
    for member in go {
        nodes[0].presence().leave(&lobby, &member.key);
    }
    for node in &nodes {
        P5.lists(node, &lobby, stay.iter().cloned()).await;
    }
}

pub(super) async fn presence_that_is_nobody_s_disturbs_nobody(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let [lobby, garden, attic] = ["lobby", "garden", "attic"].map(group);
    let see = async |node: &Layer, group: &GroupName, member: Option<&str>| {
        P7.sees(node, group, listed(member.map(somebody)), Duration::ZERO).await;
    };
    // Before anybody has joined, and with nobody to be told.
    nodes[0].presence().enter(&lobby, &somebody("ana"));
    nodes[0].presence().enter(&garden, &somebody("bo"));
    for (leaves, from) in [("ana", &garden), ("bo", &lobby), ("cy", &lobby), ("cy", &attic)] {
        nodes[0].presence().leave(from, leaves);
    }
    for node in &nodes {
        see(node, &lobby, Some("ana")).await;
        see(node, &garden, Some("bo")).await;
        see(node, &attic, None).await;
    }
    if let Some(stranger) = fixture.stranger() {
        let stranger = stranger.await;
        is_healthy(&stranger).await;
        P7.same("another hub's roster", P7.roster(&stranger, &lobby).await, listed([]));
        stranger.presence().enter(&lobby, &somebody("cy"));
        see(&stranger, &lobby, Some("cy")).await;
        see(&nodes[1], &lobby, Some("ana")).await;
    }
    P7.ok("a shutdown", P7.in_time("its answer", nodes[0].shutdown()).await);
    let presence = nodes[0].presence();
    presence.enter(&lobby, &somebody("cy"));
    presence.leave(&lobby, "cy");
    P7.in_time("a roster after the end", presence.roster(&lobby)).await;
    P7.in_time("an occupancy after the end", presence.occupancy(&attic)).await;
}
