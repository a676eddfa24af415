//! Where values come from: the file, the environment, the command line, each into the same list, the weakest first.
//!
//! Only names are judged here: what is no setting is refused, with the name that was probably meant. What a value must be
//! is known to whoever reads it. The name of a variable is `PALABRE_` and the setting's path: `redis.url` is
//! `PALABRE_REDIS_URL`; the list of settings is explicit, so that names with underscores stay unambiguous.

use std::io::{self, Read};
use std::path::Path;

use toml::{Table, Value};

use super::Flags;
use super::kinds::Raw;
use super::problem::Problem;
use super::values::Given;

/// The file that is read from the working directory when the command line names none.
const FILE_NAME: &str = "config.toml";
/// Far more than every setting with a page of comment each.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Variables that begin like ours but are no settings: the log filter is read before there are any settings.
const OTHER_VARIABLES: &[&str] = &["PALABRE_LOG"];
/// Variables that many programs share, each with its setting: ours win over them.
const COMMON_VARIABLES: &[(&str, &str)] = &[("REDIS_URL", "redis.url")];

/// The values of all sources, while they are collected.
pub(super) struct Sources {
    keys: Vec<String>,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Sources {
    /// Nothing yet, for these settings.
    pub(super) fn new(keys: Vec<String>) -> Self {
        Self { keys, given: Vec::new(), problems: Vec::new() }
    }

    /// What was given, the weakest first, and what is wrong with the names.
    pub(super) fn into_parts(self) -> (Vec<Given>, Vec<Problem>) {
        (self.given, self.problems)
    }

    /// The file that is named, which must exist, or else the one in `cwd`, if there is one.
    pub(super) fn file(&mut self, named: Option<&Path>, cwd: &Path) {
        let path = named.unwrap_or_else(|| Path::new(FILE_NAME));
        let file = path.display().to_string().escape_debug().to_string();
        let text = match read_text(&cwd.join(path), FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.problems.push(Problem::Unreadable { file, reason: error.to_string() });
                return;
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.table("", table, &file),
            Err(error) => {
                let reason = where_and_what(&text, &error);
                self.problems.push(Problem::Syntax { file, reason });
            }
        }
    }

    /// Takes the settings out of nested tables, and refuses what is not one.
    fn table(&mut self, section: &str, table: Table, file: &str) {
        for (name, value) in table {
            let key = if section.is_empty() { name } else { format!("{section}.{name}") };
            let inside = format!("{key}.");
            let is_section = self.keys.iter().any(|known| known.starts_with(&inside));
            match value {
                value if self.keys.contains(&key) => self.add(&key, file, Raw::Toml(value)),
                Value::Table(inner) if is_section => self.table(&key, inner, file),
                _ if is_section => {
                    let reason = format!("is a section: write [{key}], and its settings below");
                    self.problems.push(Problem::Invalid { key, origin: file.to_owned(), reason });
                }
                Value::Table(_) => {
                    let sections = self.keys.iter().filter_map(|known| known.rsplit_once('.'));
                    let sections = sections.map(|(section, _)| section);
                    self.problems.push(Problem::unknown(&key, file, sections));
                }
                _ => {
                    let names = self.keys.iter().map(String::as_str);
                    self.problems.push(Problem::unknown(&key, file, names));
                }
            }
        }
    }

    /// The variables of a process.
    pub(super) fn environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let variables: Vec<String> = self.keys.iter().map(|key| variable(key)).collect();
        let mut ours = Vec::new();
        for (name, value) in env {
            let common = COMMON_VARIABLES.iter().find(|(common, _)| *common == name);
            let own = variables.iter().position(|variable| *variable == name);
            if let Some((_, key)) = common {
                self.add(key, &name, Raw::Text(value));
            } else if let Some(at) = own {
                ours.push((at, name, value));
            } else if name.starts_with("PALABRE_") && !OTHER_VARIABLES.contains(&name.as_str()) {
                let names = variables.iter().map(String::as_str);
                self.problems.push(Problem::unknown(&name, "the environment", names));
            }
        }
        for (at, name, value) in ours {
            self.add(&self.keys[at].clone(), &name, Raw::Text(value));
        }
    }

    /// The command line.
    pub(super) fn flags(&mut self, flags: &Flags) {
        if let Some(listen) = &flags.listen {
            self.add("server.listen", "--listen", Raw::Text(listen.clone()));
        }
        if let Some(url) = &flags.redis_url {
            self.add("redis.url", "--redis-url", Raw::Text(url.expose().to_owned()));
        }
    }

    fn add(&mut self, key: &str, origin: &str, raw: Raw) {
        self.given.push(Given { key: key.to_owned(), origin: origin.to_owned(), raw });
    }
}

/// The variable of a setting: `redis.url` is `PALABRE_REDIS_URL`.
fn variable(key: &str) -> String {
    format!("PALABRE_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// A whole file, if it is a text of at most so many bytes.
fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        Ok(text)
    } else {
        Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")))
    }
}

/// A TOML error on one line, with its place and without the line of the file, which may hold a secret.
fn where_and_what(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let what: Vec<&str> = error.message().lines().collect();
    format!("line {line}, column {column}: {}", what.join(", "))
}
