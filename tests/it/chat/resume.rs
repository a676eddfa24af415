//! Joining: what a client is given of the past, and how it comes back without losing anything.

use palabre_tests::Client;
use serde_json::{Value, json};

use super::{hub, member, newcomer};

/// Messages that a group's history keeps.
const HISTORY: u64 = 1_000;

fn offsets(messages: &Value) -> Vec<u64> {
    let messages = messages.as_array().unwrap_or_else(|| panic!("no messages: {messages}"));
    let offset = |message: &Value| message["position"]["offset"].as_u64();
    messages.iter().map(|message| offset(message).unwrap_or_else(|| panic!("no offset: {message}"))).collect()
}

async fn join_since(client: &mut Client, epoch: &str, offset: u64) -> Value {
    let since = json!({"epoch": epoch, "offset": offset});
    client.request(json!({"type": "join", "groups": [{"group": "lobby", "since": since}]})).await
}

/// Sends so many messages; returns the epoch that they are in.
async fn fill(client: &mut Client, count: u64) -> String {
    let mut ack = Value::Null;
    for number in 1..=count {
        ack = client.send("lobby", &format!("message {number}")).await;
        // Its own echo is taken in at once, so that nothing piles up.
        assert_eq!(client.message().await.0, ack["position"]["offset"]);
    }
    ack["position"]["epoch"].as_str().expect("an ack has an epoch").to_owned()
}

#[tokio::test]
async fn a_snapshot_has_the_last_fifty_messages_oldest_first() {
    let hub = hub().await;
    let mut sender = newcomer(&hub).await;
    let empty = sender.join("lobby").await;
    assert_eq!(empty["snapshot"]["messages"], json!([]), "{empty}");
    let epoch = fill(&mut sender, 60).await;

    let joined = newcomer(&hub).await.join("lobby").await;
    assert_eq!(offsets(&joined["snapshot"]["messages"]), (11..=60).collect::<Vec<_>>());
    assert_eq!((&empty["snapshot"]["more"], &joined["snapshot"]["more"]), (&json!(false), &json!(true)));
    assert_eq!(joined["snapshot"]["messages"][49]["text"], "message 60");
    assert_eq!(joined["position"], json!({"epoch": epoch, "offset": 60}));
    assert_eq!(joined["snapshot"]["messages"][49]["position"], joined["position"]);
    assert!(joined.get("recovered").is_none() && joined.get("messages").is_none(), "{joined}");
}

#[tokio::test]
async fn a_join_with_a_position_brings_exactly_what_was_missed() {
    let hub = hub().await;
    let mut sender = member(&hub).await;
    let epoch = fill(&mut sender, 200).await;
    for since in [150, 199, 200, 0] {
        let joined = join_since(&mut newcomer(&hub).await, &epoch, since).await;
        assert_eq!(joined["recovered"], true, "{since}: {joined}");
        assert_eq!(offsets(&joined["messages"]), (since + 1..=200).collect::<Vec<_>>());
        assert_eq!((&joined["more"], &joined["position"]["offset"]), (&json!(false), &json!(200)));
        assert!(joined.get("snapshot").is_none() && joined.get("reason").is_none());
    }
    // What comes back is what was said.
    let joined = join_since(&mut newcomer(&hub).await, &epoch, 199).await;
    assert_eq!(joined["messages"][0]["text"], "message 200");
    assert_eq!(joined["messages"][0]["type"], "chat.message");
}

#[tokio::test]
async fn a_position_that_is_of_no_use_brings_a_snapshot_and_the_reason() {
    let hub = hub().await;
    let mut sender = member(&hub).await;
    let epoch = fill(&mut sender, HISTORY + 100).await;
    let head = HISTORY + 100;
    for (epoch, since, reason) in [
        ("00000000000000ff", 5, "unknown_epoch"),
        (&*epoch, head + 1, "rebuilt"),
        (&*epoch, 99, "trimmed"),
        (&*epoch, 0, "trimmed"),
    ] {
        let joined = join_since(&mut newcomer(&hub).await, epoch, since).await;
        assert_eq!((&joined["recovered"], &joined["reason"]), (&json!(false), &json!(reason)), "{since}");
        assert_eq!(offsets(&joined["snapshot"]["messages"]), (head - 49..=head).collect::<Vec<_>>());
        assert_eq!(joined["position"]["offset"], head);
        assert!(joined.get("messages").is_none(), "{reason}");
    }
}

#[tokio::test]
async fn who_missed_more_than_one_answer_holds_reads_on_from_there_without_a_hole() {
    let hub = hub().await;
    let mut sender = member(&hub).await;
    let epoch = fill(&mut sender, HISTORY).await;
    let mut client = newcomer(&hub).await;
    let joined = join_since(&mut client, &epoch, 0).await;
    assert_eq!((&joined["recovered"], &joined["more"]), (&json!(true), &json!(true)));
    assert_eq!(joined["position"]["offset"], HISTORY);
    assert!(joined.to_string().len() <= 256 << 10);
    // What is said meanwhile comes live, and is in the pages as well.
    fill(&mut sender, 10).await;
    let mut got = offsets(&joined["messages"]);
    loop {
        let after = json!({"epoch": epoch, "offset": got.last()});
        let page =
            client.request(json!({"type": "history", "group": "lobby", "after": after, "limit": 100})).await;
        got.extend(offsets(&page["messages"]));
        if page["more"] == false {
            break;
        }
        assert_eq!(page["next"], page["messages"][99]["position"]);
    }
    assert!(got.iter().copied().eq(1..=HISTORY + 10), "{got:?}");
    for offset in HISTORY + 1..=HISTORY + 10 {
        assert_eq!(client.message().await.0, offset);
    }
}

#[tokio::test]
async fn each_group_of_a_join_has_its_own_answer() {
    let hub = hub().await;
    let mut client = newcomer(&hub).await;
    let groups = json!([{"group": "garden"}, {"group": "no group"}, {"group": "lobby"}]);
    client.raw_text(&json!({"type": "join", "ref": "three", "groups": groups}).to_string()).await;
    let answers = client.so_far().await;
    let brief: Vec<_> = answers
        .iter()
        .map(|answer| json!([answer["type"], answer["ref"], answer["group"], answer["code"]]))
        .collect();
    let expected = [
        json!(["joined", "three", "garden", null]),
        json!(["error", "three", "no group", "bad_request"]),
        json!(["joined", "three", "lobby", null]),
    ];
    assert_eq!(brief, expected);
    client.send("garden", "in").await;
    client.send("lobby", "in").await;
}

#[tokio::test]
async fn a_second_join_is_answered_in_full_and_messages_still_come_once() {
    let hub = hub().await;
    let mut client = member(&hub).await;
    fill(&mut client, 3).await;
    for _ in 0..3 {
        let again = client.join("lobby").await;
        assert_eq!(offsets(&again["snapshot"]["messages"]), [1, 2, 3]);
    }
    client.send("lobby", "once").await;
    assert_eq!(client.message().await.0, 4);
    assert!(client.so_far().await.is_empty());
    // One leave undoes all of them.
    client.request(json!({"type": "leave", "groups": ["lobby"]})).await;
    let mut other = member(&hub).await;
    other.send("lobby", "unheard").await;
    other.message().await;
    assert!(client.so_far().await.is_empty());
}

#[tokio::test]
async fn a_connection_is_in_two_hundred_groups_and_in_no_more() {
    let hub = hub().await;
    let mut client = newcomer(&hub).await;
    for half in [0, 100] {
        let groups: Vec<_> =
            (half..half + 100).map(|number| json!({"group": format!("g{number}")})).collect();
        client.raw_text(&json!({"type": "join", "ref": "many", "groups": groups}).to_string()).await;
        let answers = client.so_far().await;
        assert_eq!(answers.len(), 100);
        assert!(answers.iter().all(|answer| answer["type"] == "joined"), "{answers:?}");
    }
    let error = client.request(json!({"type": "join", "groups": [{"group": "g200"}]})).await;
    assert_eq!((&error["code"], &error["group"]), (&json!("too_many_groups"), &json!("g200")), "{error}");
    // One that it is in already takes no room, and one that it leaves makes some.
    assert_eq!(client.join("g0").await["type"], "joined");
    let all: Vec<_> = (0..200).map(|number| format!("g{number}")).collect();
    client.raw_text(&json!({"type": "leave", "ref": "all", "groups": all}).to_string()).await;
    assert_eq!(client.so_far().await.len(), 200);
    client.join("g200").await;
}

#[tokio::test]
async fn a_join_of_many_busy_groups_is_answered_in_full() {
    let hub = hub().await;
    let mut sender = newcomer(&hub).await;
    let text = "🌳".repeat(4_000);
    let groups: Vec<_> = (0..10).map(|number| format!("busy-{number}")).collect();
    for group in &groups {
        sender.join(group).await;
        for _ in 0..20 {
            sender.send(group, &text).await;
            sender.message().await;
        }
    }
    // A snapshot holds at most 256 KiB; together they are more than a slow client may leave unread.
    let mut client = newcomer(&hub).await;
    let asked: Vec<_> = groups.iter().map(|group| json!({"group": group})).collect();
    client.raw_text(&json!({"type": "join", "ref": "all", "groups": asked}).to_string()).await;
    for group in &groups {
        let joined = client.expect("joined").await;
        assert_eq!(joined["group"], **group);
        let got = offsets(&joined["snapshot"]["messages"]);
        assert!(got.len() >= 10 && got.last() == Some(&20), "{got:?}");
        assert!(joined.to_string().len() < 300 << 10);
    }
}
