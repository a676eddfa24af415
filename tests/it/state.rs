//! The values beside a history: one suite, for memory and for Redis.

#![expect(clippy::unwrap_used, reason = "what helps a test fails like a test")]

use channel_layer::{
    Amendment, ChannelLayer, Epoch, Error, GroupName, Health, MemoryLayer, Message, MessageId, Mode, Owner,
    Position, RedisRelay, ResilientLayer, Retention,
};
use futures_util::future::join_all;
use palabre::state::{
    State,
    reactions::{KINDS_MAX, Mark, Reaction, Seen, Tally},
    reads::USERS_MAX,
};
use palabre_tests::RedisServer;
use std::{sync::Arc, time::Duration};

struct Bench {
    layer: Arc<dyn ChannelLayer>,
    state: State,
}

fn in_memory() -> Bench {
    let layer = Arc::new(MemoryLayer::new());
    Bench { state: State::in_memory(&layer), layer }
}

async fn in_redis(redis: &RedisServer) -> Bench {
    let relay = RedisRelay::new(&redis.url(), "test").expect("a URL");
    // A loaded machine is slow, and here nobody waits for an answer.
    let deadline = Duration::from_secs(5);
    let state = State::in_redis(&relay, deadline);
    let layer = ResilientLayer::new(Arc::new(relay), Mode::Redis, deadline);
    layer.status().wait_for(|state| state.health == Health::Healthy).await.expect("the layer lives");
    Bench { layer: Arc::new(layer), state }
}

const AUTHOR: Owner = Owner::from_u64(1);

fn lobby() -> GroupName {
    "lobby".parse().unwrap()
}

fn reaction(user: u64, kind: &str, mark: Mark, version: Option<u64>) -> Reaction {
    Reaction { user: Owner::from_u64(user), kind: kind.to_owned(), mark, version }
}

impl Bench {
    async fn kept(&self) -> MessageId {
        let message = Message::frame(MessageId::random(), r#"{"type":"x"}"#).owned_by(AUTHOR);
        self.layer.group_send(lobby(), message, Retention::Kept).await.unwrap().id
    }

    async fn react(
        &self,
        target: MessageId,
        user: u64,
        kind: &str,
        mark: Mark,
        version: Option<u64>,
    ) -> Result<Option<Tally>, Error> {
        self.state.reactions.react(&lobby(), target, reaction(user, kind, mark, version)).await
    }

    async fn seen(&self, target: MessageId, user: u64) -> Seen {
        let seen = self.state.reactions.of(&lobby(), vec![target], Owner::from_u64(user)).await.unwrap();
        <[Seen; 1]>::try_from(seen).expect("one message").into_iter().next().unwrap()
    }
}

fn counts(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

async fn of_what_a_user_says_the_greatest_version_holds(bench: &Bench) {
    let target = bench.kept().await;
    assert_eq!(bench.seen(target, 7).await, Seen::default());
    let first = bench.react(target, 7, "👍", Mark::On, Some(5)).await.unwrap().expect("a change");
    assert_eq!(first.counts, counts(&[("👍", 1)]));
    // The same again, and what was said before it and comes late.
    assert_eq!(bench.react(target, 7, "👍", Mark::On, Some(5)).await, Ok(None));
    assert_eq!(bench.react(target, 7, "👍", Mark::Off, Some(5)).await, Ok(None));
    assert_eq!(bench.react(target, 7, "👍", Mark::Off, Some(4)).await, Ok(None));
    // Later, but nothing else.
    assert_eq!(bench.react(target, 7, "👍", Mark::On, Some(6)).await, Ok(None));
    let second = bench.react(target, 8, "👍", Mark::On, None).await.unwrap().expect("a change");
    let third = bench.react(target, 8, "a b", Mark::On, None).await.unwrap().expect("a change");
    assert_eq!(third.counts, counts(&[("a b", 1), ("👍", 2)]));
    assert!(first.rev < second.rev && second.rev < third.rev);
    assert_eq!(
        bench.seen(target, 8).await,
        Seen { mine: vec!["a b".into(), "👍".into()], tally: third.clone() }
    );
    assert_eq!(bench.seen(target, 9).await, Seen { mine: vec![], tally: third });

    let fourth = bench.react(target, 7, "👍", Mark::Off, Some(1 << 52)).await.unwrap().expect("a change");
    assert_eq!(fourth.counts, counts(&[("a b", 1), ("👍", 1)]));
    assert_eq!(bench.react(target, 7, "👍", Mark::On, Some((1 << 52) - 1)).await, Ok(None));
    for (mark, count) in [(Mark::Off, 0), (Mark::On, 1), (Mark::Off, 0)] {
        let tally =
            bench.react(target, 8, "a b", mark, None).await.unwrap().expect("by the clock each is later");
        let found = tally.counts.iter().find(|(kind, _)| kind == "a b").map_or(0, |(_, count)| *count);
        assert_eq!(found, count);
    }
    assert_eq!(bench.seen(target, 8).await.mine, ["👍"]);
    // Taken back before it was given: when that comes late it is not given.
    assert_eq!(bench.react(target, 9, "👍", Mark::Off, Some(2)).await, Ok(None));
    assert_eq!(bench.react(target, 9, "👍", Mark::On, Some(1)).await, Ok(None));
}

async fn only_what_is_kept_has_reactions(bench: &Bench) {
    let target = bench.kept().await;
    let strange = MessageId::random();
    assert_eq!(bench.react(strange, 7, "👍", Mark::On, None).await, Err(Error::NotFound));
    bench.react(target, 7, "👍", Mark::On, None).await.unwrap();
    let amend = async |body: &str, amendment| {
        let message = Message::frame(MessageId::random(), body.to_owned()).owned_by(AUTHOR);
        bench.layer.amend(lobby(), target, message, amendment).await.unwrap().id
    };
    let edit = amend(r#"{"type":"x","n":2}"#, Amendment::Replace).await;
    assert_eq!(bench.react(edit, 7, "👍", Mark::On, None).await, Err(Error::NotFound), "the edit is none");
    let tally = bench.react(target, 8, "👍", Mark::On, None).await.unwrap().expect("a change");
    assert_eq!(tally.counts, counts(&[("👍", 2)]), "an edited message keeps its reactions");

    amend(r#"{"type":"x"}"#, Amendment::Delete).await;
    assert_eq!(bench.react(target, 9, "👍", Mark::On, None).await, Err(Error::NotFound));
    bench.state.reactions.forget(&lobby(), target).await.unwrap();
    assert_eq!(bench.seen(target, 7).await, Seen::default());
}

async fn a_message_has_a_bounded_number_of_kinds(bench: &Bench) {
    let target = bench.kept().await;
    for number in 0..KINDS_MAX {
        bench.react(target, 7, &format!("kind {number}"), Mark::On, None).await.unwrap();
    }
    assert_eq!(bench.react(target, 8, "another", Mark::On, None).await, Err(Error::TooLarge));
    assert!(bench.react(target, 8, "kind 3", Mark::On, None).await.unwrap().is_some());
    bench.react(target, 7, "kind 0", Mark::Off, None).await.unwrap();
    assert!(bench.react(target, 8, "another", Mark::On, None).await.unwrap().is_some());
}

async fn a_read_position_only_goes_forward(bench: &Bench) {
    let [one, other] = [1, 2].map(|number| Epoch::from_u64(number).unwrap());
    let at = |epoch, offset| Position { epoch, offset };
    let user = Owner::from_u64(7);
    let reads = &bench.state.reads;
    assert_eq!(reads.of(&lobby(), user).await, Ok(None));
    for (said, holds) in [
        (at(one, 5), at(one, 5)),
        (at(one, 4), at(one, 5)),
        (at(one, 5), at(one, 5)),
        (at(one, 9_007_199_254_740_991), at(one, 9_007_199_254_740_991)),
        (at(other, 3), at(other, 3)),
    ] {
        assert_eq!(reads.advance(&lobby(), user, said).await, Ok(holds), "{said:?}");
        assert_eq!(reads.of(&lobby(), user).await, Ok(Some(holds)));
    }
    assert_eq!(reads.of(&"garden".parse().unwrap(), user).await, Ok(None));
}

async fn a_large_group_keeps_no_more_read_positions(bench: &Bench) {
    let crowd: GroupName = "crowd".parse().unwrap();
    let at = |offset| Position { epoch: Epoch::from_u64(1).unwrap(), offset };
    for user in 0..USERS_MAX as u64 {
        bench.state.reads.advance(&crowd, Owner::from_u64(user), at(1)).await.unwrap();
    }
    let late = Owner::from_u64(1_000);
    assert_eq!(bench.state.reads.advance(&crowd, late, at(1)).await, Err(Error::TooLarge));
    assert_eq!(bench.state.reads.advance(&crowd, Owner::from_u64(3), at(2)).await, Ok(at(2)));
}

async fn many_ask_at_once_and_each_is_told_its_own(bench: &Bench) {
    const USERS: u64 = 200;
    let (one, other, bare) = (bench.kept().await, bench.kept().await, bench.kept().await);
    let at = |offset| Position { epoch: Epoch::from_u64(1).unwrap(), offset };
    let group: GroupName = "many".parse().unwrap();
    for user in 0..USERS {
        if user % 3 == 0 {
            bench.react(one, user, "👍", Mark::On, None).await.unwrap();
        }
        if user % 5 == 0 {
            bench.react(other, user, "a b", Mark::On, None).await.unwrap();
            bench.state.reads.advance(&group, Owner::from_u64(user), at(user)).await.unwrap();
        }
    }
    let seen = (0..USERS).map(|user| {
        let targets = if user % 2 == 0 { vec![one, bare, other] } else { vec![other, bare, one] };
        bench.state.reactions.of(&lobby(), targets, Owner::from_u64(user))
    });
    for (user, seen) in join_all(seen).await.into_iter().enumerate() {
        let mut seen = seen.unwrap();
        if user % 2 == 1 {
            seen.reverse();
        }
        let mine: Vec<&[String]> = seen.iter().map(|seen| &*seen.mine).collect();
        let own = |kind: &str, is: bool| if is { vec![kind.to_owned()] } else { vec![] };
        assert_eq!(mine, [own("👍", user % 3 == 0), vec![], own("a b", user % 5 == 0)], "{user}");
        assert_eq!(seen[0].tally.counts, counts(&[("👍", 67)]));
        assert_eq!((&seen[1].tally, &*seen[2].tally.counts), (&Tally::default(), &*counts(&[("a b", 40)])));
    }
    let reads = (0..USERS).map(|user| bench.state.reads.of(&group, Owner::from_u64(user)));
    for (read, user) in join_all(reads).await.into_iter().zip(0..) {
        assert_eq!(read, Ok((user % 5 == 0).then(|| at(user))));
    }
}

async fn all(bench: &Bench) {
    of_what_a_user_says_the_greatest_version_holds(bench).await;
    only_what_is_kept_has_reactions(bench).await;
    a_message_has_a_bounded_number_of_kinds(bench).await;
    a_read_position_only_goes_forward(bench).await;
    a_large_group_keeps_no_more_read_positions(bench).await;
    many_ask_at_once_and_each_is_told_its_own(bench).await;
}

#[tokio::test]
async fn the_suite_holds_in_memory() {
    all(&in_memory()).await;
}

#[tokio::test]
async fn the_suite_holds_in_redis_and_across_its_nodes() {
    let redis = RedisServer::start().await;
    let (one, two) = (in_redis(&redis).await, in_redis(&redis).await);
    all(&one).await;
    let target = one.kept().await;
    one.react(target, 7, "👍", Mark::On, None).await.unwrap();
    let tally = two.react(target, 8, "👍", Mark::On, None).await.unwrap().expect("a change");
    assert_eq!(tally.counts, counts(&[("👍", 2)]));
    assert_eq!(one.seen(target, 7).await, Seen { mine: vec!["👍".into()], tally });
}

#[tokio::test]
async fn everything_beside_a_history_in_redis_has_its_names_and_its_life() {
    let redis = RedisServer::start().await;
    let bench = in_redis(&redis).await;
    all(&bench).await;
    let target = bench.kept().await;
    bench.react(target, 7, "👍", Mark::On, None).await.unwrap();
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is up");
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("the names");
    for part in ["reacted", "marks:", "counts:", "reads"] {
        let start = format!("test:{{lobby}}:{part}");
        let key =
            keys.iter().find(|key| key.starts_with(&start)).unwrap_or_else(|| panic!("{part}: {keys:?}"));
        let left_ms: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.expect("a time");
        assert!((1..=86_400_000).contains(&left_ms), "{key} has {left_ms} ms left");
    }
}

#[tokio::test]
async fn without_redis_they_are_unavailable_and_back_with_it() {
    let mut redis = RedisServer::start().await;
    let bench = in_redis(&redis).await;
    let target = bench.kept().await;
    bench.react(target, 7, "👍", Mark::On, None).await.unwrap();
    redis.kill().await;
    assert_eq!(bench.react(target, 8, "👍", Mark::On, None).await, Err(Error::Unavailable));
    assert_eq!(bench.state.reads.of(&lobby(), AUTHOR).await, Err(Error::Unavailable));
    redis.start_again().await;
    bench.layer.status().wait_for(|state| state.health == Health::Healthy).await.expect("the layer lives");
    // It came back empty, and knows no scripts.
    let target = bench.kept().await;
    assert!(bench.react(target, 8, "👍", Mark::On, None).await.unwrap().is_some());
}
