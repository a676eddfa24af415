//! Who is in a group, as its members see it: one number and one list everywhere, nobody twice, and no ghosts.

mod nodes;

use std::collections::BTreeSet;

use palabre_tests::{Client, HubProcess};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A client that has said hello, with what it needs to be the same again.
async fn guest(hub: &HubProcess, name: &str) -> (Client, Value) {
    let mut client = Client::connect(hub.addr()).await;
    let token = client.hello(name).await["token"].clone();
    (client, token)
}

/// The same guest on another connection.
async fn again(hub: &HubProcess, name: &str, token: &Value) -> Client {
    let mut client = Client::connect(hub.addr()).await;
    let welcome = client.request(json!({"type": "hello", "name": name, "token": token})).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    client
}

async fn member(hub: &HubProcess, name: &str) -> Client {
    let (mut client, _) = guest(hub, name).await;
    client.join("room").await;
    client
}

async fn ask(client: &mut Client) -> Value {
    let answer = client.request(json!({"type": "presence", "group": "room"})).await;
    assert_eq!((&answer["type"], &answer["group"]), (&json!("presence"), &json!("room")), "{answer}");
    answer
}

/// The names in a list of users.
fn names(users: &Value) -> BTreeSet<String> {
    let name = |user: &Value| user["name"].as_str().expect("a name").to_owned();
    users.as_array().into_iter().flatten().map(name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Reads changes until somebody of this name has come; returns all that were told by then.
async fn until_joined(client: &mut Client, name: &str) -> Vec<Value> {
    until(client, |change| names(&change["joined"]).contains(name)).await
}

/// Reads changes until one is this; returns it and those before it.
async fn until(client: &mut Client, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut changes = Vec::new();
    loop {
        let change = client.expect("presence").await;
        let found = is_it(&change);
        changes.push(change);
        if found {
            return changes;
        }
    }
}

/// All names that were told to have gone, and to have come.
fn gone_and_come(changes: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let all = |field: &str| changes.iter().flat_map(|change| names(&change[field])).collect();
    (all("left"), all("joined"))
}

#[tokio::test]
async fn a_joiner_is_in_the_number_and_the_list_that_it_reads_and_the_others_are_told() {
    let hub = HubProcess::start(&[]).await;
    let (mut ana, _) = guest(&hub, "Ana").await;
    assert_eq!(ana.join("room").await["snapshot"]["occupancy"], 1);
    assert_eq!(names(&ask(&mut ana).await["members"]), set(&["Ana"]));
    until_joined(&mut ana, "Ana").await;

    let (mut bo, _) = guest(&hub, "Bo").await;
    assert_eq!(bo.join("room").await["snapshot"]["occupancy"], 2);
    let answer = ask(&mut bo).await;
    assert_eq!((&answer["occupancy"], names(&answer["members"])), (&json!(2), set(&["Ana", "Bo"])));
    let told = ana.expect("presence").await;
    assert_eq!((&told["occupancy"], names(&told["joined"])), (&json!(2), set(&["Bo"])), "{told}");
    assert!(told.get("left").is_none(), "{told}");

    bo.request(json!({"type": "leave", "groups": ["room"]})).await;
    let told = ana.expect("presence").await;
    assert_eq!((&told["occupancy"], names(&told["left"])), (&json!(1), set(&["Bo"])), "{told}");
    let refused = bo.request(json!({"type": "presence", "group": "room"})).await;
    assert_eq!(refused["code"], "not_joined");
    assert!(bo.so_far().await.is_empty());
}

#[tokio::test]
async fn two_tabs_are_one_member_and_a_reload_shows_nothing() {
    let hub = HubProcess::start(&[]).await;
    let mut bo = member(&hub, "Bo").await;
    let (mut tab, token) = guest(&hub, "Ana").await;
    tab.join("room").await;
    until_joined(&mut bo, "Ana").await;
    let mut other_tab = again(&hub, "Ana", &token).await;
    assert_eq!(other_tab.join("room").await["snapshot"]["occupancy"], 2);
    // A second join of the same connection is no second entrance either.
    other_tab.join("room").await;
    drop(tab);
    let mut cy = member(&hub, "Cy").await;
    let (gone, come) = gone_and_come(&until_joined(&mut bo, "Cy").await);
    assert_eq!((gone, come), (set(&[]), set(&["Cy"])));

    drop(other_tab);
    let mut reloaded = again(&hub, "Ana", &token).await;
    reloaded.join("room").await;
    let _di = member(&hub, "Di").await;
    let (gone, come) = gone_and_come(&until_joined(&mut bo, "Di").await);
    assert_eq!((gone, come), (set(&[]), set(&["Di"])));
    assert_eq!(ask(&mut cy).await["occupancy"], 4);

    drop(reloaded);
    until(&mut bo, |change| names(&change["left"]).contains("Ana")).await;
    assert_eq!(names(&ask(&mut cy).await["members"]), set(&["Bo", "Cy", "Di"]));
}

#[tokio::test]
async fn a_crowd_that_comes_and_goes_is_told_of_at_most_once_a_second() {
    let hub = HubProcess::start(&[]).await;
    let mut first = member(&hub, "first").await;
    until_joined(&mut first, "first").await;
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..100 {
        crowd.push(member(&hub, &format!("m{number}")).await);
        if number % 3 == 0 {
            // It flaps.
            drop(member(&hub, &format!("f{number}")).await);
        }
    }
    let mut seen = BTreeSet::new();
    let mut frames = 0;
    while (0..100).any(|number| !seen.contains(&format!("m{number}"))) {
        let change = first.expect("presence").await;
        seen.extend(names(&change["joined"]));
        frames += 1;
    }
    let seconds = begun.elapsed().as_secs() + 2;
    assert!(frames <= seconds, "{frames} frames in {seconds} s");
}

#[tokio::test]
async fn of_more_than_500_members_there_is_a_number_and_no_list() {
    let hub = HubProcess::start(&[]).await;
    let mut first = member(&hub, "first").await;
    let mut crowd = Vec::new();
    for number in 0..500 {
        crowd.push(member(&hub, &format!("m{number}")).await);
    }
    let answer = ask(&mut first).await;
    assert_eq!(answer["occupancy"], 501);
    assert!(answer.get("members").is_none(), "{}", answer["occupancy"]);
    drop(crowd.split_off(10));
    // Whoever lost count asks again, and is told everybody.
    until(&mut first, |change| change["occupancy"] == 11).await;
    let answer = ask(&mut first).await;
    assert_eq!((&answer["occupancy"], names(&answer["members"]).len()), (&json!(11), 11));
}

#[tokio::test]
async fn whoever_vanishes_at_whatever_moment_is_no_ghost() {
    let hub = HubProcess::start(&[]).await;
    let mut stays = member(&hub, "stays").await;
    for round in 0..60 {
        let (mut client, _) = guest(&hub, &format!("c{round}")).await;
        let join = json!({"type": "join", "ref": "j", "groups": [{"group": "room"}, {"group": "other"}]});
        let leave = json!({"type": "leave", "ref": "l", "groups": ["room"]});
        // Gone before, amid or after its requests are handled: no answer is waited for.
        for number in 0..round % 4 {
            client.raw_text(&if number % 2 == 0 { &join } else { &leave }.to_string()).await;
        }
        if round % 5 == 0 {
            client.so_far().await;
        }
    }
    palabre_tests::machine::until("everybody but one is gone", async || {
        (ask(&mut stays).await["occupancy"] == 1).then_some(())
    })
    .await;
    assert_eq!(names(&ask(&mut stays).await["members"]), set(&["stays"]));
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused_by_its_field() {
    let hub = HubProcess::start(&[]).await;
    let mut client = member(&hub, "Ana").await;
    for (request, code) in [
        (json!({"type": "presence", "group": "a b"}), "bad_request"),
        (json!({"type": "presence", "group": "elsewhere"}), "not_joined"),
        (json!({"type": "presence"}), "bad_request"),
        (json!({"type": "presence", "group": "room", "more": 1}), "bad_request"),
    ] {
        let error = client.request(request.clone()).await;
        let group = request["group"].as_str().filter(|_| request.get("more").is_none());
        assert_eq!((&error["code"], &error["group"]), (&json!(code), &json!(group)), "{request}: {error}");
    }
}

#[tokio::test]
async fn a_hub_that_is_told_so_says_nothing_of_its_members() {
    let hub = HubProcess::start(&["--set", "presence.enabled=false"]).await;
    let mut client = Client::connect(hub.addr()).await;
    assert_eq!(client.hello("Ana").await["features"], json!([]));
    assert!(client.join("room").await["snapshot"].get("occupancy").is_none());
    let error = client.request(json!({"type": "presence", "group": "room"})).await;
    assert_eq!(error["code"], "unknown_type", "{error}");
}
