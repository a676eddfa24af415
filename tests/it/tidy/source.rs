//! The repository's files as text, and what can be read from it without a parser: code without comments and tests, and
//! the paths that it names.

use std::fs;
use std::path::Path;

/// One file, by its path from the repository's top.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The text before the tests, without comments; lines keep their numbers.
    pub(super) fn code(&self) -> String {
        let text = self.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        // A `//` inside a string goes as well, with the rest of its line: no rule looks there.
        text.lines().flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"]).collect()
    }

    /// The top-level module that the file belongs to; none for `lib.rs` and `main.rs`.
    pub(super) fn module(&self) -> Option<&str> {
        let first = self.path.split("/src/").nth(1)?.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib" && name != "main").then_some(name)
    }

    pub(super) fn broken(&self, line: usize, rule: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, rule.as_ref())
    }
}

pub(super) fn read(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(top).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder of the repository that end so, sorted; what is built or installed is not ours.
pub(super) fn sources(folder: &str, ending: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names: Vec<_> = fs::read_dir(top.join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| {
            entry.expect("a folder can be listed").file_name().into_string().expect("names are UTF-8")
        })
        .filter(|name| !name.starts_with('.') && name != "target" && name != "node_modules")
        .collect();
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let path = if folder == "." { name } else { format!("{folder}/{name}") };
        if top.join(&path).is_dir() {
            found.extend(sources(&path, ending));
        } else if path.ends_with(ending) {
            found.push(Source { text: read(&path), path });
        }
    }
    found
}

pub(super) fn is_ident(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The line of a place in a text, counted from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// What a path stands for that may end in a group: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
pub(super) fn expand(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let plain = path.find(|letter: char| !is_ident(letter) && letter != ':').unwrap_or(path.len());
    let (plain, group) = path.split_at(plain);
    let Some(group) = group.strip_prefix('{') else { return vec![plain.trim_end_matches(':').to_owned()] };
    let mut depth = 1_usize;
    let mut start = 0;
    let mut paths = Vec::new();
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (depth == 1 && letter == ',') || depth == 0 {
            if !group[start..at].trim().is_empty() {
                paths.extend(expand(&group[start..at]).into_iter().map(|end| format!("{plain}{end}")));
            }
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    paths
}

/// Every path after `crate::` in a piece of code, with its line.
pub(super) fn named(code: &str) -> Vec<(usize, String)> {
    let starts = code.match_indices("crate::").filter(|&(at, _)| !code[..at].ends_with(is_ident));
    starts
        .flat_map(|(at, start)| {
            let line = line_at(code, at);
            expand(&code[at + start.len()..]).into_iter().map(move |path| (line, path))
        })
        .collect()
}
