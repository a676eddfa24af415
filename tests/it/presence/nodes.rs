//! Presence on two nodes over one Redis: the same on both, and forgotten with the node that held it.

use std::time::Duration;

use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{again, ask, gone_and_come, guest, member, names, set, until, until_joined};

const SECRET: (&str, &str) = ("PALABRE_AUTH_SECRET", "the same secret on every node");

/// Two nodes of one hub, both joined to Redis.
async fn nodes(redis: &RedisServer) -> [HubProcess; 2] {
    let start = async || {
        let node = HubProcess::start_with(&["--redis-url", &redis.url()], &[SECRET]).await;
        let mut client = Client::connect(node.addr()).await;
        if client.hello("").await["layer"]["state"] != "healthy" {
            while client.expect("layer").await["state"] != "healthy" {}
        }
        node
    };
    [start().await, start().await]
}

/// Waits, for longer than a test usually does, until everybody of these names has gone.
async fn until_left(client: &mut Client, gone: &[&str]) {
    let mut left = set(&[]);
    let end = Instant::now() + Duration::from_secs(33);
    while left != set(gone) {
        // The connection is read all the time; a single wait of the fixture is shorter than this one.
        let change = loop {
            if let Some(change) = client.soon("presence").await {
                break change;
            }
            assert!(Instant::now() < end, "{gone:?} are still there, but for {left:?}");
        };
        left.extend(names(&change["left"]));
    }
}

#[tokio::test]
async fn members_on_two_nodes_see_one_list_and_one_number() {
    let redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let mut ana = member(&a, "Ana").await;
    let (mut bo, bo_token) = guest(&b, "Bo").await;
    palabre_tests::machine::until("the other node is known", async || {
        bo.join("room").await;
        let answer = ask(&mut bo).await;
        (names(&answer["members"]) == set(&["Ana", "Bo"])).then_some(())
    })
    .await;
    until_joined(&mut ana, "Bo").await;
    // Known by now to the node, so the joiner is told at once.
    let (mut cy, _) = guest(&b, "Cy").await;
    assert_eq!(cy.join("room").await["snapshot"]["occupancy"], 3);
    until_joined(&mut ana, "Cy").await;

    // On both nodes at once Bo is one, and gone when both have gone.
    let mut other_tab = again(&a, "Bo", &bo_token).await;
    assert_eq!(other_tab.join("room").await["snapshot"]["occupancy"], 3);
    drop(bo);
    let _di = member(&b, "Di").await;
    let (gone, come) = gone_and_come(&until_joined(&mut ana, "Di").await);
    assert_eq!((gone, come), (set(&[]), set(&["Di"])));
    drop(other_tab);
    until(&mut cy, |change| names(&change["left"]).contains("Bo")).await;
    assert_eq!(names(&ask(&mut ana).await["members"]), set(&["Ana", "Cy", "Di"]));
}

#[tokio::test]
async fn the_members_of_a_node_that_is_killed_vanish_within_30_seconds() {
    let redis = RedisServer::start().await;
    let [a, mut b] = nodes(&redis).await;
    let mut ana = member(&a, "Ana").await;
    let (_bo, _cy) = (member(&b, "Bo").await, member(&b, "Cy").await);
    let mut seen = set(&[]);
    while !seen.is_superset(&set(&["Bo", "Cy"])) {
        seen.extend(names(&ana.expect("presence").await["joined"]));
    }
    let killed = Instant::now();
    b.kill().await;
    until_left(&mut ana, &["Bo", "Cy"]).await;
    let took = killed.elapsed();
    assert!(took <= Duration::from_secs(31), "{took:?}");
    assert!(took >= Duration::from_secs(10), "a node that only stumbles keeps its members: {took:?}");
    assert_eq!(ask(&mut ana).await["occupancy"], 1);
}

#[tokio::test]
async fn the_members_of_a_node_that_ends_are_gone_at_once() {
    let redis = RedisServer::start().await;
    let [a, mut b] = nodes(&redis).await;
    let mut ana = member(&a, "Ana").await;
    let mut bo = member(&b, "Bo").await;
    until_joined(&mut ana, "Bo").await;
    let (status, code) = tokio::join!(b.terminate(), bo.closed());
    assert!(status.success() && code == 4000);
    let told =
        timeout(Duration::from_secs(8), until(&mut ana, |change: &Value| change["occupancy"] == json!(1)));
    assert_eq!(gone_and_come(&told.await.expect("gone in some seconds")).0, set(&["Bo"]));
}

#[tokio::test]
async fn while_redis_is_away_a_node_goes_on_and_afterwards_all_is_right_again() {
    let mut redis = RedisServer::start().await;
    let [a, b] = nodes(&redis).await;
    let (mut ana, ana_2) = (member(&a, "Ana").await, member(&a, "Ana 2").await);
    let (bo, bo_token) = guest(&b, "Bo").await;
    let mut bo = bo;
    bo.join("room").await;
    until_joined(&mut ana, "Bo").await;
    redis.kill().await;
    while ana.expect("layer").await["state"] == "healthy" {}
    drop(ana_2);
    let told = until(&mut ana, |change| names(&change["left"]).contains("Ana 2")).await;
    assert_eq!(told.last().unwrap()["occupancy"], 2, "the other node's are as they were: {told:?}");
    drop(bo);
    redis.start_again().await;
    until(&mut ana, |change| names(&change["left"]).contains("Bo")).await;
    let mut back = again(&b, "Bo", &bo_token).await;
    palabre_tests::machine::until("Bo is back", async || {
        let joined = back.request(json!({"type": "join", "groups": [{"group": "room"}]})).await;
        (joined["type"] == "joined").then_some(())
    })
    .await;
    until_joined(&mut ana, "Bo").await;
    assert_eq!(names(&ask(&mut back).await["members"]), set(&["Ana", "Bo"]));
}
