//! Presence over Redis: what stands there, and what a Redis that forgets it does. And on any layer: a second in which
//! everything changes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use channel_layer::{
    Attendance, Bounds, ChannelLayer, Delivery, GroupName, Health, Mailbox, Member, MemoryLayer, Mode,
    Presence, PresenceRules, RedisRelay, ResilientLayer,
};
use futures_util::future::join_all;
use palabre_tests::{RedisServer, machine::until};
use tokio::runtime::Runtime;

use super::nodes::{PATIENT, PREFIX, group, healthy_node, is, member, next};

/// As in life, and ten times as fast: what takes half a minute there takes some seconds here.
const QUICK: PresenceRules = PresenceRules {
    members_max: 5,
    turn: Duration::from_millis(100),
    heartbeat: Duration::from_millis(1_000),
    lease: Duration::from_millis(2_600),
};

fn somebody(key: &str) -> Member {
    Member { key: key.into(), info: format!("{key}'s name").into_bytes().into() }
}

/// The next change that reaches a mailbox.
async fn change(mailbox: &mut Mailbox) -> Arc<Attendance> {
    match next(mailbox).await {
        Delivery::Presence(change) => change,
        other => panic!("not a change: {other:?}"),
    }
}

#[tokio::test]
async fn however_many_groups_change_in_a_second_no_mailbox_overflows() {
    all_change(&MemoryLayer::new()).await;
}

#[tokio::test]
async fn however_many_groups_change_in_a_second_over_redis_no_mailbox_overflows() {
    let redis = RedisServer::start().await;
    all_change(&healthy_node(&redis).await).await;
}

async fn all_change(layer: &dyn ChannelLayer) {
    const GROUPS: usize = 2_000;
    let mut mailbox = layer.new_channel(GROUPS / 8);
    let groups: Vec<GroupName> = (0..GROUPS).map(|number| group(&format!("g{number}"))).collect();
    let joined = groups.iter().map(|group| layer.group_add(group.clone(), mailbox.channel().clone()));
    for joined in join_all(joined).await {
        joined.unwrap();
    }
    let presence = layer.presence();
    for group in &groups {
        presence.enter(group, &somebody("ana"));
    }
    let mut told = BTreeSet::new();
    while told.len() < GROUPS {
        // Anything else, such as that some were lost, is a panic.
        told.insert(change(&mut mailbox).await.group.clone());
    }
}

async fn quick_node(redis: &RedisServer) -> ResilientLayer {
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap();
    let layer =
        ResilientLayer::with_presence(Arc::new(relay), Mode::Redis, PATIENT, Bounds::default(), QUICK);
    is(&layer, Health::Healthy).await;
    layer
}

/// Waits until a node sees so many.
async fn sees(presence: &dyn Presence, group: &GroupName, occupancy: usize) {
    until(&format!("{occupancy} are seen"), async || {
        (presence.occupancy(group).await == occupancy).then_some(())
    })
    .await;
}

/// The keys of presence that Redis holds.
async fn stored(redis: &RedisServer) -> Vec<String> {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{PREFIX}:*:p?")).query_async(&mut connection).await.unwrap();
    keys
}

#[tokio::test]
async fn a_node_that_crashes_is_forgotten_with_its_members_and_leaves_nothing_behind() {
    let redis = RedisServer::start().await;
    let lobby = group("lobby");
    let here = quick_node(&redis).await;
    let mut mailbox = member(&here, &lobby, 64).await;
    for _ in 0..2 {
        here.presence().enter(&lobby, &somebody("ana"));
    }
    let doomed = Runtime::new().unwrap();
    let url = redis.url();
    let there = doomed.spawn(async move {
        let relay = RedisRelay::new(&url, PREFIX).unwrap();
        let layer =
            ResilientLayer::with_presence(Arc::new(relay), Mode::Redis, PATIENT, Bounds::default(), QUICK);
        is(&layer, Health::Healthy).await;
        layer
    });
    let there = there.await.unwrap();
    there.presence().enter(&lobby, &somebody("bo"));
    there.presence().enter(&lobby, &somebody("cy"));
    sees(&*here.presence(), &lobby, 3).await;
    doomed.shutdown_background();
    sees(&*here.presence(), &lobby, 1).await;
    let mut left = Vec::new();
    while left.len() < 2 {
        left.extend(change(&mut mailbox).await.left.iter().map(|member| member.key.to_string()));
    }
    left.sort();
    assert_eq!(left, ["bo", "cy"]);
    drop(there);
    assert_eq!(stored(&redis).await.len(), 2);
    for _ in 0..2 {
        here.presence().leave(&lobby, "ana");
    }
    until("nothing is left in Redis", async || stored(&redis).await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_node_that_ends_takes_its_rows_with_it_and_one_that_is_dropped_ends() {
    let redis = RedisServer::start().await;
    let lobby = group("lobby");
    let (one, two) = (quick_node(&redis).await, quick_node(&redis).await);
    let (_one, _two) = (member(&one, &lobby, 64).await, member(&two, &lobby, 64).await);
    one.presence().enter(&lobby, &somebody("ana"));
    two.presence().enter(&lobby, &somebody("bo"));
    sees(&*one.presence(), &lobby, 2).await;
    sees(&*two.presence(), &lobby, 2).await;
    two.shutdown().await.unwrap();
    until("its row is gone", async || (rows(&redis, &lobby).await == 1).then_some(())).await;
    sees(&*one.presence(), &lobby, 1).await;
    one.shutdown().await.unwrap();
    assert_eq!(rows(&redis, &lobby).await, 0, "gone when the answer came");
}

/// How many rows of presence a group has.
async fn rows(redis: &RedisServer, group: &GroupName) -> usize {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let rows = redis::cmd("HLEN").arg(format!("{PREFIX}:{{{group}}}:pr")).to_owned();
    rows.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn rows_that_redis_lost_are_written_again() {
    let mut redis = RedisServer::start().await;
    let lobby = group("lobby");
    let one = quick_node(&redis).await;
    let _one = member(&one, &lobby, 64).await;
    one.presence().enter(&lobby, &somebody("ana"));
    until("its row stands", async || (rows(&redis, &lobby).await == 1).then_some(())).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
    until("its row stands again", async || (rows(&redis, &lobby).await == 1).then_some(())).await;
    redis.kill().await;
    is(&one, Health::Degraded).await;
    one.presence().enter(&lobby, &somebody("bo"));
    assert_eq!(one.presence().occupancy(&lobby).await, 2, "the node goes on");
    redis.start_again().await;
    let two = quick_node(&redis).await;
    sees(&*two.presence(), &lobby, 2).await;
}
