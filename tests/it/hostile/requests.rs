//! Texts that are no requests, a row each with the code of their refusal; after each the connection goes on.
//!
//! The golden texts in `protocol/frames/bad` are tried elsewhere, one by one; these are the ones that want to cost something,
//! or to be understood by one reader and not by another.

use palabre_tests::bystander::undisturbed;
use palabre_tests::{Client, HubProcess};
use serde_json::{Value, json};

struct Row {
    what: &'static str,
    text: String,
    /// The code of the error, or the type of the answer where it is a request after all.
    answer: &'static str,
}

fn row(what: &'static str, answer: &'static str, text: impl Into<String>) -> Row {
    Row { what, text: text.into(), answer }
}

/// A chat.send with this as the text of its field `data`.
fn data(data: &str) -> String {
    let head = r#"{"type":"chat.send","ref":"r","group":"lobby","client_id":"12345678","text":"t","data":"#;
    format!("{head}{data}}}")
}

fn numbered(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(",")
}

fn wide_and_deep() -> Vec<Row> {
    let wide = numbered(6_000, |number| format!("\"f{number}\":0"));
    let same = numbered(9_000, |_| "\"a\":0".to_owned());
    let groups = numbered(2_000, |number| format!("{{\"group\":\"g{number}\"}}"));
    vec![
        row("6,000 fields", "bad_request", format!("{{\"type\":\"x\",{wide}}}")),
        row("6,000 fields of data", "ack", data(&format!("{{{wide}}}"))),
        row("one field 9,000 times", "bad_request", format!("{{\"type\":\"x\",{same}}}")),
        row(
            "a list of 30,000 in data",
            "conflict",
            data(&format!("[{}]", numbered(30_000, |_| "0".to_owned()))),
        ),
        row(
            "2,000 groups in a join",
            "bad_request",
            format!(r#"{{"type":"join","ref":"r","groups":[{groups}]}}"#),
        ),
        row("33 levels", "too_deep", data(&format!("{}{}", "[".repeat(32), "]".repeat(32)))),
        row("30,000 lists", "too_deep", data(&format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)))),
        row(
            "10,000 objects",
            "too_deep",
            data(&format!("{}0{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))),
        ),
        row("60,000 lists that never end", "bad_json", "[".repeat(60_000)),
        row("10,000 objects that never end", "bad_json", "{\"a\":".repeat(10_000)),
        row("60,000 spaces", "bad_json", " ".repeat(60_000)),
        row("60,000 commas", "bad_json", ",".repeat(60_000)),
        row("60,000 backslashes", "bad_json", format!("\"{}\"", "\\".repeat(60_001))),
        row("60,000 quotes", "bad_json", "\"".repeat(60_000)),
    ]
}

fn numbers() -> Vec<Row> {
    let join = |offset: &str| {
        format!(
            r#"{{"type":"join","ref":"r","groups":[{{"group":"lobby","since":{{"epoch":"9f2c41d07ab35e68","offset":{offset}}}}}]}}"#
        )
    };
    vec![
        row("a number of 60,000 digits", "bad_request", join(&"9".repeat(60_000))),
        row("1e400", "bad_request", join("1e400")),
        row("1e-400", "bad_request", join("1e-400")),
        row("-0.0", "bad_request", join("-0.0")),
        row("2^63", "bad_request", join("9223372036854775808")),
        row("2^64", "bad_request", join("18446744073709551616")),
        row("NaN", "bad_json", join("NaN")),
        row("Infinity", "bad_json", join("Infinity")),
        row("hexadecimal", "bad_json", join("0x10")),
        row("a leading zero", "bad_json", join("01")),
        row("a plus", "bad_json", join("+1")),
        row("an exponent without digits", "bad_json", join("1e")),
    ]
}

fn texts() -> Vec<Row> {
    let send = |text: &str| {
        format!(r#"{{"type":"chat.send","ref":"r","group":"lobby","client_id":"abcdefgh","text":{text}}}"#)
    };
    vec![
        row("half a pair", "bad_request", send(r#""\ud800""#)),
        row("the other half", "bad_request", send(r#""\udc00""#)),
        row("two first halves", "bad_request", send(r#""\ud800\ud800""#)),
        row("an escape that is cut", "bad_json", send(r#""\u12""#)),
        row("an escape of nothing", "bad_json", send(r#""\x41""#)),
        row("a raw NUL", "bad_json", send("\"a\0b\"")),
        row("a raw line break", "bad_json", send("\"a\nb\"")),
        row("4,001 characters", "too_large", send(&format!("\"{}\"", "a".repeat(4_001)))),
        row("4,001 escapes", "too_large", send(&format!("\"{}\"", "\\u0041".repeat(4_001)))),
        row("a NUL in a type", "unknown_type", r#"{"type":"chat.send\u0000","ref":"r"}"#),
        row("a line break in a type", "unknown_type", r#"{"type":"x\n2026 INFO all is well","ref":"r"}"#),
        row("colours in a type", "unknown_type", r#"{"type":"\u001b[31mred","ref":"r"}"#),
        row("a type in disguise", "unknown_type", "{\"type\":\"chat.s\u{435}nd\",\"ref\":\"r\"}"),
    ]
}

fn shapes() -> Vec<Row> {
    vec![
        row("nothing", "bad_json", ""),
        row("a list of requests", "bad_request", r#"[{"type":"ping"},{"type":"ping"}]"#),
        row("two requests", "bad_json", r#"{"type":"ping"}{"type":"ping"}"#),
        row("a request and a half", "bad_json", r#"{"type":"ping"},{"#),
        row("a text", "bad_request", r#""{\"type\":\"ping\"}""#),
        row("true", "bad_request", "true"),
        row("no type", "bad_request", r#"{"ref":"r"}"#),
        row("a type twice", "bad_request", r#"{"type":"join","type":"ping","ref":"r"}"#),
        row("a type twice, once escaped", "bad_request", r#"{"type":"join","t\u0079pe":"ping","ref":"r"}"#),
        row("a type of a list", "bad_request", r#"{"type":["ping"],"ref":"r"}"#),
        row(
            "the field that makes prototypes",
            "bad_request",
            r#"{"type":"leave","ref":"r","groups":["a"],"__proto__":{}}"#,
        ),
        row("a word of the hub's", "unknown_type", r#"{"type":"welcome","ref":"r"}"#),
        row("a word of the hub's for drains", "unknown_type", r#"{"type":"drain","ref":"r"}"#),
        row("only a prefix", "unknown_type", r#"{"type":"chat.","ref":"r"}"#),
        row(
            "a send without its group",
            "bad_request",
            r#"{"type":"chat.send","ref":"r","client_id":"12345678","text":"t"}"#,
        ),
        row(
            "a send with a field too many",
            "bad_request",
            r#"{"type":"chat.send","ref":"r","group":"lobby","client_id":"12345678","text":"t","id":"x"}"#,
        ),
        row(
            "a send with somebody else's name",
            "bad_request",
            r#"{"type":"chat.send","ref":"r","group":"lobby","client_id":"12345678","text":"t","user":{"id":"g-1"}}"#,
        ),
        row(
            "a send into a group of others",
            "not_joined",
            r#"{"type":"chat.send","ref":"r","group":"quiet","client_id":"12345678","text":"t"}"#,
        ),
        row(
            "a client_id with a path",
            "bad_request",
            r#"{"type":"chat.send","ref":"r","group":"lobby","client_id":"../../../etc","text":"t"}"#,
        ),
        row("a second hello", "bad_request", r#"{"type":"hello","ref":"r"}"#),
    ]
}

#[tokio::test]
async fn every_text_that_is_no_request_is_refused_with_its_code_and_the_connection_goes_on() {
    let rows: Vec<Row> = [wide_and_deep(), numbers(), texts(), shapes()].into_iter().flatten().collect();
    assert!(rows.len() >= 50, "{} rows", rows.len());
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("Mallory").await;
        client.join("lobby").await;
        for Row { what, text, answer } in &rows {
            client.raw_text(text).await;
            let said = client.so_far().await;
            let fits = |frame: &Value| frame["type"] == *answer || frame["code"] == *answer;
            assert!(said.iter().any(fits), "{what}: {answer} is not in {said:?}");
            let errors = said.iter().filter(|frame| frame["type"] == "error").count();
            assert!(errors <= 1, "{what}: {said:?}");
            assert!(said.iter().all(|frame| frame.to_string().len() < 70_000), "{what}");
        }
    })
    .await;
    let log = hub.stderr();
    assert!(!log.contains("panicked") && !log.contains("all is well") && !log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_more_than_a_message_may_have() {
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("Mallory").await;
        let keys: serde_json::Map<_, _> = (0..100_000).map(|key| (format!("k{key}"), json!(0))).collect();
        client.raw_text(&json!({"type": "x", "data": keys}).to_string()).await;
        assert_eq!(client.closed().await, 1009);
    })
    .await;
}
