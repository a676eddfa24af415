//! Amendments over Redis: what is left of a text there, what the stream's bounds make of it, and several nodes.

use channel_layer::{
    Amendment, ChannelLayer, Delivery, Epoch, Error, Message, MessageId, Owner, Page, Position, Recovered,
    Retention, Span,
};
use palabre_tests::RedisServer;

use super::nodes::{Beside, group, healthy_node, key, member, message, next, offset};

const ANA: Owner = Owner::from_u64(0xfedc_ba98_7654_3210);

fn id(number: u32) -> MessageId {
    message(number).id
}

/// Sends Ana's message of this number.
async fn send(layer: &dyn ChannelLayer, number: u32) -> Position {
    let sent = layer.group_send(group("lobby"), message(number).owned_by(ANA), Retention::Kept).await;
    sent.unwrap().position.unwrap()
}

/// Puts Ana's `body` in the place of `target`, as the message of number `by`.
async fn edit(layer: &dyn ChannelLayer, target: u32, by: u32, body: &str) -> Result<Position, Error> {
    let message = Message::frame(id(by), body.to_owned()).owned_by(ANA);
    let sent = layer.amend(group("lobby"), id(target), message, Amendment::Replace).await;
    sent.map(|sent| sent.position.unwrap())
}

async fn delete(layer: &dyn ChannelLayer, target: u32, by: u32) -> Result<Position, Error> {
    let message = Message::frame(id(by), "gone").owned_by(ANA);
    let sent = layer.amend(group("lobby"), id(target), message, Amendment::Delete).await;
    sent.map(|sent| sent.position.unwrap())
}

async fn latest(layer: &dyn ChannelLayer) -> Page {
    let recovered = layer.history(group("lobby"), Span::Latest, 1_000).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    page
}

/// What Redis keeps of the lobby: it is whole, its bytes add up, and it holds as many entries as this.
async fn assert_whole(beside: &mut Beside) -> u64 {
    let lobby = group("lobby");
    let meta = beside.meta(&lobby).await;
    let entries: Vec<(String, Vec<Vec<u8>>)> = beside.ask(&format!("XRANGE {} - +", key(&lobby, "s"))).await;
    let number = |field: &str| meta.get(field).map_or(0, |value| value.parse::<u64>().unwrap());
    let trimmed = meta.get("t").map_or(0, |label| label.split_once(':').unwrap().1.parse().unwrap());
    assert_eq!(number("o") - trimmed - number("x"), entries.len() as u64, "{meta:?}");
    let bytes: usize = entries.iter().map(|(_, fields)| fields[9].len() + 96).sum();
    assert_eq!(number("b"), bytes as u64);
    let offset = |(id, _): &(String, _)| id.strip_suffix("-0").unwrap().parse::<u64>().unwrap();
    assert!(entries.is_sorted_by_key(offset));
    number("x")
}

/// Whether any key of this Redis holds these bytes, in memory or in a dump.
async fn holds(beside: &mut Beside, text: &str) -> bool {
    beside.ask::<()>("CONFIG SET rdbcompression no").await;
    let (_, keys): (u64, Vec<String>) = beside.ask("SCAN 0 COUNT 1000").await;
    for key in keys {
        let dump: Vec<u8> = beside.ask(&format!("DUMP {key}")).await;
        if dump.windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn nothing_is_left_in_redis_of_what_was_replaced_or_deleted() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    let long = |number: u32| format!("secret-{number}-{}", "y".repeat(200));
    // The first, the last, and one between, each among neighbours that stay.
    for number in 1..=90 {
        let body = Message::frame(id(number), long(number)).owned_by(ANA);
        layer.group_send(group("lobby"), body, Retention::Kept).await.unwrap();
    }
    for (by, target) in [(101, 1), (102, 45), (103, 90)] {
        assert!(holds(&mut beside, &long(target)).await, "the test would see it");
        edit(&layer, target, by, "harmless").await.unwrap();
        assert!(!holds(&mut beside, &format!("secret-{target}-")).await, "{target} was replaced");
        assert!(holds(&mut beside, &long(44)).await, "its neighbours stay");
        assert_whole(&mut beside).await;
    }
    edit(&layer, 46, 104, "secret-second").await.unwrap();
    delete(&layer, 46, 105).await.unwrap();
    assert!(!holds(&mut beside, "secret-46").await && !holds(&mut beside, "secret-second").await);
    // All of it, down to a stream of tombstones.
    for number in (1..=90).filter(|number| *number != 46) {
        delete(&layer, number, 1_000 + number).await.unwrap();
    }
    assert!(!holds(&mut beside, "secret").await);
    assert_eq!(assert_whole(&mut beside).await, 94);
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
    beside
        .eval(
            "redis.call('XTRIM', KEYS[2], 'MAXLEN', 0); redis.call('HSET', KEYS[1], 't', 'f:2', 'x', 0, 'b', 0)",
            &group("lobby"),
            &[],
        )
        .await;
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
        local entry = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1][2]
        redis.call('XADD', KEYS[2], '3-0', entry[1], entry[2], entry[3], entry[4], entry[5], ARGV[1],
            entry[7], entry[8], entry[9], entry[10]:sub(1, 2) .. ARGV[1] .. entry[10]:sub(19))
        redis.call('HSET', KEYS[1], 'o', 3, 'x', 1)";
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
