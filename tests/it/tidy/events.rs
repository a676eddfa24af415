//! The log's events as the code has them and as the document lists them.

use std::collections::BTreeSet;

use super::source::{read, sources};

/// The events with their levels in a piece of code: `tracing::warn!(… event = "a.b" …)`.
fn events(code: &str) -> BTreeSet<(String, String)> {
    let calls = code.split("tracing::").skip(1).filter_map(|call| {
        let (level, rest) = call.split_once("!(")?;
        let is_level = ["error", "warn", "info"].contains(&level);
        let (_, event) = rest.split_once("event = \"").filter(|(before, _)| before.trim().is_empty())?;
        is_level.then(|| (event.split('"').next().unwrap_or_default().to_owned(), level.to_uppercase()))
    });
    calls.collect()
}

#[test]
fn every_event_stands_in_the_document_with_its_level_and_nothing_else_does() {
    let code = ["server/src", "channel-layer/src"].map(|folder| sources(folder, ".rs"));
    let code: BTreeSet<_> = code.iter().flatten().flat_map(|file| events(&file.code())).collect();
    let document = read("docs/observing.md");
    let (_, table) = document.split_once("| event | level |").expect("the table of events");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let listed: BTreeSet<_> = rows
        .map(|row| {
            let mut cells = row.split(" | ");
            let event = cells.next().unwrap_or_default().trim_start_matches("| ").trim_matches('`');
            (event.to_owned(), cells.next().unwrap_or_default().to_owned())
        })
        .collect();
    let unlisted: Vec<_> = code.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&code).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "not in docs/observing.md: {unlisted:?}; only there: {stale:?}"
    );
}

#[test]
fn an_event_is_found_with_its_level() {
    let code = "tracing::warn!(event = \"a.b\", x);\ntracing::error!(\n    event = \"c\",\n);\ntracing::debug!(event = \"d\");";
    let expected =
        [("a.b", "WARN"), ("c", "ERROR")].map(|(event, level)| (event.to_owned(), level.to_owned()));
    assert_eq!(events(code), BTreeSet::from(expected));
}
