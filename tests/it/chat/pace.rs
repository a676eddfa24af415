//! Edits and deletions have a rate of their own: over it they are refused with the time to wait, and nothing else is.

use palabre_tests::machine::until;
use palabre_tests::{Client, HubProcess};
use serde_json::{Value, json};

use super::{member, send};

fn edit(number: u32, id: &Value) -> Value {
    let client_id = format!("the-edit-{number:04}");
    json!({"type": "chat.edit", "group": "lobby", "id": id, "client_id": client_id, "text": format!("edit {number}")})
}

fn delete(number: u32, id: &Value) -> Value {
    json!({"type": "chat.delete", "group": "lobby", "id": id, "client_id": format!("the-ending-{number:04}")})
}

/// Checks that a request was refused with the time to wait, by a limit that the message names.
fn too_fast(error: &Value, limit: u64, whose: &str) {
    let brief =
        [&error["code"], &error["group"], &error["limit"], &error["window_s"], &error["retry_after_s"]];
    assert_eq!(
        brief,
        [&json!("rate_limited"), &json!("lobby"), &json!(limit), &json!(1), &json!(1)],
        "{error}"
    );
    assert!(error["message"].as_str().is_some_and(|message| message.contains(whose)), "{error}");
    assert!(error["ref"].is_string(), "{error}");
}

#[tokio::test]
async fn who_edits_too_fast_is_refused_and_served_again_after_the_wait() {
    let hub = HubProcess::start_metered(&[]).await;
    let mut ana = member(&hub).await;
    let sent = ana.request(send("the-message", "Hello")).await;
    let mut number = 0;
    let refused = loop {
        number += 1;
        let answer = ana.request(edit(number, &sent["id"])).await;
        if answer["type"] != "ack" {
            break answer;
        }
    };
    assert!((21..30).contains(&number), "20 at once and then one a second, not {number}");
    too_fast(&refused, 1, "connection");
    // A deletion is one more of them, and a message is none.
    too_fast(&ana.request(delete(1, &sent["id"])).await, 1, "connection");
    assert_eq!(ana.send("lobby", "more").await["position"]["offset"], 1 + u64::from(number));
    let page = json!({"type": "history", "group": "lobby", "limit": 10});
    let page = ana.request(page).await;
    assert_eq!(page["messages"][0]["text"], format!("edit {}", number - 1), "what was refused did nothing");
    // What could not be done in any case is refused as such, and takes nothing.
    assert_eq!(ana.request(json!({"type": "chat.edit", "group": "lobby"})).await["code"], "bad_request");
    until("it is served again", async || {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let answer = ana.request(delete(2, &sent["id"])).await;
        (answer["type"] == "ack").then_some(())
    })
    .await;
    let metrics = palabre_tests::http::get(hub.addr(), "/metrics").await;
    let counted = metrics.text().lines().find_map(|line| line.strip_prefix("palabre_ratelimited_total "));
    assert!(counted.is_some_and(|count| count.parse::<u64>().unwrap() >= 2), "{counted:?}");
}

#[tokio::test]
async fn a_user_s_connections_share_their_edits_and_another_user_has_its_own() {
    let settings = ["--set", "limits.edits_burst=3", "--set", "limits.user_edits_burst=5"];
    let hub = HubProcess::start_metered(&settings).await;
    let mut tabs = vec![Client::connect(hub.addr()).await];
    let token = tabs[0].hello("Ana").await["token"].clone();
    let mut second = Client::connect(hub.addr()).await;
    second.request(json!({"type": "hello", "token": token})).await;
    tabs.push(second);
    for tab in &mut tabs {
        tab.join("lobby").await;
    }
    let sent = tabs[0].request(send("the-message", "Hello")).await;
    // Faster than the rate whatever the machine: all are on their way before the first is answered.
    for tab in &mut tabs {
        for number in 0..3 {
            let mut request = delete(number, &json!(format!("{number:032x}")));
            request["ref"] = json!("x");
            tab.raw_text(&request.to_string()).await;
        }
    }
    let mut codes = Vec::new();
    for tab in &mut tabs {
        for _ in 0..3 {
            let error = tab.expect("error").await;
            if error["code"] == "rate_limited" {
                too_fast(&error, 2, "user");
            }
            codes.push(error["code"].clone());
        }
    }
    codes.sort_by_key(ToString::to_string);
    assert_eq!(codes[4..], [json!("not_found"), json!("rate_limited")], "five of six: {codes:?}");

    let mut bo = member(&hub).await;
    assert_eq!(bo.request(edit(1, &sent["id"])).await["code"], "forbidden", "it was looked at");
}
