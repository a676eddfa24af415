//! Each bound of the histories, by its effect: in memory, in Redis, and in what a node keeps beside Redis.

use std::{sync::Arc, time::Duration};

use channel_layer::{
    Amendment, Bounds, ChannelLayer, Error, GapReason, GroupName, Health, Kept, MemoryLayer, Message,
    MessageId, Mode, Owner, Position, Recovered, RedisRelay, ResilientLayer, Retention, Span,
};
use palabre_tests::RedisServer;

use super::nodes::{Beside, PATIENT, PREFIX, group, is, member, message, numbers, numbers_of, send};

/// A healthy node with these bounds.
async fn node(redis: &RedisServer, bounds: Bounds) -> ResilientLayer {
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap().with_bounds(bounds);
    let layer = ResilientLayer::with_bounds(Arc::new(relay), Mode::Redis, PATIENT, bounds);
    is(&layer, Health::Healthy).await;
    layer
}

/// The usual bounds, but on a group's history.
fn history(change: impl FnOnce(&mut Kept)) -> Bounds {
    let mut bounds = Bounds::default();
    change(&mut bounds.history);
    bounds
}

/// The usual bounds, but on what a node keeps of it beside a backend.
fn tail(change: impl FnOnce(&mut Kept)) -> Bounds {
    let mut bounds = Bounds::default();
    change(&mut bounds.tail);
    bounds
}

async fn read(layer: &dyn ChannelLayer, span: Span, max: usize) -> (Option<GapReason>, Vec<u32>, bool) {
    let recovered = layer.history(group("lobby"), span, max).await.unwrap();
    let reason = match &recovered {
        Recovered::All(_) => None,
        Recovered::Gap(reason, _) => Some(*reason),
    };
    (reason, numbers_of(recovered.page()), recovered.page().more)
}

/// Sends this many messages of so many bytes, and gives the first one's position and how many are kept.
async fn kept_of(layer: &dyn ChannelLayer, count: u32, bytes: usize) -> usize {
    let mut first = None;
    for number in 0..count {
        let message = Message::frame(message(number).id, vec![b'x'; bytes]);
        let sent = layer.group_send(group("lobby"), message, Retention::Kept).await.unwrap();
        first = first.or(sent.position);
    }
    let (reason, ..) = read(layer, Span::After(first.unwrap()), 10).await;
    assert_eq!(reason, Some(GapReason::Trimmed));
    let (_, all, more) = read(layer, Span::Latest, 1_000).await;
    assert_eq!((all.last(), more), (Some(&(count - 1)), false));
    all.len()
}

#[tokio::test]
async fn a_history_keeps_as_many_messages_as_it_may() {
    let bounds = history(|history| history.messages = 30);
    assert_eq!(kept_of(&MemoryLayer::with_bounds(bounds), 200, 10).await, 30);
    let redis = RedisServer::start().await;
    // Redis trims 64 at a time.
    let kept = kept_of(&node(&redis, bounds).await, 200, 10).await;
    assert!((30..94).contains(&kept), "{kept} are kept");
}

#[tokio::test]
async fn a_history_keeps_as_many_bytes_as_it_may() {
    let bounds = history(|history| history.bytes = 50_000);
    let kept = kept_of(&MemoryLayer::with_bounds(bounds), 200, 1_000).await;
    assert!((38..=50).contains(&kept), "{kept} are kept in memory");
    let redis = RedisServer::start().await;
    let kept = kept_of(&node(&redis, bounds).await, 200, 1_000).await;
    assert!((40..=53).contains(&kept), "{kept} are kept in Redis");
}

#[tokio::test(start_paused = true)]
async fn a_history_in_memory_keeps_messages_as_long_as_it_may() {
    let layer = MemoryLayer::with_bounds(history(|history| history.age = Duration::from_mins(1)));
    let first = send(&layer, &group("lobby"), 1).await.position.unwrap();
    tokio::time::advance(Duration::from_secs(40)).await;
    send(&layer, &group("lobby"), 2).await;
    assert_eq!(read(&layer, Span::Latest, 9).await.1, [1, 2]);
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!(read(&layer, Span::Latest, 9).await, (None, vec![2], false));
    let from_the_start = Span::After(Position { offset: 0, ..first });
    assert_eq!(read(&layer, from_the_start, 9).await.0, Some(GapReason::Trimmed));
}

#[tokio::test]
async fn what_is_too_old_in_redis_is_shown_to_nobody_though_it_was_not_trimmed_yet() {
    let redis = RedisServer::start().await;
    let bounds = history(|history| history.age = Duration::from_hours(1));
    let lobby = group("lobby");
    let owner = Owner::from_u64(1);
    let writer = node(&redis, bounds).await;
    let mut first = None;
    for number in 1..=4 {
        let sent = writer.group_send(lobby.clone(), message(number).owned_by(owner), Retention::Kept).await;
        let position = sent.unwrap().position;
        first = first.or(position);
    }
    // The first two were written an hour and a second ago.
    let age = r"
        for at = 1, 2 do
            local entry = redis.call('HGET', KEYS[1], at)
            redis.call('HSET', KEYS[1], at, string.format('%d', entry:sub(1, 10) - 3601) .. entry:sub(11))
        end";
    Beside::new(&redis).await.eval(age, &lobby, &[]).await;

    let at = |offset| Position { offset, ..first.unwrap() };
    let layer = node(&redis, bounds).await;
    for joined in [false, true] {
        // Asked of Redis, and then of the copy that this node opened with.
        let _mailbox = if joined { Some(member(&layer, &lobby, 8).await) } else { None };
        assert_eq!(read(&layer, Span::Latest, 9).await, (None, vec![3, 4], false), "{joined}");
        assert_eq!(read(&layer, Span::Before(at(4)), 9).await, (None, vec![3], false));
        let missed = (Some(GapReason::Trimmed), vec![3, 4], false);
        assert_eq!(read(&layer, Span::After(at(1)), 9).await, missed, "{joined}");
        assert_eq!(read(&layer, Span::After(at(2)), 9).await, (None, vec![3, 4], false));
    }
    let by = |number| message(number).owned_by(owner);
    let old = layer.amend(lobby.clone(), message(2).id, by(10), Amendment::Replace).await;
    assert_eq!(old, Err(Error::NotFound), "nor can it be amended");
    layer.amend(lobby.clone(), message(3).id, by(11), Amendment::Replace).await.unwrap();
}

/// How often Redis ran a script.
async fn asked(beside: &mut Beside) -> u64 {
    let stats: String = beside.ask("INFO commandstats").await;
    let scripts = stats.lines().filter(|line| line.starts_with("cmdstat_evalsha:calls="));
    scripts.map(|line| line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// How many of the last messages a node with these bounds answers from what it has, of 40 with so many bytes.
async fn answered_by_the_node(bounds: Bounds, bytes: usize) -> usize {
    let redis = RedisServer::start().await;
    let layer = node(&redis, bounds).await;
    let mut mailbox = member(&layer, &group("lobby"), 64).await;
    for number in 0..40 {
        let message = Message::frame(message(number).id, vec![b'x'; bytes]);
        layer.group_send(group("lobby"), message, Retention::Kept).await.unwrap();
    }
    numbers(&mut mailbox, 40).await;
    let mut beside = Beside::new(&redis).await;
    for wanted in 1..=40 {
        let before = asked(&mut beside).await;
        assert_eq!(read(&layer, Span::Latest, wanted).await.1.len(), wanted);
        if asked(&mut beside).await > before {
            return wanted - 1;
        }
    }
    40
}

#[tokio::test]
async fn a_node_keeps_as_much_of_a_history_beside_redis_as_it_may() {
    assert_eq!(answered_by_the_node(Bounds::default(), 1_000).await, 40);
    assert_eq!(answered_by_the_node(tail(|tail| tail.messages = 7), 10).await, 7);
    let by_bytes = answered_by_the_node(tail(|tail| tail.bytes = 10_000), 1_000).await;
    assert!((7..=10).contains(&by_bytes), "{by_bytes} are kept");
    assert_eq!(answered_by_the_node(tail(|tail| tail.age = Duration::ZERO), 10).await, 0);
}

#[tokio::test]
async fn as_many_ids_are_known_as_may_be_and_forgetting_is_admitted() {
    let mut bounds = history(|history| history.messages = 20);
    bounds.ids = 50;
    let redis = RedisServer::start().await;
    let layers: [Arc<dyn ChannelLayer>; 2] =
        [Arc::new(MemoryLayer::with_bounds(bounds)), Arc::new(node(&redis, bounds).await)];
    for layer in layers {
        let lobby = group("lobby");
        let first = send(&*layer, &lobby, 1).await.position;
        // Redis forgets 64 at a time.
        for number in 2..=220 {
            send(&*layer, &lobby, number).await;
        }
        let repeat = async |number: u32, floor| {
            layer.group_send(lobby.clone(), message(number).with_floor(floor), Retention::Kept).await
        };
        assert_eq!(repeat(170, first).await.unwrap().position.unwrap().offset, 170, "one of the last 50");
        assert_eq!(repeat(1, first).await, Err(Error::Undecided));
    }
    let mut beside = Beside::new(&redis).await;
    let stored = beside.stored(&group("lobby")).await;
    let (ids, places) = (stored.ids.len(), stored.entries.len() + stored.left.len());
    assert!((50..114).contains(&ids) && places == ids, "{ids} ids, {places} places");
}

#[tokio::test]
async fn a_message_that_is_kept_can_be_amended_though_its_id_is_an_old_one() {
    let mut bounds = history(|history| history.messages = 60);
    bounds.ids = 100;
    let redis = RedisServer::start().await;
    let layers: [Arc<dyn ChannelLayer>; 2] =
        [Arc::new(MemoryLayer::with_bounds(bounds)), Arc::new(node(&redis, bounds).await)];
    let own = |number| message(number).owned_by(Owner::from_u64(1));
    for layer in layers {
        for number in 1..=150 {
            layer.group_send(group("lobby"), own(number), Retention::Kept).await.unwrap();
        }
        // In memory the second hundred is the young generation; where the newest version stands is known in that one, and then
        // in the old one as well.
        for (version, by) in [(2, 201), (3, 202), (4, 303)] {
            if version == 4 {
                for number in 203..=250 {
                    layer.group_send(group("lobby"), own(number), Retention::Kept).await.unwrap();
                }
            }
            layer.amend(group("lobby"), message(99).id, own(by), Amendment::Replace).await.unwrap();
            let latest = layer.history(group("lobby"), Span::Latest, 1).await.unwrap();
            let newest = latest.page().messages[0].version.as_ref().map(|version| version.number);
            assert_eq!(newest, Some(version));
        }
    }
}

#[tokio::test]
async fn a_node_remembers_of_all_groups_as_much_as_it_may_and_lets_go_of_those_used_long_ago() {
    let layer = MemoryLayer::with_bounds(Bounds { node_bytes: 16 << 20, ..Bounds::default() });
    let post = async |name: &GroupName| {
        let message = Message::frame(MessageId::random(), vec![0; 100_000]);
        layer.group_send(name.clone(), message, Retention::Kept).await.unwrap().position.unwrap()
    };
    let busy = group("busy");
    let first = post(&busy).await;
    let names: Vec<GroupName> = (0..1_000).map(|number| group(&format!("g{number}"))).collect();
    let mut positions = Vec::new();
    for name in &names {
        positions.push(post(name).await);
        assert_eq!(layer.history(busy.clone(), Span::Latest, 1).await.unwrap().page().head, first);
    }
    let mut known = Vec::new();
    for (name, position) in names.iter().zip(positions) {
        let history = layer.history(name.clone(), Span::Latest, 1).await.unwrap();
        known.push(history.page().head.epoch == position.epoch);
    }
    // Each weighs twice its bytes, for it may have been rendered.
    let count = known.iter().filter(|known| **known).count();
    assert!((20..=110).contains(&count), "{count} of 1,000 are known");
    let young = known[900..].iter().filter(|known| **known).count();
    assert!(young * 2 > count, "{young} of the {count} are young");
}
