//! Amendments over Redis: what they cost there, what the history's bounds make of them, and several nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use channel_layer::{
    Amendment, Bounds, ChannelLayer, Delivery, Epoch, Error, Health, Message, MessageId, Mode, Owner, Page,
    Position, Recovered, RedisRelay, ResilientLayer, Retention, Span,
};
use futures_util::future::try_join_all;
use palabre_tests::RedisServer;

use super::nodes::{Beside, PATIENT, PREFIX, Stored, group, healthy_node, is, member, message, next, offset};

pub(super) const ANA: Owner = Owner::from_u64(0xfedc_ba98_7654_3210);

pub(super) fn id(number: u32) -> MessageId {
    message(number).id
}

/// Sends Ana's message of this number.
pub(super) async fn send(layer: &dyn ChannelLayer, number: u32) -> Position {
    let sent = layer.group_send(group("lobby"), message(number).owned_by(ANA), Retention::Kept).await;
    sent.unwrap().position.unwrap()
}

/// Puts Ana's `body` in the place of `target`, as the message of number `by`.
pub(super) async fn edit(
    layer: &dyn ChannelLayer,
    target: u32,
    by: u32,
    body: &str,
) -> Result<Position, Error> {
    let message = Message::frame(id(by), body.to_owned()).owned_by(ANA);
    let sent = layer.amend(group("lobby"), id(target), message, Amendment::Replace).await;
    sent.map(|sent| sent.position.unwrap())
}

pub(super) async fn delete(layer: &dyn ChannelLayer, target: u32, by: u32) -> Result<Position, Error> {
    let message = Message::frame(id(by), "gone").owned_by(ANA);
    let sent = layer.amend(group("lobby"), id(target), message, Amendment::Delete).await;
    sent.map(|sent| sent.position.unwrap())
}

async fn latest(layer: &dyn ChannelLayer) -> Page {
    let recovered = layer.history(group("lobby"), Span::Latest, 1_000).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    page
}

/// What Redis keeps of the lobby: every offset that is not forgotten has its entry or what is left of it, every id is known,
/// and the bytes add up. Gives how many entries amendments took out.
pub(super) async fn assert_whole(beside: &mut Beside) -> u64 {
    let stored = beside.stored(&group("lobby")).await;
    let Stored { meta, entries, left, ids, newest } = &stored;
    let (head, trimmed) = (stored.number("last"), stored.trimmed());
    let places: BTreeSet<u64> = entries.keys().chain(left.keys()).copied().collect();
    assert!(places.into_iter().eq(stored.number("forgotten") + 1..=head), "{meta:?}");
    assert!(entries.keys().all(|at| *at > trimmed), "{meta:?}");
    let taken_out = head - trimmed - entries.len() as u64;
    assert_eq!(stored.number("x"), taken_out, "{meta:?}");
    let label_of = |at: u64| format!("{}{at:016x}", meta["e"]).into_bytes();
    for (at, entry) in entries {
        assert_eq!(entry[10..42], label_of(*at));
    }
    let bytes: usize = entries.values().map(|entry| entry.len() - 42 + 96).sum();
    assert_eq!(stored.number("bytes"), bytes as u64 + 96 * taken_out);
    // Each place has one id, and each id one place; where the newest version is, there is an entry, or what is left of it.
    assert_eq!(ids.len(), entries.len() + left.len());
    for (at, left) in left {
        assert_eq!(ids[&left[..16]][..32], label_of(*at));
        if let Some(target) = left.get(16..).filter(|target| !target.is_empty()) {
            assert_eq!(newest[&[b"a", target].concat()][41..], label_of(*at)[16..]);
        }
    }
    for (target, newest) in newest {
        let at = u64::from_str_radix(std::str::from_utf8(&newest[41..]).unwrap(), 16).unwrap();
        let place = entries.get(&at).map(|entry| &entry[44..60]).or_else(|| left[&at].get(16..));
        assert_eq!(place, Some(&target[1..]));
    }
    taken_out
}

#[tokio::test]
async fn amending_the_oldest_of_a_thousand_costs_what_amending_the_newest_does() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    let answers = (1..=1_000).map(|number| {
        layer.group_send(group("lobby"), Message::frame(id(number), "x").owned_by(ANA), Retention::Kept)
    });
    try_join_all(answers.collect::<Vec<_>>()).await.unwrap();
    let mut costs = Vec::new();
    for (by, target) in [(2_001, 1), (2_002, 1_000), (2_003, 500)] {
        beside.ask::<()>("CONFIG RESETSTAT").await;
        edit(&layer, target, by, "edited").await.unwrap();
        let stats: String = beside.ask("INFO commandstats").await;
        let calls = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        // What the node does every second says nothing of an edit.
        let calls = calls.filter(|(name, _)| !["ping", "info", "config|resetstat"].contains(name));
        let cost: BTreeMap<String, u32> = calls
            .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
            .collect();
        costs.push(cost);
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0], costs[2]);
    let total: u32 = costs[0].values().sum();
    assert!(total <= 25, "{costs:?}");
    assert_whole(&mut beside).await;
}

#[tokio::test]
async fn what_amendments_take_out_counts_as_bytes_until_it_is_trimmed() {
    let redis = RedisServer::start().await;
    let mut bounds = Bounds::default();
    bounds.history.bytes = 20_000;
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap().with_bounds(bounds);
    let layer = ResilientLayer::with_bounds(Arc::new(relay), Mode::Redis, PATIENT, bounds);
    is(&layer, Health::Healthy).await;
    let mut beside = Beside::new(&redis).await;
    // One message alone, again and again, then the second of three.
    for (others, target) in [(0, 1), (3, 12)] {
        for number in 0..others {
            send(&layer, 11 + number).await;
        }
        if others == 0 {
            send(&layer, target).await;
        }
        let mut most = 0;
        for by in 0..500 {
            edit(&layer, target, 1_000 * target + by, "edited").await.unwrap();
            let meta = beside.meta(&group("lobby")).await;
            most = most.max(meta["bytes"].parse::<u64>().unwrap());
            if by % 50 == 0 {
                assert_whole(&mut beside).await;
            }
        }
        assert!((20_000..=20_000 * 17 / 16).contains(&most), "{most}");
        let left = latest(&healthy_node(&redis).await).await;
        let newest = left.messages.last().unwrap();
        let version = newest.version.as_ref().unwrap().number;
        assert_eq!((newest.id, version), (id(target), 501), "the message itself stays");
    }
}

#[tokio::test]
async fn trimming_counts_what_amendments_removed() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    let mut random = Random::new();
    let (mut by, mut last) = (100_000, None);
    for number in 1..=1_500_u32 {
        last = Some(send(&layer, number).await);
        if number % 150 == 0 {
            assert_whole(&mut beside).await;
        }
        if number % 3 == 0 {
            by += 1;
            let back = u32::try_from(random.below(1_200).unwrap()).unwrap();
            let target = number.saturating_sub(back).max(1);
            match edit(&layer, target, by, "edited").await {
                Ok(_) | Err(Error::NotFound) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let missing = assert_whole(&mut beside).await;
    assert!(missing > 0, "offsets are missing that are not trimmed");
    // A node that comes later finds it whole, and does not begin it anew.
    let other = healthy_node(&redis).await;
    let page = latest(&other).await;
    assert_eq!(page.head.epoch, last.unwrap().epoch);
    assert_eq!(page.messages.len(), 1_000);
    send(&other, 2_000).await;
    assert_whole(&mut beside).await;
}

#[tokio::test]
async fn an_amendment_is_one_command_and_dies_with_its_target() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    send(&layer, 1).await;
    let evals = async |beside: &mut Beside| {
        let stats: String = beside.ask("INFO commandstats").await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = evals(&mut beside).await;
    edit(&layer, 1, 100, "edited").await.unwrap();
    assert_eq!(evals(&mut beside).await, before + 1);
    // As if a day had passed for this message: trimmed, though its ids are known.
    let trim = r"
        local entry = redis.call('HGET', KEYS[1], '2')
        local left = entry:sub(77, 92) .. entry:sub(45, 60)
        local h = head()
        h[2] = 0
        set_head(h)
        redis.call('HSET', KEYS[1], '2', left, 't', entry:sub(11, 42), 'x', 0)";
    beside.eval(trim, &group("lobby"), &[]).await;
    assert_whole(&mut beside).await;
    assert_eq!(edit(&layer, 1, 101, "again").await, Err(Error::NotFound));
}

#[tokio::test]
async fn a_node_that_did_not_hear_takes_its_members_past_what_was_amended_meanwhile() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 16).await;
    send(&layer, 1).await;
    // Two more entries of which nobody is told, and the first of them was amended since.
    let hide = r"
        local entry = redis.call('HGET', KEYS[1], '1')
        entry = entry:sub(1, 41) .. '3' .. entry:sub(43, 44) .. ARGV[1] .. entry:sub(61)
        local h = head()
        h[1] = 3
        set_head(h)
        redis.call('HSET', KEYS[1], '2', entry:sub(45, 60), '3', entry, 'x', 1)";
    Beside::new(&redis).await.eval(hide, &lobby, &[&3_u128.to_be_bytes()]).await;
    send(&layer, 4).await;
    let mut live = Vec::new();
    for _ in 0..4 {
        live.push(match next(&mut mailbox).await {
            Delivery::Message(posted) => (posted.id, offset(&posted)),
            Delivery::Placed { id, position, .. } => (id, position.offset),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(live, [(id(1), 1), (MessageId::REPLACED, 2), (id(3), 3), (id(4), 4)]);
}

/// Numbers that look random, and begin with a seed that a failure shows.
struct Random(u64);

impl Random {
    #[expect(clippy::print_stderr, reason = "the seed of a failure is shown with it")]
    fn new() -> Self {
        let seed = Epoch::random().as_u64();
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// A number below `count`; `None` when there is none.
    fn below(&mut self, count: usize) -> Option<usize> {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap().checked_rem(count)
    }
}
