//! Which module may name which, in the server and in the layer.
//!
//! The tables are the architecture's arrows; a module that is in none of them is asked for its place.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, expand, is_ident, line_at, named};

/// The server's modules on the way of a message: each may name those after it.
const CHAIN: &[&str] =
    &["cli", "testing", "http", "hub", "pool", "listen", "connection", "consumer", "worker", "socket"];
/// What everybody in the server may name, and what names nothing of it.
const LEAVES: &[&str] = &["config", "descriptors", "observe", "position", "state", "standing"];
/// What is mounted on a hub like anybody's own: may name `consumer`, is named by [`NAMES_APPLICATIONS`] alone.
const APPLICATIONS: &[&str] = &["chat", "polls", "people", "outward"];
const NAMES_APPLICATIONS: &[&str] = &["server/src/cli/serve.rs", "server/src/http/", "server/src/testing/"];
/// Steps of start and end: may name the leaves and what is listed.
const STEPS: &[(&str, &[&str])] = &[("layers", &[]), ("drain", &["hub"])];
const NAMES_STEPS: &[&str] = &["cli", "http", "hub"];
/// Single things that everybody may name, wherever they are.
const FREE: &[(&str, &str)] = &[(
    "listen::handshake::Handshake",
    "a plain value: what a gate and a consumer are told of the client's request",
)];

/// The layer's types: everybody in the layer may name them, they name each other only.
const TYPES: &[&str] = &[
    "name", "position", "message", "amend", "bounds", "delivery", "gap", "history", "member", "state",
    "report", "error",
];
/// What the layer's other modules may name besides. `redis` and `resilient` never meet; a mailbox leaves its groups when
/// it is dropped, so it knows the registry that holds it.
const LAYER: &[(&str, &[&str])] = &[
    ("layer", &["mailbox", "presence"]),
    ("presence", &["layer"]),
    ("resilient", &["relay", "registry", "layer", "mailbox", "presence"]),
    ("relay", &["layer", "envelope", "presence"]),
    ("envelope", &[]),
    ("redis", &["relay", "envelope", "layer", "presence"]),
    ("memory", &["registry", "layer", "mailbox", "presence"]),
    ("registry", &["mailbox"]),
    ("mailbox", &["registry"]),
    ("conformance", &["layer", "relay", "mailbox", "presence"]),
];

/// What the root of a crate hands on, by its name there: `Hub` is `hub::Hub`.
fn handed_on(root: &Source) -> BTreeMap<String, String> {
    let code = root.code();
    let uses = code.match_indices("use ").filter(|&(at, _)| !code[..at].ends_with(is_ident));
    uses.flat_map(|(at, start)| {
        let path = code[at + start.len()..].trim_start_matches("crate::").trim_start_matches("self::");
        expand(path)
    })
    .filter_map(|path| Some((path.rsplit("::").next()?.to_owned(), path)))
    .collect()
}

/// Why a module of the server may not name another, if so.
pub(super) fn server_rule(file: &str, from: &str, to: &str) -> Option<&'static str> {
    let place = |name| CHAIN.iter().position(|one| *one == name);
    let step = |name| STEPS.iter().find(|(one, _)| *one == name);
    let is_known = |name| {
        place(name).is_some()
            || step(name).is_some()
            || LEAVES.contains(&name)
            || APPLICATIONS.contains(&name)
    };
    if !is_known(from) || !is_known(to) {
        Some("this module has no place yet in tests/it/tidy.rs")
    } else if LEAVES.contains(&from) {
        Some("a leaf names nothing of the server")
    } else if LEAVES.contains(&to) {
        None
    } else if APPLICATIONS.contains(&to) {
        let may = NAMES_APPLICATIONS.iter().any(|start| file.starts_with(start));
        (!may).then_some("only cli/serve and http name what is mounted on a hub")
    } else if APPLICATIONS.contains(&from) {
        (to != "consumer").then_some("what is mounted on a hub names only consumer")
    } else if step(to).is_some() {
        (!NAMES_STEPS.contains(&from)).then_some("only cli, http and hub start and end the hub")
    } else if let Some((_, others)) = step(from) {
        (!others.contains(&to)).then_some("a step of start or end names only what is listed")
    } else {
        (place(from) > place(to)).then_some("imports point along the way of a message, never back")
    }
}

/// Why a module of the layer may not name another, if so.
pub(super) fn layer_rule(_file: &str, from: &str, to: &str) -> Option<&'static str> {
    if TYPES.contains(&to) {
        return None;
    }
    if TYPES.contains(&from) {
        return Some("a type of the layer names only types");
    }
    match LAYER.iter().find(|(one, _)| *one == from) {
        None => Some("this module has no place yet in tests/it/tidy.rs"),
        Some((_, others)) => (!others.contains(&to)).then_some("this arrow is not in tests/it/tidy.rs"),
    }
}

/// Every name in a crate that its rule forbids.
pub(super) fn arrows(files: &[Source], rule: fn(&str, &str, &str) -> Option<&'static str>) -> Vec<String> {
    let modules: BTreeSet<&str> = files.iter().filter_map(Source::module).collect();
    let root = files.iter().find(|file| file.path.ends_with("src/lib.rs")).map(handed_on).unwrap_or_default();
    let mut violations = Vec::new();
    for file in files {
        let Some(from) = file.module() else { continue };
        let code = file.code();
        for (line, path) in named(&code) {
            let first = path.split("::").next().unwrap_or_default();
            let path = if modules.contains(first) { &path } else { root.get(first).unwrap_or(&path) };
            let to = path.split("::").next().unwrap_or_default();
            // What is neither a module nor handed on is an item of the root itself.
            if to == from || !modules.contains(to) || FREE.iter().any(|(free, _)| free == path) {
                continue;
            }
            if let Some(why) = rule(&file.path, from, to) {
                violations.push(file.broken(line, format!("{from} names crate::{path}: {why}")));
            }
        }
        // From a module's own file the parent is the root, where the rules above do not look.
        let depth =
            file.path.split("/src/").nth(1).unwrap_or_default().replace("/mod.rs", "").matches('/').count();
        let too_far = "super::".repeat(depth + 1);
        violations.extend(
            code.match_indices(&too_far)
                .map(|(at, _)| file.broken(line_at(&code, at), "say crate::, so that the arrow is seen")),
        );
    }
    violations
}

/// The rules themselves, on code that breaks them.
#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// Violations in one file of the server, whose root hands on the hub.
    fn in_server(path: &str, text: &str) -> usize {
        let modules = ["hub", "worker", "config", "consumer", "chat", "people", "listen", "cli", "unheard"];
        let mut files: Vec<_> = modules.map(|name| source(&format!("server/src/{name}.rs"), "//! x")).into();
        files.push(source(
            "server/src/lib.rs",
            "pub use hub::{Hub, HubBuilder};\npub use listen::handshake::Handshake;",
        ));
        files.push(source(path, text));
        arrows(&files, server_rule).len()
    }

    #[test]
    fn an_arrow_that_points_back_is_seen_in_every_spelling() {
        for text in [
            "use crate::hub::Hub;",
            "use crate::{\n    config::Secret,\n    hub::{Hub},\n};",
            "fn f() { crate::hub::start() }",
            "use crate::Hub;",
            "pub(crate) use crate::{Hub};",
        ] {
            assert_eq!(in_server("server/src/worker/rooms.rs", text), 1, "{text}");
            assert_eq!(in_server("server/src/cli/mod.rs", text), 0, "{text}");
        }
        assert_eq!(in_server("server/src/worker/mod.rs", "use super::hub::Hub;"), 1);
        assert_eq!(in_server("server/src/worker/rooms.rs", "use super::Worker;"), 0);
        assert_eq!(in_server("server/src/worker/rooms.rs", "use super::super::hub::Hub;"), 1);
    }

    #[test]
    fn comments_tests_and_what_is_free_are_no_arrows() {
        for text in [
            "// use crate::hub::Hub;",
            "/// See [`crate::hub`].",
            "x\n#[cfg(test)]\nmod tests {\n    use crate::hub::Hub;\n}",
            "use crate::Handshake;",
            "use crate::listen::handshake::Handshake;",
            "fn f() { crate::random() }",
        ] {
            assert_eq!(in_server("server/src/worker/rooms.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn applications_leaves_and_strangers_keep_their_places() {
        for (path, text, violations) in [
            ("server/src/chat/post.rs", "use crate::{consumer::Context, config::Secret};", 0),
            ("server/src/chat/post.rs", "use crate::people::guest;", 1),
            ("server/src/chat/post.rs", "use crate::worker::Worker;", 1),
            ("server/src/hub.rs", "use crate::chat::Chat;", 1),
            ("server/src/cli/serve.rs", "use crate::{chat::Chat, people::Guests};", 0),
            ("server/src/cli/mod.rs", "use crate::chat::Chat;", 1),
            ("server/src/config/mod.rs", "use crate::hub::Hub;", 1),
            ("server/src/unheard.rs", "use crate::hub::Hub;", 1),
        ] {
            assert_eq!(in_server(path, text), violations, "{path}: {text}");
        }
    }

    #[test]
    fn redis_and_resilient_never_meet() {
        assert!(
            layer_rule("", "redis", "resilient").is_some() && layer_rule("", "resilient", "redis").is_some()
        );
        assert!(
            layer_rule("", "resilient", "relay").is_none() && layer_rule("", "name", "registry").is_some()
        );
    }
}
