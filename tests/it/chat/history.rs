//! Paging: `history` brings any part of what a group keeps, in pages of bounded size.

use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};

use super::{hub, member, newcomer};
use crate::cluster;

fn ask(mut fields: Value) -> Value {
    for (name, value) in [("type", json!("history")), ("group", json!("lobby")), ("limit", json!(10))] {
        if fields.get(name).is_none() {
            fields[name] = value;
        }
    }
    fields
}

fn offsets(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().unwrap_or_else(|| panic!("no messages: {page}"));
    messages.iter().map(|message| message["position"]["offset"].as_u64().expect("an offset")).collect()
}

/// Says so many things; gives the epoch in which they stand.
async fn talk(client: &mut Client, count: usize, text: &str) -> Value {
    let mut ack = Value::Null;
    for _ in 0..count {
        ack = client.send("lobby", text).await;
        client.message().await;
    }
    ack["position"]["epoch"].clone()
}

/// Reads the whole history from one end to the other by what each page says of the next; gives the pages' offsets.
async fn walk(client: &mut Client, field: &str, start: Value, limit: u64) -> Vec<Vec<u64>> {
    let (mut pages, mut next) = (Vec::new(), start);
    loop {
        let page = client.request(ask(json!({field: next, "limit": limit}))).await;
        assert!(page.to_string().len() <= 256 << 10);
        pages.push(offsets(&page));
        assert_eq!(page["more"] == true, page.get("next").is_some(), "{page}");
        match page.get("next") {
            Some(at) => next = at.clone(),
            None => return pages,
        }
    }
}

/// What must hold whoever keeps the history. The group has 120 short messages.
async fn is_read_in_pages(client: &mut Client, epoch: &Value) {
    let at = |offset: u64| json!({"epoch": epoch, "offset": offset});
    let latest = client.request(ask(json!({}))).await;
    assert_eq!((&latest["type"], &latest["group"]), (&json!("history"), &json!("lobby")), "{latest}");
    assert_eq!(offsets(&latest), (111..=120).collect::<Vec<_>>());
    assert_eq!((&latest["more"], &latest["next"]), (&json!(true), &at(111)));
    assert_eq!(latest["messages"][0]["type"], "chat.message");

    let back = walk(client, "before", at(111), 50).await;
    assert_eq!(back, [(61..=110).collect::<Vec<_>>(), (11..=60).collect(), (1..=10).collect()]);
    let forth = walk(client, "after", at(0), 100).await;
    assert_eq!(forth, [(1..=100).collect::<Vec<_>>(), (101..=120).collect()]);
    assert_eq!(walk(client, "after", at(120), 100).await, [Vec::<u64>::new()]);
    assert_eq!(walk(client, "before", at(1), 100).await, [Vec::<u64>::new()]);
    assert_eq!(offsets(&client.request(ask(json!({"limit": 1}))).await), [120]);

    for field in ["before", "after"] {
        for strange in [at(500), json!({"epoch": "00000000000000ff", "offset": 5})] {
            let error = client.request(ask(json!({field: strange}))).await;
            assert_eq!((&error["code"], &error["group"]), (&json!("not_found"), &json!("lobby")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_history_is_read_in_pages_both_ways() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    let epoch = talk(&mut client, 120, "short").await;
    is_read_in_pages(&mut client, &epoch).await;
}

#[tokio::test]
async fn over_redis_every_node_has_the_same_pages() {
    let redis = RedisServer::start().await;
    let [a, b]: [HubProcess; 2] = cluster::nodes(&redis).await;
    let mut on_a = cluster::member(&a, "A", "lobby").await;
    let epoch = talk(&mut on_a, 120, "short").await;
    let mut on_b = cluster::member(&b, "B", "lobby").await;
    is_read_in_pages(&mut on_a, &epoch).await;
    is_read_in_pages(&mut on_b, &epoch).await;
}

#[tokio::test]
async fn pages_of_long_messages_are_cut_and_nothing_is_left_out() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    let epoch = talk(&mut client, 50, &"🌳".repeat(4_000)).await;
    for (field, start, all) in [("after", 0, 1..=50), ("before", 50, 1..=49)] {
        let mut pages = walk(&mut client, field, json!({"epoch": epoch, "offset": start}), 100).await;
        assert!(pages.len() > 3, "a page is 256 KiB at most: {pages:?}");
        if field == "before" {
            pages.reverse();
        }
        assert_eq!(pages.concat(), all.collect::<Vec<_>>());
    }
    // Sixteen pages asked for at once are more than a client's outbox holds, and are waited for.
    for number in 0..16 {
        client.raw_text(&ask(json!({"ref": number.to_string(), "limit": 100})).to_string()).await;
    }
    for number in 0..16 {
        assert_eq!(client.expect("history").await["ref"], number.to_string());
    }
}

#[tokio::test]
async fn where_the_history_was_trimmed_it_says_so() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    // Its bytes are what trims it soonest: 1 MiB.
    let epoch = talk(&mut client, 80, &"🌳".repeat(4_000)).await;
    let error = client.request(ask(json!({"after": {"epoch": epoch, "offset": 1}}))).await;
    assert_eq!(error["code"], "not_found");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("trimmed")), "{error}");
    // Before it there is simply nothing any more.
    let page = client.request(ask(json!({"before": {"epoch": epoch, "offset": 2}}))).await;
    assert_eq!((&page["messages"], &page["more"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn only_members_read_and_only_what_can_be_asked_for() {
    let hub = hub().await;
    let mut client = newcomer(&hub).await;
    let error = client.request(ask(json!({}))).await;
    assert_eq!((&error["code"], &error["group"]), (&json!("not_joined"), &json!("lobby")), "{error}");
    client.join("lobby").await;
    let at = json!({"epoch": "00000000000000ff", "offset": 5});
    for (fields, named) in [
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 101}), "limit"),
        (json!({"limit": "10"}), "limit"),
        (json!({"before": at, "after": at}), "before"),
        (json!({"after": {"epoch": "0000000000000000", "offset": 1}}), "epoch"),
        (json!({"since": at}), "since"),
    ] {
        let error = client.request(ask(fields)).await;
        assert_eq!(error["code"], "bad_request", "{error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(named)), "{error}");
    }
    assert_eq!(offsets(&client.request(ask(json!({}))).await), Vec::<u64>::new());
}
