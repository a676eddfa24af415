//! Rows of presence: put, renewed, withdrawn, read by every node, and passed on.

use super::{Fixture, node::Node};
use crate::{
    conformance::{
        rules::{PATIENT, R20, R24, R25, R26, R27, Rule},
        tools::{group, message, not_applicable, number},
    },
    name::GroupName,
    presence::{Presented, RowStored, RowWrite, Standing},
    relay::Incoming,
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(60);

/// So short that a case can wait for its end.
const SHORT: Duration = Duration::from_millis(300);

fn put(version: u64, row: &'static [u8]) -> RowWrite {
    RowWrite::Put { version, row: row.into(), change: Bytes::from(format!("changed to {version}")) }
}

fn withdraw() -> RowWrite {
    RowWrite::Withdraw { change: "withdrawn".into() }
}

/// Writes and reads of a node's rows.
impl Node {
    async fn present(
        &self,
        rule: Rule,
        lease: Duration,
        writes: Vec<(&GroupName, RowWrite)>,
    ) -> Vec<Presented> {
        let count = writes.len();
        let writes = writes.into_iter().map(|(group, write)| (group.clone(), write)).collect();
        let presented = rule.in_time("its answer", self.relay.present(lease, writes)).await;
        let presented = rule.ok("writing rows", presented);
        rule.same("answers to writes", presented.len(), count);
        presented
    }

    /// One write, and whether the row is there, and which others hold, by node.
    async fn presents(
        &self,
        rule: Rule,
        lease: Duration,
        group: &GroupName,
        write: RowWrite,
    ) -> (bool, Vec<Standing>) {
        let presented = self.present(rule, lease, vec![(group, write)]).await.pop();
        let Presented { is_there, mut others } = rule.some("answer", presented);
        others.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        (is_there, others)
    }

    async fn rows(&self, rule: Rule, groups: &[&GroupName]) -> Vec<Vec<RowStored>> {
        let names = groups.iter().map(|group| (*group).clone()).collect();
        let rows = rule.in_time("its answer", self.relay.rows(names)).await;
        let mut rows = rule.ok("reading rows", rows);
        rule.same("answers of groups", rows.len(), groups.len());
        rows.iter_mut().for_each(|rows| rows.sort_unstable_by(|one, other| one.node.cmp(&other.node)));
        rows
    }

    /// The rows of one group: node, version and bytes.
    async fn stored(&self, rule: Rule, group: &GroupName) -> Vec<(String, u64, Bytes)> {
        let rows = self.rows(rule, &[group]).await.pop();
        let stored = |row: RowStored| (row.node.to_string(), row.version, row.row);
        rule.some("answer", rows).into_iter().map(stored).collect()
    }

    fn row(&self, version: u64, row: &'static [u8]) -> (String, u64, Bytes) {
        (self.name.clone(), version, row.into())
    }

    /// How long this node's row of a group still holds.
    async fn left(&self, rule: Rule, group: &GroupName) -> Option<Duration> {
        let rows = self.rows(rule, &[group]).await.pop();
        rule.some("answer", rows).into_iter().find(|row| *row.node == *self.name).map(|row| row.left)
    }

    /// The next that comes in is a change of presence.
    async fn changed(&mut self, rule: Rule) -> (GroupName, Bytes) {
        match self.next(rule).await {
            Incoming::Presence { group, change } => (group, change),
            other => rule.broken(format_args!("{other:?} came in instead of a change of presence")),
        }
    }
}

/// Two nodes, in the order of their names.
async fn two(fixture: &dyn Fixture) -> [Node; 2] {
    let mut nodes = [Node::new(fixture).await, Node::new(fixture).await];
    nodes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    nodes
}

pub(super) async fn a_row_is_read_as_it_was_put_until_it_is_withdrawn(fixture: &dyn Fixture) {
    const BYTES: &[u8] = b"\0\xff row \x80";
    static LARGE: [u8; 256 << 10] = [b'x'; 256 << 10];
    let [one, other] = two(fixture).await;
    let [lobby, garden, attic] = ["lobby", "garden", "attic"].map(group);
    R24.same("rows that nobody put", one.rows(R24, &[&lobby]).await, vec![vec![]]);
    // Groups that have no history, and one that has.
    let mut opener = Node::new(fixture).await;
    let mut writer = opener.writer(R24, &garden).await;
    opener.place(R24, &mut writer, [1]).await;
    let writes = vec![(&lobby, put(3, BYTES)), (&garden, put(5, b"")), (&attic, put(8, &LARGE))];
    let presented = one.present(R24, LONG, writes).await;
    R24.holds(
        presented.iter().all(|row| row.is_there && row.others.is_empty()),
        "a row that was put is not there",
    );
    other.present(R24, LONG, vec![(&lobby, put(4, b"other"))]).await;
    for node in [&one, &other] {
        let both = vec![one.row(3, BYTES), other.row(4, b"other")];
        R24.same("the rows of the lobby", node.stored(R24, &lobby).await, both);
        R24.holds(node.stored(R24, &attic).await == [one.row(8, &LARGE)], "a large row is another");
        // Several groups in one question, one of which nobody has a row of.
        let rows = node.rows(R24, &[&garden, &group("cellar"), &lobby]).await;
        let counts = rows.iter().map(Vec::len).collect::<Vec<_>>();
        R24.same("how many rows each has", counts, vec![1, 0, 2]);
        let left = rows.iter().flatten().all(|row| row.left > Duration::ZERO && row.left <= LONG);
        R24.holds(left, "a row holds for longer than its lease");
    }
    // Another version replaces the row.
    one.present(R24, LONG, vec![(&lobby, put(9, b"new"))]).await;
    let both = vec![one.row(9, b"new"), other.row(4, b"other")];
    R24.same("the rows of the lobby", other.stored(R24, &lobby).await, both);
    one.present(R24, LONG, vec![(&lobby, withdraw()), (&garden, withdraw())]).await;
    R24.same("what is left", other.stored(R24, &lobby).await, vec![other.row(4, b"other")]);
    R24.same("what is left elsewhere", other.stored(R24, &garden).await, vec![]);
    // Withdrawing what is not there changes nothing, nor does it touch the history.
    one.present(R24, LONG, vec![(&lobby, withdraw()), (&group("cellar"), withdraw())]).await;
    other.present(R24, LONG, vec![(&lobby, withdraw())]).await;
    R24.same("what is left", other.stored(R24, &lobby).await, vec![]);
    opener.place(R24, &mut writer, [2]).await;
}

pub(super) async fn a_row_ends_with_its_lease_unless_its_version_is_renewed(fixture: &dyn Fixture) {
    let [one, other] = two(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    let longer = 2 * LONG;
    let renew = |version| RowWrite::Renew { version };
    R25.same("renewing what is not there", one.presents(R25, LONG, &lobby, renew(1)).await, (false, vec![]));
    R25.same("what that makes", one.stored(R25, &lobby).await, vec![]);
    one.presents(R25, LONG, &lobby, put(7, b"row")).await;
    for wrong in [6, 8, 70] {
        let (is_there, _) = one.presents(R25, longer, &lobby, renew(wrong)).await;
        R25.holds(!is_there, format_args!("version {wrong} is there, and 7 was put"));
        R25.holds(one.left(R25, &lobby).await <= Some(LONG), "another version's renewal lengthens the lease");
    }
    // Nobody renews somebody else's.
    R25.holds(!other.presents(R25, longer, &lobby, renew(7)).await.0, "it is there for another node");
    R25.holds(one.left(R25, &lobby).await <= Some(LONG), "another node's renewal lengthens the lease");
    R25.holds(one.presents(R25, longer, &lobby, renew(7)).await.0, "a row that holds is not there");
    R25.holds(one.left(R25, &lobby).await > Some(LONG), "a renewal does not lengthen the lease");
    R25.same("what was renewed", one.stored(R25, &lobby).await, vec![one.row(7, b"row")]);

    // One beside it that is renewed, and one that is all that a group has: nobody writes there any more.
    for name in [&lobby, &garden] {
        other.presents(R25, SHORT, name, put(1, b"short")).await;
    }
    let gone = async {
        while one.stored(R25, &lobby).await.len() > 1 || !one.stored(R25, &garden).await.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENT, gone).await.is_err() {
        R25.broken(format_args!("a row holds {PATIENT:?} after a lease of {SHORT:?}"));
    }
    R25.same("what is left", one.stored(R25, &lobby).await, vec![one.row(7, b"row")]);
    R25.same("the others", one.presents(R25, longer, &lobby, renew(7)).await, (true, vec![]));
    R25.holds(!other.presents(R25, LONG, &lobby, renew(1)).await.0, "a row is there whose lease is over");
    R25.same("what that makes", one.stored(R25, &lobby).await, vec![one.row(7, b"row")]);
    // A short lease of one does not end the other's, nor does a withdrawal.
    other.presents(R25, SHORT, &lobby, put(2, b"short")).await;
    other.presents(R25, SHORT, &lobby, withdraw()).await;
    R25.holds(one.left(R25, &lobby).await > Some(LONG), "another row's end shortens this one's lease");
}

pub(super) async fn who_writes_is_told_which_other_rows_hold(fixture: &dyn Fixture) {
    let [one, other] = two(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    one.presents(R26, LONG, &lobby, put(3, b"one")).await;
    one.presents(R26, LONG, &garden, put(4, b"one")).await;
    let renew = RowWrite::Renew { version: 5 };
    for (write, is_there) in
        [(put(5, b"other"), true), (renew.clone(), true), (withdraw(), true), (renew, false)]
    {
        let (there, others) = other.presents(R26, LONG, &lobby, write.clone()).await;
        R26.same(format_args!("whether the row is there after {write:?}"), there, is_there);
        let told: Vec<_> = others.iter().map(|row| (&*row.node, row.version)).collect();
        R26.same("the others", told, vec![(&*one.name, 3)]);
        R26.holds(
            others.iter().all(|row| row.left > Duration::ZERO && row.left <= LONG),
            "how long it holds",
        );
    }
    let presented =
        other.present(R26, LONG, vec![(&garden, put(6, b"")), (&group("attic"), put(6, b""))]).await;
    let told = presented.iter().map(|row| row.others.iter().map(|row| row.version).collect()).collect();
    R26.same("the others of each group", told, vec![vec![4], vec![]]);
}

pub(super) async fn a_change_of_presence_is_pushed_to_who_hears_the_group(fixture: &dyn Fixture) {
    let (one, mut other, mut deaf) =
        (Node::new(fixture).await, Node::new(fixture).await, Node::new(fixture).await);
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut writer = deaf.writer(R27, &lobby).await;
    other.subscribe(R27, &[&lobby, &garden]).await;
    deaf.subscribe(R27, &[&garden]).await;
    let changed = |group: &GroupName, change: &'static str| (group.clone(), Bytes::from(change));
    one.presents(R27, LONG, &lobby, put(1, b"row")).await;
    R27.same("what was pushed", other.changed(R27).await, changed(&lobby, "changed to 1"));
    // A renewal is nobody's business: what comes in next is what comes after it.
    one.presents(R27, LONG, &lobby, RowWrite::Renew { version: 1 }).await;
    one.presents(R27, LONG, &lobby, RowWrite::Renew { version: 9 }).await;
    one.presents(R27, LONG, &lobby, withdraw()).await;
    R27.same("what was pushed", other.changed(R27).await, changed(&lobby, "withdrawn"));
    // Whatever its bytes are; and beside messages it disturbs nothing.
    let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let write = RowWrite::Put { version: 3, row: Bytes::new(), change: bytes.clone() };
    one.presents(R27, LONG, &garden, write).await;
    for node in [&mut other, &mut deaf] {
        R27.same("what was pushed", node.changed(R27).await, (garden.clone(), bytes.clone()));
    }
    deaf.place(R27, &mut writer, [1]).await;
    other.hears(R27, [1], 0).await;
    R27.ok("its end", R27.in_time("its answer", other.relay.unsubscribe(vec![lobby.clone()])).await);
    one.presents(R27, LONG, &lobby, put(4, b"row")).await;
    one.presents(R27, LONG, &garden, put(4, b"row")).await;
    for node in [&mut other, &mut deaf] {
        R27.same("what was pushed", node.changed(R27).await, changed(&garden, "changed to 4"));
    }
}

pub(super) async fn rows_of_hubs_on_one_backend_do_not_meet(fixture: &dyn Fixture) {
    let Some(stranger) = fixture.stranger() else {
        return not_applicable("the backend carries one hub");
    };
    let (mut one, mut other) = (Node::new(fixture).await, Node::over(stranger).await);
    let lobby = group("lobby");
    for node in [&one, &other] {
        node.subscribe(R20, &[&lobby]).await;
    }
    R20.same("the others", one.presents(R20, LONG, &lobby, put(1, b"one")).await, (true, vec![]));
    R20.same("the others", other.presents(R20, LONG, &lobby, put(2, b"other")).await, (true, vec![]));
    R20.same("the rows", one.stored(R20, &lobby).await, vec![one.row(1, b"one")]);
    R20.same("the rows", other.stored(R20, &lobby).await, vec![other.row(2, b"other")]);
    R20.same("what was pushed", one.changed(R20).await.1, "changed to 1".into());
    R20.same("what was pushed", other.changed(R20).await.1, "changed to 2".into());
    for node in [&mut one, &mut other] {
        let mut writer = node.writer(R20, &lobby).await;
        node.publish(R20, vec![writer.next(message(3))]).await;
        R20.same("what came next", number(node.posted(R20).await.id), 3);
    }
}
