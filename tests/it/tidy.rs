//! The structure of the repository, read from its files: who may name whom, and what must stand beside what.
//!
//! ARCHITECTURE.md says why; this only sees that it stays so. It reads text, not types: it knows `crate::` paths, comments
//! and where a file's tests begin, and leaves alone what tests do. A violation names its file, its line and the rule. When
//! a rule is in the way of clearer code, change the rule, here, with its reason.

mod arrows;
mod events;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use channel_layer::conformance::Rule;
use palabre_protocol::{CloseCode, ErrorCode};

use self::arrows::{arrows, layer_rule, server_rule};
use self::source::{Source, is_ident, line_at, read, sources};

/// Files longer than [`LINES_MAX`] without their tests, each with its reason.
const LONG: &[(&str, &str)] = &[(
    "channel-layer/src/resilient/core.rs",
    "one state machine: each event and what it leads to; what it is made of stands in files of its own",
)];
const LINES_MAX: usize = 300;

/// Where something is spawned that is no task on a tracker.
const SPAWNS: &[(&str, &str)] = &[
    (
        "server/src/consumer/apart.rs",
        "application code, which its connection waits for as long as it has time, and answers of the layer",
    ),
    ("server/src/consumer/lane.rs", "its steps, on threads that nobody waits for"),
    ("server/src/pool/entrance.rs", "the workers' threads, which the end of the hub waits for"),
    ("server/src/pool/watchdog.rs", "the thread that looks at them, which ends with the pool"),
];

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Uses of an outside crate in files where it has no business.
fn outside(file: &Source, name: &str, may: &[&str]) -> Vec<String> {
    if may.iter().any(|start| file.path.starts_with(start)) {
        return Vec::new();
    }
    let code = file.code();
    let path = format!("{name}::");
    let places = code.match_indices(&path).filter(|&(at, _)| {
        // `a::redis::` is a module of ours; `::redis::` and `redis::` are the crate.
        let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
        !before.ends_with(is_ident)
    });
    places
        .map(|(at, _)| file.broken(line_at(&code, at), format!("{path} only in {}", may.join(" and "))))
        .collect()
}

/// Tasks that nobody waits for.
fn untracked(file: &Source) -> Vec<String> {
    if SPAWNS.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let code = file.code();
    let spawns = code.match_indices("spawn").filter(|&(at, word)| {
        let before = code[..at].trim_end();
        let rest = code[at + word.len()..].trim_start_matches(is_ident);
        let is_call =
            rest.starts_with(['(', ':']) && !code[..at].ends_with(is_ident) && !before.ends_with("fn");
        let owner = before.strip_suffix('.').map(|owner| owner.trim_end().trim_end_matches("()"));
        is_call && !owner.is_some_and(|owner| owner.ends_with("tasks") || owner.ends_with("tracker"))
    });
    spawns
        .map(|(at, _)| file.broken(line_at(&code, at), "spawn on something named tasks or tracker"))
        .collect()
}

#[test]
fn imports_in_the_server_point_one_way() {
    assert_none(&arrows(&sources("server/src", ".rs"), server_rule));
}

#[test]
fn imports_in_the_layer_point_one_way() {
    assert_none(&arrows(&sources("channel-layer/src", ".rs"), layer_rule));
}

#[test]
fn an_outside_crate_is_named_only_where_its_business_is() {
    let ours = ["server/src", "channel-layer/src", "protocol/src"].map(|folder| sources(folder, ".rs"));
    let mut violations = Vec::new();
    for file in ours.iter().flatten() {
        violations.extend(outside(file, "redis", &["channel-layer/src/redis/"]));
        // It ends sockets by number, which is right under the lock there and nowhere else.
        violations.extend(outside(file, "nix", &["server/src/socket/roll.rs"]));
        violations.extend(outside(
            file,
            "tungstenite",
            &["server/src/connection/", "server/src/listen/handshake.rs", "server/src/testing/"],
        ));
    }
    assert_none(&violations);
}

#[test]
fn every_task_has_an_owner_that_waits_for_it() {
    let ours = ["server/src", "channel-layer/src"].map(|folder| sources(folder, ".rs"));
    assert_none(&ours.iter().flatten().flat_map(untracked).collect::<Vec<_>>());
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let files = sources(".", ".rs");
    let bare = files.iter().filter(|file| !file.text.starts_with("//! "));
    assert_none(
        &bare.map(|file| file.broken(1, "a file opens with //! and what it is for")).collect::<Vec<_>>(),
    );
}

#[test]
fn a_long_file_has_a_reason() {
    let long: BTreeMap<String, usize> = sources(".", ".rs")
        .into_iter()
        .map(|file| {
            (
                file.path.clone(),
                file.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or("").lines().count(),
            )
        })
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    let unlisted = long.iter().filter(|(path, _)| !LONG.iter().any(|(listed, _)| listed == path));
    let unlisted = unlisted
        .map(|(path, lines)| format!("{path}:{lines}: over {LINES_MAX} lines: split it, or list it in LONG"));
    let stale = LONG.iter().filter(|(path, _)| !long.contains_key(*path));
    let stale = stale.map(|(path, _)| format!("{path}:1: listed in LONG and not long any more"));
    assert_none(&unlisted.chain(stale).collect::<Vec<_>>());
}

#[test]
fn every_code_stands_in_the_protocol_s_document() {
    let document = read("docs/protocol.md");
    let codes = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned());
    let closes = CloseCode::ALL.iter().map(|code| code.code().to_string());
    let words: BTreeSet<&str> = document.split(|letter| !is_ident(letter)).collect();
    let missing = codes.chain(closes).filter(|code| !words.contains(code.as_str()));
    assert_none(
        &missing.map(|code| format!("docs/protocol.md:1: the code {code} is missing")).collect::<Vec<_>>(),
    );
}

#[test]
fn every_rule_of_the_suite_stands_in_the_layer_s_document_and_has_a_case() {
    let document = read("docs/channel-layer-spec.md");
    let cases = sources("channel-layer/src/conformance", ".rs");
    let mut violations = Vec::new();
    for Rule { number, .. } in channel_layer::conformance::RULES {
        if document.matches(&format!("({number})")).count() != 1 {
            violations.push(format!("docs/channel-layer-spec.md:1: ({number}) stands there once"));
        }
        // Once in the imports, and where it is looked at.
        let names_it = |file: &Source| {
            file.code().split(|letter| !is_ident(letter)).filter(|word| word == number).count() > 1
        };
        if !cases.iter().filter(|file| !file.path.ends_with("rules.rs")).any(names_it) {
            violations.push(format!("channel-layer/src/conformance/rules.rs:1: {number} has no case"));
        }
    }
    assert_none(&violations);
}

#[test]
fn every_setting_stands_in_the_example_file_with_its_default() {
    let file = read("config.toml");
    let mut missing = Vec::new();
    for setting in palabre::config::defaults() {
        let (section, name) = setting.key.rsplit_once('.').expect("a setting has a section");
        let body = file.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_default();
        let body = body.split("\n[").next().unwrap_or_default();
        let start = format!("{name} = ");
        let stands = match &setting.value {
            Some(value) => body.lines().any(|line| line.strip_prefix(&start) == Some(value)),
            None => {
                body.lines().any(|line| line.strip_prefix("# ").is_some_and(|rest| rest.starts_with(&start)))
            }
        };
        if !stands {
            missing.push(match setting.value {
                Some(value) => format!("config.toml:1: under [{section}], `{name} = {value}` is missing"),
                None => format!("config.toml:1: under [{section}], `# {name} = ` is missing"),
            });
        }
    }
    assert_none(&missing);
}

#[test]
fn every_module_stands_in_the_map_of_the_architecture() {
    let map = read("ARCHITECTURE.md");
    let mut missing = Vec::new();
    for root in ["server/src/lib.rs", "channel-layer/src/lib.rs"] {
        let root = Source { path: root.to_owned(), text: read(root) };
        for (at, line) in root.code().lines().enumerate() {
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) else {
                continue;
            };
            let stands = [format!("`{name}`"), format!("{name}/"), format!("{name}.rs")]
                .iter()
                .any(|word| map.match_indices(word.as_str()).any(|(at, _)| !map[..at].ends_with(is_ident)));
            if !stands {
                missing.push(root.broken(at + 1, format!("mod {name} is not in ARCHITECTURE.md")));
            }
        }
    }
    assert_none(&missing);
}

#[test]
fn the_check_that_the_readme_shows_is_the_one_that_ci_runs() {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(2).expect("the README has a second block of commands");
    let (block, _) = block.split_once("```").expect("the block ends");
    let script = read(".ci/run");
    let missing = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let missing = missing.filter(|line| *line != ".ci/run" && !script.lines().any(|one| one.trim() == *line));
    assert_none(
        &missing
            .map(|line| format!(".ci/run:1: does not run `{line}`, which README.md shows"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_script_is_named_by_code_that_runs_it() {
    let rust = sources(".", ".rs");
    let unused = sources(".", ".lua").into_iter().filter(|script| {
        let name = script.path.rsplit('/').next().unwrap_or_default();
        !rust.iter().any(|file| file.text.contains(name))
    });
    assert_none(&unused.map(|script| script.broken(1, "no .rs file names this script")).collect::<Vec<_>>());
}

/// The rules themselves, on code that breaks them.
#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn an_outside_crate_is_told_from_a_module_of_its_name() {
        let found = |text| outside(&source("server/src/layers.rs", text), "redis", &["elsewhere"]).len();
        assert_eq!(found("use redis::Client;\nuse ::redis::Cmd;\nlet x = redis::cmd();"), 3);
        assert_eq!(
            found("use crate::redis::A;\nuse channel_layer::redis::B; // redis::C\nlet x = my_redis::D;"),
            0
        );
        assert!(outside(&source("elsewhere/a.rs", "use redis::A;"), "redis", &["elsewhere"]).is_empty());
    }

    #[test]
    fn a_task_without_an_owner_is_seen() {
        let found = |text| untracked(&source("server/src/a.rs", text)).len();
        for text in [
            "tokio::spawn(x)",
            "tokio::task::spawn_local(x)",
            "set.spawn(x)",
            "spawn_blocking(f)",
            "a.spawn::<T>(x)",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
        for text in [
            "tasks.spawn(x)",
            "self.tracker\n    .spawn_local(x)",
            "self.tasks().spawn(x)",
            "fn spawn(x: T) {}",
            "respawn(x)",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
