//! Who is in one group, as one node sees it (pure): its own connections, the rows of others, and what was told of both.

use crate::{
    member::{Attendance, Member, Roster},
    name::GroupName,
    presence::{
        PresenceRules,
        lease::RowWrite,
        others::{Row, RowPeople},
        own::Form,
    },
};
use std::{collections::HashMap, sync::Arc};
use tokio::time::Instant;

/// How many turns somebody has to be absent before it is told.
const LINGER_TURNS: u32 = 2;

/// How many turns the rows of others are kept when nobody is here: a reload, or a join that is under way.
const KEPT_TURNS: u32 = 5;

/// One member. Small, for there is one of these a group and connection.
pub(super) struct Person {
    pub(super) info: Arc<[u8]>,
    /// Connections to this node.
    pub(super) here: u32,
    /// Rows of other nodes.
    pub(super) elsewhere: u8,
    /// What the members here were told of them.
    pub(super) told: Said,
    /// What this node's own row says of them, while that is a list.
    pub(super) listed: Said,
    /// They stand in the queue.
    queued: bool,
}

/// What somebody was told of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Present,
    /// That they are here, by a name that they have no longer.
    Otherwise,
}

impl Said {
    pub(super) fn rename(&mut self) {
        if *self == Self::Present {
            *self = Self::Otherwise;
        }
    }
}

/// What is known of the rows of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing yet: whoever is there was there before.
    None,
    /// A change went missing.
    Doubted,
    Whole,
}

/// Whether this node's own row can be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It is written by whoever asks.
    Take,
    /// What was asked for last is still under way.
    Later,
    /// There is no backend: whatever stands there has to be written again.
    Away,
}

pub(crate) struct Room {
    pub(super) people: HashMap<Arc<str>, Person>,
    /// Who is to be looked at in the next turn, and since which they were seen to be absent.
    pub(super) queue: Vec<(Arc<str>, Option<u32>)>,
    /// People with a connection to this node.
    pub(super) here: usize,
    pub(super) rows: Vec<Row>,
    pub(crate) sight: Sight,
    /// The occupancy that the members here know.
    pub(super) told: usize,
    pub(super) form: Form,
    pub(super) version: u64,
    pub(super) beat_at: u32,
    kept_until: u32,
}

/// One turn of the clock, the same for all rooms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) number: u32,
    pub(crate) now: Instant,
    pub(crate) writes: Writes,
    pub(crate) rules: &'a PresenceRules,
    pub(crate) node: &'a str,
    /// Spreads what is periodic.
    pub(crate) random: u32,
}

#[derive(Default)]
pub(super) struct Difference {
    pub(super) joined: Vec<Member>,
    pub(super) left: Vec<Member>,
}

impl Room {
    pub(crate) fn new(sight: Sight, turn: u32) -> Self {
        Self {
            people: HashMap::new(),
            queue: Vec::new(),
            here: 0,
            rows: Vec::new(),
            sight,
            told: 0,
            form: Form::Absent,
            version: 0,
            beat_at: 0,
            kept_until: turn.saturating_add(KEPT_TURNS),
        }
    }

    pub(crate) fn enter(&mut self, member: &Member) {
        let person = self.people.entry(Arc::clone(&member.key)).or_insert_with(|| Person::new(&member.info));
        self.here += usize::from(person.here == 0);
        person.here += 1;
        if person.info != member.info {
            person.rename(&member.info);
            person.listed.rename();
        }
        enqueue(&mut self.queue, &member.key, person);
    }

    pub(crate) fn leave(&mut self, key: &str, turn: u32) {
        let Some((key, _)) = self.people.get_key_value(key) else { return };
        let key = Arc::clone(key);
        let Some(person) = self.people.get_mut(&key).filter(|person| person.here > 0) else { return };
        person.here -= 1;
        if person.here == 0 {
            self.here -= 1;
            enqueue(&mut self.queue, &key, person);
            self.kept_until = turn.saturating_add(KEPT_TURNS);
        }
    }

    pub(crate) fn occupancy(&self) -> usize {
        self.people.len() + self.counted()
    }

    fn counted(&self) -> usize {
        let counts = self.rows.iter().map(|row| match row.people {
            RowPeople::Listed(_) => 0,
            RowPeople::Counted(count) => count,
        });
        counts.sum()
    }

    /// Whether the members are few enough to be named.
    fn is_named(&self, rules: &PresenceRules) -> bool {
        let all_listed = self.rows.iter().all(|row| matches!(row.people, RowPeople::Listed(_)));
        all_listed && self.people.len() <= rules.members_max
    }

    pub(crate) fn roster(&self, rules: &PresenceRules) -> Roster {
        let members = self.is_named(rules).then(|| {
            let mut members: Vec<Member> =
                self.people.iter().map(|(key, person)| person.member(key)).collect();
            members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            members
        });
        Roster { occupancy: self.occupancy(), members }
    }

    /// Whether a turn would change nothing, as long as nobody comes or goes, here or elsewhere.
    pub(crate) fn is_settled(&self) -> bool {
        self.here > 0 && self.queue.is_empty()
    }

    /// Whether nobody is here, nor was lately.
    pub(crate) fn is_spent(&self, turn: u32) -> bool {
        self.here == 0 && self.form == Form::Absent && turn >= self.kept_until
    }

    /// Looks at what has changed: what the members here are told, and what becomes of this node's own row.
    pub(crate) fn turn(
        &mut self,
        group: &GroupName,
        turn: &Turn<'_>,
    ) -> (Option<Attendance>, Option<RowWrite>) {
        self.expire(turn.now);
        if turn.writes == Writes::Away {
            self.lose_own(turn.number, turn.rules);
        }
        if self.form == Form::Unsure && turn.number >= self.beat_at {
            self.form = Form::Absent;
        }
        let (shown, row) = self.settle(turn);
        let write = if turn.writes == Writes::Take { self.write(row, turn) } else { None };
        let occupancy = self.occupancy();
        let is_news = occupancy != self.told || !shown.joined.is_empty() || !shown.left.is_empty();
        self.told = occupancy;
        let Difference { joined, left } =
            if self.is_named(turn.rules) { shown } else { Difference::default() };
        let attendance =
            (is_news && self.here > 0).then(|| Attendance::new(group.clone(), occupancy, joined, left));
        (attendance, write)
    }

    /// Goes through the queue: what is new to the members here, and what is new to the own row.
    fn settle(&mut self, turn: &Turn<'_>) -> (Difference, Difference) {
        let (mut shown, mut row) = (Difference::default(), Difference::default());
        let is_listed = self.form == Form::Listed;
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain_mut(|(key, absent_since)| {
            let Some(person) = self.people.get_mut(key) else { return false };
            let is_here = person.here > 0;
            let is_said = if is_here { Said::Present } else { Said::Nothing };
            if is_listed && turn.writes == Writes::Take && person.listed != is_said {
                person.listed = is_said;
                let row = if is_here { &mut row.joined } else { &mut row.left };
                row.push(person.member(key));
            }
            let is_written = !is_listed || person.listed == is_said;
            if is_here || person.elsewhere > 0 {
                *absent_since = None;
                if person.told != Said::Present {
                    person.told = Said::Present;
                    shown.joined.push(person.member(key));
                }
                person.queued = !is_written;
                return person.queued;
            }
            let since = *absent_since.get_or_insert(turn.number);
            let is_known = person.told != Said::Nothing;
            if !is_written || (is_known && turn.number.saturating_sub(since) < LINGER_TURNS) {
                return true;
            }
            if is_known {
                shown.left.push(person.member(key));
            }
            self.people.remove(key);
            false
        });
        if !queue.is_empty() {
            self.queue = queue;
        }
        (shown, row)
    }
}

impl Person {
    pub(super) fn new(info: &Arc<[u8]>) -> Self {
        Self {
            info: Arc::clone(info),
            here: 0,
            elsewhere: 0,
            told: Said::Nothing,
            listed: Said::Nothing,
            queued: false,
        }
    }

    /// Whoever knows them is told again, by the new name.
    pub(super) fn rename(&mut self, info: &Arc<[u8]>) {
        self.info = Arc::clone(info);
        self.told.rename();
    }

    pub(super) fn member(&self, key: &Arc<str>) -> Member {
        Member { key: Arc::clone(key), info: Arc::clone(&self.info) }
    }
}

pub(super) fn enqueue(queue: &mut Vec<(Arc<str>, Option<u32>)>, key: &Arc<str>, person: &mut Person) {
    if !std::mem::replace(&mut person.queued, true) {
        queue.push((Arc::clone(key), None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::{
        lease::RowStored,
        row::{People, What, decode_change},
    };
    use bytes::Bytes;
    use std::{collections::BTreeSet, time::Duration};

    const RULES: PresenceRules = PresenceRules {
        members_max: 10,
        turn: Duration::from_secs(1),
        heartbeat: Duration::from_secs(10),
        lease: Duration::from_secs(26),
    };

    /// One node's room, with the hands of a clock.
    struct Bench {
        room: Room,
        node: &'static str,
        number: u32,
        start: Instant,
        /// What the backend holds of its row.
        stored: Option<(u64, Bytes)>,
    }

    /// Whether what is passed on to the other nodes gets lost.
    #[derive(Clone, Copy, PartialEq)]
    enum Lost {
        Not,
        Once,
    }

    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        occupancy: usize,
        joined: Vec<String>,
        left: Vec<String>,
    }

    fn member(key: &str) -> Member {
        Member { key: key.into(), info: key.to_uppercase().into_bytes().into() }
    }

    fn seen(occupancy: usize, joined: &[&str], left: &[&str]) -> Option<Seen> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Some(Seen { occupancy, joined: texts(joined), left: texts(left) })
    }

    impl Bench {
        fn new(node: &'static str) -> Self {
            Self { room: Room::new(Sight::Whole, 0), node, number: 0, start: Instant::now(), stored: None }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_secs(self.number.into())
        }

        fn enter(&mut self, key: &str) {
            self.room.enter(&member(key));
        }

        fn leave(&mut self, key: &str) {
            self.room.leave(key, self.number);
        }

        fn turn_with(&mut self, writes: Writes) -> (Option<Seen>, Option<RowWrite>) {
            self.number += 1;
            let (now, number) = (self.now(), self.number);
            let turn = Turn { number, now, writes, rules: &RULES, node: self.node, random: 0 };
            let (told, write) = self.room.turn(&"g".parse().unwrap(), &turn);
            let keys = |members: &[Member]| {
                let mut keys: Vec<String> = members.iter().map(|member| member.key.to_string()).collect();
                keys.sort();
                keys
            };
            let told = told.map(|told| Seen {
                occupancy: told.occupancy,
                joined: keys(&told.joined),
                left: keys(&told.left),
            });
            (told, write)
        }

        fn turn(&mut self) -> Option<Seen> {
            self.turn_with(Writes::Take).0
        }

        /// Turns, and hands what is passed on to another node.
        fn turn_to(&mut self, other: &mut Self) -> Option<Seen> {
            let (seen, write) = self.turn_with(Writes::Take);
            self.pass(write, Lost::Not, other);
            seen
        }

        /// Writes, and hands to another node what the backend hands it, unless that gets lost on the way; whatever the
        /// other one then wants to read it reads.
        fn pass(&mut self, write: Option<RowWrite>, lost: Lost, other: &mut Self) {
            let expires_at = other.now() + RULES.lease;
            let change = match write {
                Some(RowWrite::Put { version, row, change }) => {
                    self.stored = Some((version, row));
                    change
                }
                Some(RowWrite::Renew { version }) => return other.heed(self, version, expires_at),
                Some(RowWrite::Withdraw { change }) => {
                    self.stored = None;
                    change
                }
                None => return,
            };
            if lost == Lost::Not {
                other.room.hear(decode_change(change).unwrap(), expires_at);
                self.read_by(other);
            }
        }

        fn heed(&mut self, from: &Self, version: u64, expires_at: Instant) {
            self.room.confirm(from.node, version, expires_at);
            from.read_by(self);
        }

        fn read_by(&self, other: &mut Self) {
            if other.room.sight != Sight::Whole {
                let row = |(version, row): &(u64, Bytes)| RowStored {
                    node: self.node.into(),
                    version: *version,
                    left: RULES.lease,
                    row: row.clone(),
                };
                other.room.learn(self.stored.iter().map(row).collect(), other.now());
            }
        }

        fn keys(&self) -> Option<Vec<String>> {
            let members = self.room.roster(&RULES).members?;
            Some(members.iter().map(|member| member.key.to_string()).collect())
        }
    }

    #[test]
    fn two_connections_are_one_member_and_a_reload_shows_nothing() {
        let mut bench = Bench::new("n");
        bench.enter("ana");
        bench.enter("ana");
        assert_eq!(bench.keys().unwrap(), ["ana"], "at once");
        assert_eq!(bench.turn(), seen(1, &["ana"], &[]));
        bench.leave("ana");
        assert_eq!(bench.turn(), None, "the other connection is there");
        bench.leave("ana");
        assert_eq!(bench.turn(), None);
        bench.enter("ana");
        assert_eq!(bench.turn(), None, "the page was loaded again");
        bench.enter("bo");
        bench.turn();
        bench.leave("ana");
        assert_eq!((bench.turn(), bench.turn()), (None, None));
        assert_eq!(bench.turn(), seen(1, &[], &["ana"]));
    }

    #[test]
    fn who_came_and_went_between_two_turns_was_never_there() {
        let mut bench = Bench::new("n");
        bench.enter("ana");
        bench.turn();
        for _ in 0..100 {
            bench.enter("bo");
            bench.leave("bo");
        }
        assert_eq!(bench.turn(), None);
        assert_eq!(bench.room.people.len(), 1);
        assert!(bench.room.queue.is_empty());
    }

    #[test]
    fn another_name_is_told_and_a_departure_right_after_it_as_well() {
        let mut bench = Bench::new("n");
        let mut other = Bench::new("m");
        other.enter("bo");
        bench.enter("ana");
        bench.turn_to(&mut other);
        other.turn();
        let renamed = Member { info: b"other".as_slice().into(), ..member("ana") };
        bench.room.enter(&renamed);
        assert_eq!(bench.turn_to(&mut other), seen(1, &["ana"], &[]));
        assert_eq!(other.turn(), seen(2, &["ana"], &[]));
        assert_eq!(other.room.roster(&RULES).members.unwrap()[0], renamed);
        bench.room.enter(&member("ana"));
        (0..3).for_each(|_| bench.leave("ana"));
        bench.turn_to(&mut other);
        let told: Vec<_> = (0..3).filter_map(|_| other.turn()).collect();
        assert_eq!(told, [seen(1, &[], &["ana"]).unwrap()]);
    }

    #[test]
    fn a_row_of_another_node_counts_until_it_goes_and_its_people_are_not_counted_twice() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.enter("ana");
        one.turn();
        other.enter("ana");
        other.enter("bo");
        other.turn_to(&mut one);
        assert_eq!(one.turn(), seen(2, &["bo"], &[]));
        other.leave("ana");
        other.turn_to(&mut one);
        assert_eq!((one.turn(), one.turn(), one.turn()), (None, None, None), "she is on this node");
        other.leave("bo");
        other.turn_to(&mut one);
        assert_eq!((one.turn(), one.turn()), (None, None));
        assert_eq!(one.turn(), seen(1, &[], &["bo"]));
        assert!(one.room.rows.is_empty(), "an empty row is withdrawn");
    }

    #[test]
    fn a_node_that_says_nothing_more_is_forgotten_within_30_seconds() {
        let (mut one, mut dead) = (Bench::new("one"), Bench::new("dead"));
        one.enter("ana");
        one.turn();
        dead.enter("bo");
        dead.turn_to(&mut one);
        assert_eq!(one.turn(), seen(2, &["bo"], &[]));
        let turns = (1..).find(|_| one.turn().is_some()).unwrap();
        assert!((25..=29).contains(&turns), "{turns} s");
        assert_eq!(one.room.occupancy(), 1);
    }

    #[test]
    fn a_change_that_went_missing_is_noticed_and_a_read_mends_it() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.enter("ana");
        other.enter("bo");
        other.turn_to(&mut one);
        one.turn();
        other.enter("cy");
        let (_, lost) = other.turn_with(Writes::Take);
        let Some(RowWrite::Put { version, row, .. }) = lost else { panic!("{lost:?}") };
        other.enter("di");
        let (_, next) = other.turn_with(Writes::Take);
        let Some(RowWrite::Put { change, .. }) = next else { panic!("{next:?}") };
        one.room.hear(decode_change(change.clone()).unwrap(), one.now() + RULES.lease);
        assert_eq!(one.room.sight, Sight::Doubted);
        // What is read may be from before that change.
        one.room.learn(vec![RowStored { node: "other".into(), version, left: RULES.lease, row }], one.now());
        assert_eq!((one.room.sight, one.keys().unwrap().len()), (Sight::Whole, 3));
        one.room.confirm("other", version + 1, one.now() + RULES.lease);
        assert_eq!(one.room.sight, Sight::Doubted);
        one.room.hear(decode_change(change).unwrap(), one.now() + RULES.lease);
        assert_eq!(one.keys().unwrap(), ["ana", "bo", "cy", "di"]);
        assert_eq!(one.turn(), seen(4, &["cy", "di"], &[]));
    }

    #[test]
    fn a_change_that_comes_twice_or_late_changes_nothing() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.enter("ana");
        let mut changes = Vec::new();
        for key in ["bo", "cy"] {
            other.enter(key);
            let (_, Some(RowWrite::Put { change, .. })) = other.turn_with(Writes::Take) else { panic!() };
            changes.push(change);
        }
        for nth in [0, 1, 0, 1] {
            let change: Bytes = changes[nth].clone();
            one.room.hear(decode_change(change).unwrap(), one.now() + RULES.lease);
        }
        assert_eq!(one.room.sight, Sight::Whole, "nothing is missing");
        assert_eq!(one.keys().unwrap(), ["ana", "bo", "cy"]);
    }

    #[test]
    fn another_name_that_was_missed_is_learned_with_the_row() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.enter("ana");
        other.enter("bo");
        other.turn_to(&mut one);
        one.turn();
        let renamed = Member { info: b"other".as_slice().into(), ..member("bo") };
        other.room.enter(&renamed);
        let (_, write) = other.turn_with(Writes::Take);
        other.pass(write, Lost::Once, &mut one);
        other.enter("cy");
        other.turn_to(&mut one);
        assert_eq!(one.turn(), seen(3, &["bo", "cy"], &[]));
        assert!(one.room.roster(&RULES).members.unwrap().contains(&renamed));
    }

    #[test]
    fn who_was_there_before_anybody_looked_is_no_news() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.room.sight = Sight::None;
        other.enter("bo");
        let (_, Some(RowWrite::Put { version, row, .. })) = other.turn_with(Writes::Take) else { panic!() };
        one.room.learn(vec![RowStored { node: "other".into(), version, left: RULES.lease, row }], one.now());
        one.enter("ana");
        assert_eq!(one.room.occupancy(), 2);
        assert_eq!(one.turn(), seen(2, &["ana"], &[]));
    }

    #[test]
    fn a_crowd_is_counted_and_not_named_and_named_again_well_below_the_bound() {
        let (mut one, mut other) = (Bench::new("one"), Bench::new("other"));
        one.enter("ana");
        one.turn();
        for number in 0..11 {
            other.enter(&number.to_string());
        }
        assert_eq!(other.turn_to(&mut one), seen(11, &[], &[]));
        assert_eq!(one.turn(), seen(12, &[], &[]));
        assert_eq!((one.keys(), other.keys()), (None, None));
        other.leave("0");
        (0..4).for_each(|_| drop(other.turn_to(&mut one)));
        assert_eq!(other.room.form, Form::Counted(10), "ten would do, but it hovers at the bound");
        other.leave("1");
        (0..4).for_each(|_| drop(other.turn_to(&mut one)));
        assert_eq!(other.room.form, Form::Listed);
        assert_eq!(one.keys().unwrap().len(), 10);
    }

    #[test]
    fn a_row_is_renewed_in_time_and_written_whole_after_the_backend_was_away() {
        let mut bench = Bench::new("n");
        bench.enter("ana");
        assert!(matches!(bench.turn_with(Writes::Take).1, Some(RowWrite::Put { .. })));
        let renewed = (1..).find(|_| bench.turn_with(Writes::Take).1.is_some()).unwrap();
        assert_eq!(renewed, 10);
        bench.enter("bo");
        assert_eq!(bench.turn_with(Writes::Away), (seen(2, &["bo"], &[]), None), "the node goes on");
        let (_, Some(RowWrite::Put { change, .. })) = bench.turn_with(Writes::Take) else { panic!() };
        assert!(
            matches!(decode_change(change).unwrap().what, What::Whole(People::Listed(all)) if all.len() == 2)
        );
        bench.leave("ana");
        bench.leave("bo");
        assert_eq!(bench.turn_with(Writes::Later).1, None);
        assert!(matches!(bench.turn_with(Writes::Take).1, Some(RowWrite::Withdraw { .. })));
        for _ in 0..5 {
            assert_eq!(bench.turn_with(Writes::Take).1, None);
        }
        assert!(bench.room.is_spent(bench.number));
    }

    #[test]
    fn whatever_happens_nobody_is_left_behind() {
        // A small random walk with its seed in sight: two nodes, three people, names that change, changes that get lost.
        let seed = crate::random_u64() | 1;
        let mut state = seed;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below).unwrap()
        };
        let keys = ["a", "b", "c"];
        let mut nodes = [Bench::new("one"), Bench::new("two")];
        let mut here = [[0_u32; 3]; 2];
        // Somebody stays, and puts together what they are told.
        let mut told = [BTreeSet::new(), BTreeSet::new()];
        nodes[0].enter("y");
        nodes[1].enter("z");
        for _ in 0..5_000 {
            let (node, key) = (random(2), random(3));
            match random(6) {
                0 | 1 => {
                    let info = random(2).to_string().into_bytes().into();
                    nodes[node].room.enter(&Member { key: keys[key].into(), info });
                    here[node][key] += 1;
                }
                2 | 3 if here[node][key] > 0 => {
                    nodes[node].leave(keys[key]);
                    here[node][key] -= 1;
                }
                _ => {
                    let [one, two] = &mut nodes;
                    let (from, to) = if node == 0 { (one, two) } else { (two, one) };
                    let lost = if random(10) == 0 { Lost::Once } else { Lost::Not };
                    let writes = if random(5) == 0 { Writes::Later } else { Writes::Take };
                    let (seen, write) = from.turn_with(writes);
                    note(&mut told[node], seen);
                    from.pass(write, lost, to);
                }
            }
        }
        for (bench, mine) in nodes.iter_mut().zip(&here) {
            for (key, count) in keys.iter().zip(mine) {
                (0..*count).for_each(|_| bench.leave(key));
            }
        }
        for _ in 0..40 {
            let [one, two] = &mut nodes;
            note(&mut told[0], one.turn_to(two));
            note(&mut told[1], two.turn_to(one));
        }
        for (bench, told) in nodes.iter().zip(&told) {
            assert_eq!(bench.keys().unwrap(), ["y", "z"], "seed {seed}");
            assert!(told.iter().eq(["y", "z"]), "seed {seed}: {told:?}");
            assert!(bench.room.queue.is_empty(), "seed {seed}");
        }
    }

    fn note(told: &mut BTreeSet<String>, seen: Option<Seen>) {
        let Seen { joined, left, .. } = seen.unwrap_or_default();
        told.extend(joined);
        for key in left {
            assert!(told.remove(&key), "{key} left and had not been there");
        }
    }
}
