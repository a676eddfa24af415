//! Reactions in a crowd: they are told together, and read together.

use palabre_tests::{Client, RedisServer};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{member, of, react, told};
use crate::chat::{hub, send};
use crate::cluster;

#[tokio::test]
async fn a_crowds_reactions_are_told_together_and_the_last_of_them_always() {
    const CROWD: usize = 60;
    let hub = hub().await;
    let (mut ana, _) = member(&hub, "Ana").await;
    let sent = ana.request(send("the-message", "Shall we?")).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(member(&hub, "").await.0);
    }
    let text = {
        let mut request = react(&sent["id"], "👍", true);
        request["ref"] = json!("react");
        request.to_string()
    };
    for client in &mut crowd {
        client.raw_text(&text).await;
    }
    for client in &mut crowd {
        assert_eq!(client.expect("ack").await["ref"], "react");
    }
    let mut frames = 0;
    loop {
        frames += 1;
        if ana.expect("chat.reactions").await["counts"]["👍"] == CROWD {
            break;
        }
    }
    assert!(frames < CROWD / 2, "{frames} frames for {CROWD} reactions");
    // One after the other as well, and each of them handled before the next.
    let begun = Instant::now();
    let mut frames = 0;
    for round in 1..=50 {
        ana.request(react(&sent["id"], "👍", round % 2 == 1)).await;
        frames += ana.so_far().await.iter().filter(|frame| frame["type"] == "chat.reactions").count();
    }
    let turns = begun.elapsed().as_millis() / 250 + 2;
    assert!(frames as u128 <= turns, "{frames} frames in {turns} turns of 250 ms");
}

/// How many scripts Redis has run for its clients.
async fn scripts(redis: &RedisServer) -> u64 {
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is up");
    let stats: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("numbers");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).expect("some ran");
    calls.split_once(',').expect("a list").0.parse().expect("a number")
}

#[tokio::test]
async fn a_thousand_who_join_at_once_see_the_reactions_and_ask_redis_a_few_times() {
    const CROWD: usize = 1_000;
    let redis = RedisServer::start().await;
    let [node] = cluster::nodes(&redis).await;
    let (mut ana, ana_is) = member(&node, "Ana").await;
    let sent = ana.request(send("the-message", "Shall we?")).await;
    ana.request(react(&sent["id"], "👍", true)).await;
    let news = told(&mut ana, &sent["id"], json!({"👍": 1})).await;
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut client = Client::connect(node.addr()).await;
        let token = if number == 777 { &ana_is["token"] } else { &Value::Null };
        client.request(json!({"type": "hello", "token": token})).await;
        crowd.push(client);
    }
    let before = scripts(&redis).await;
    let begun = Instant::now();
    let join = json!({"type": "join", "ref": "all", "groups": [{"group": "lobby"}]}).to_string();
    for client in &mut crowd {
        client.raw_text(&join).await;
    }
    for (number, client) in crowd.iter_mut().enumerate() {
        let joined = client.expect("joined").await;
        let mut expected = json!({"counts": {"👍": 1}, "rev": news["rev"]});
        if number == 777 {
            expected["mine"] = json!(["👍"]);
        }
        assert_eq!(*of(&joined["snapshot"]["chat"], &sent["id"]), expected, "{number}: {joined}");
    }
    let (ran, took) = (scripts(&redis).await - before, begun.elapsed());
    println!("{ran} scripts for {CROWD} joins in {took:?}");
    // Two a turn of 10 ms or a batch of 64, one for reactions and one for read positions; and presence has its own.
    assert!(ran < CROWD as u64 / 2, "{ran} scripts in {took:?}");
}
