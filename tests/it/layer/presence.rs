//! Presence in the layer: the same contract in memory and over Redis, and leases that end.

use std::{sync::Arc, time::Duration};

use channel_layer::{
    Attendance, Bounds, ChannelLayer, Delivery, GroupName, Health, Mailbox, Member, Mode, Presence,
    PresenceRules, RedisRelay, ResilientLayer,
};
use palabre_tests::{RedisServer, machine::until};
use tokio::runtime::Runtime;

use super::both::{Layer, on_both_layers};
use super::nodes::{PATIENT, PREFIX, group, is, member, next};

/// As in life, and ten times as fast: what takes half a minute there takes some seconds here.
const QUICK: PresenceRules = PresenceRules {
    members_max: 5,
    turn: Duration::from_millis(100),
    heartbeat: Duration::from_millis(1_000),
    lease: Duration::from_millis(2_600),
};

on_both_layers! {
    who_enters_is_there_at_once_and_told_to_the_mailboxes
    who_enters_before_a_mailbox_is_there_disturbs_nobody
}

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

async fn who_enters_is_there_at_once_and_told_to_the_mailboxes(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let presence = layer.presence();
    assert_eq!(presence.occupancy(&lobby).await, 0);
    presence.enter(&lobby, &somebody("ana"));
    presence.enter(&lobby, &somebody("ana"));
    let roster = presence.roster(&lobby).await;
    assert_eq!((roster.occupancy, roster.members), (1, Some(vec![somebody("ana")])));
    let told = change(&mut mailbox).await;
    assert_eq!((told.occupancy, &told.joined, &told.group), (1, &vec![somebody("ana")], &lobby));
    presence.enter(&lobby, &somebody("bo"));
    presence.leave(&lobby, "ana");
    presence.leave(&lobby, "ana");
    assert_eq!(change(&mut mailbox).await.joined, [somebody("bo")]);
    let told = change(&mut mailbox).await;
    assert_eq!((told.occupancy, &told.left), (1, &vec![somebody("ana")]));
    // Who never came cannot go.
    presence.leave(&lobby, "ana");
    presence.leave(&group("elsewhere"), "bo");
    assert_eq!(presence.occupancy(&lobby).await, 1);
}

async fn who_enters_before_a_mailbox_is_there_disturbs_nobody(layer: Layer) {
    let presence = layer.presence();
    presence.enter(&group("lobby"), &somebody("ana"));
    assert_eq!(presence.occupancy(&group("lobby")).await, 1);
    layer.shutdown().await.unwrap();
    presence.enter(&group("lobby"), &somebody("bo"));
    presence.leave(&group("lobby"), "bo");
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
    here.presence().enter(&lobby, &somebody("ana"));
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
    here.presence().leave(&lobby, "ana");
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
    is(&one, Health::Connecting).await;
    one.presence().enter(&lobby, &somebody("bo"));
    assert_eq!(one.presence().occupancy(&lobby).await, 2, "the node goes on");
    redis.start_again().await;
    let two = quick_node(&redis).await;
    sees(&*two.presence(), &lobby, 2).await;
}

#[tokio::test]
async fn of_a_crowd_other_nodes_know_the_number_and_of_few_the_names() {
    let redis = RedisServer::start().await;
    let lobby = group("lobby");
    let (one, two) = (quick_node(&redis).await, quick_node(&redis).await);
    let (_one, mut mailbox) = (member(&one, &lobby, 64).await, member(&two, &lobby, 64).await);
    two.presence().enter(&lobby, &somebody("zoe"));
    for number in 0..7 {
        one.presence().enter(&lobby, &somebody(&format!("m{number}")));
    }
    sees(&*two.presence(), &lobby, 8).await;
    let roster = two.presence().roster(&lobby).await;
    assert_eq!((roster.occupancy, roster.members), (8, None));
    for number in 3..7 {
        one.presence().leave(&lobby, &format!("m{number}"));
    }
    sees(&*two.presence(), &lobby, 4).await;
    let members = two.presence().roster(&lobby).await.members.unwrap();
    assert!(members.iter().map(|member| &*member.key).eq(["m0", "m1", "m2", "zoe"]), "{members:?}");
    let mut last = change(&mut mailbox).await;
    while last.occupancy != 4 {
        assert!(last.joined.len() <= QUICK.members_max, "{last:?}");
        last = change(&mut mailbox).await;
    }
}

#[tokio::test]
async fn a_group_without_members_here_is_asked_for_at_the_backend() {
    let redis = RedisServer::start().await;
    let lobby = group("lobby");
    let (one, two) = (quick_node(&redis).await, quick_node(&redis).await);
    one.presence().enter(&lobby, &somebody("ana"));
    until("its row stands", async || (rows(&redis, &lobby).await == 1).then_some(())).await;
    assert_eq!(two.presence().roster(&lobby).await.members, Some(vec![somebody("ana")]));
    assert_eq!(two.presence().occupancy(&group("nobody")).await, 0);
}
