//! Where values come from: the file, the environment, the command line, each into the same list, the weakest first.
//!
//! Only names are judged here: what is no setting is refused, with the name that was probably meant. What a value must be
//! is known to whoever reads it. The name of a variable is `PALABRE_` and the setting's path: `redis.url` is
//! `PALABRE_REDIS_URL`; the list of settings is explicit, so that names with underscores stay unambiguous. A secret may
//! stand in a file of its own, which the variable with `_FILE` behind it names, and never on a command line.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use toml::{Table, Value};

use super::Flags;
use super::kinds::Raw;
use super::problem::Problem;
use super::values::{Given, Setting};

/// The file that is read from the working directory when the command line names none.
const FILE_NAME: &str = "config.toml";
/// Far more than every setting with a page of comment each.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A long password and a long URL around it fit many times.
const SECRET_BYTES_MAX: u64 = 1 << 16;
/// Variables that begin like ours but are no settings: the log filter is read before there are any settings.
const OTHER_VARIABLES: &[&str] = &["PALABRE_LOG"];
/// Variables that many programs share, each with its setting: ours win over them.
const COMMON_VARIABLES: &[(&str, &str)] = &[("REDIS_URL", "redis.url"), ("REDIS_ENABLED", "redis.enabled")];
/// What is behind the name of a variable that names a file.
const FILE_SUFFIX: &str = "_FILE";
/// Where `--set` stands.
const SET_FLAG: &str = "--set";

/// The values of all sources, while they are collected.
pub(super) struct Sources<'a> {
    settings: &'a [Setting],
    /// What relative paths begin at.
    cwd: &'a Path,
    given: Vec<Given>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// What was collected.
pub(super) struct Collected {
    /// The values, the weakest first.
    pub(super) given: Vec<Given>,
    /// What is wrong with names and files.
    pub(super) problems: Vec<Problem>,
    /// What is allowed and probably not meant.
    pub(super) warnings: Vec<String>,
}

impl<'a> Sources<'a> {
    /// Nothing yet, for these settings.
    pub(super) fn new(settings: &'a [Setting], cwd: &'a Path) -> Self {
        Self { settings, cwd, given: Vec::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn collected(self) -> Collected {
        Collected { given: self.given, problems: self.problems, warnings: self.warnings }
    }

    /// The file that is named, which must exist, or else the one of the working directory, if there is one.
    pub(super) fn file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or_else(|| Path::new(FILE_NAME));
        let file = path.display().to_string().escape_debug().to_string();
        let text = match read_text(&self.cwd.join(path), FILE_BYTES_MAX) {
            Ok((text, _)) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.problems.push(Problem::unreadable(&file, &error));
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
            let is_section = self.settings.iter().any(|setting| setting.key.starts_with(&inside));
            match value {
                value if self.setting(&key).is_some() => self.add(&key, file, Raw::Toml(value)),
                Value::Table(inner) if is_section => self.table(&key, inner, file),
                _ if is_section => {
                    let reason = format!("is a section: write [{key}], and its settings below");
                    self.invalid(&key, file, reason);
                }
                Value::Table(_) => {
                    let sections = self.settings.iter().filter_map(|setting| setting.key.rsplit_once('.'));
                    self.problems.push(Problem::unknown(&key, file, sections.map(|(section, _)| section)));
                }
                _ => self.unknown(&key, file),
            }
        }
    }

    /// The variables of a process.
    pub(super) fn environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let env = env.into_iter().filter(|(name, _)| {
            name.starts_with("PALABRE_")
                || COMMON_VARIABLES.iter().any(|(common, _)| name.starts_with(common))
        });
        let mut env: BTreeMap<String, String> = env.collect();
        for name in OTHER_VARIABLES {
            env.remove(*name);
        }
        for (name, key) in COMMON_VARIABLES {
            self.variable(&mut env, name, key);
        }
        let settings = self.settings;
        for setting in settings {
            self.variable(&mut env, &variable(&setting.key), &setting.key);
        }
        for name in env.into_keys().filter(|name| name.starts_with("PALABRE_")) {
            let names: Vec<String> = settings.iter().map(|setting| variable(&setting.key)).collect();
            self.problems.push(Problem::unknown(&name, "the environment", names.iter().map(String::as_str)));
        }
    }

    /// Takes a setting's value from its variable, or if it is a secret, from the file that another variable names.
    fn variable(&mut self, env: &mut BTreeMap<String, String>, name: &str, key: &str) {
        let value = env.remove(name).filter(|value| !value.is_empty());
        let is_secret = self.setting(key).is_some_and(|setting| setting.is_secret);
        let names_file = format!("{name}{FILE_SUFFIX}");
        let path = if is_secret { env.remove(&names_file).filter(|path| !path.is_empty()) } else { None };
        match (value, path) {
            (Some(_), Some(_)) => {
                self.invalid(key, name, format!("{names_file} is set as well: set one of them"));
            }
            (Some(value), None) => self.add(key, name, Raw::Text(value)),
            (None, Some(path)) => self.secret_file(key, &names_file, Path::new(&path)),
            (None, None) => {}
        }
    }

    /// A secret in a file of its own. The path is said nowhere: it may be the secret itself, in the wrong variable.
    fn secret_file(&mut self, key: &str, origin: &str, path: &Path) {
        match read_secret(&self.cwd.join(path)) {
            Ok((secret, access)) => {
                self.add(key, origin, Raw::Text(secret));
                if access == Access::Everybody {
                    self.warnings.push(format!(
                        "{key}: every user of this machine can read the file that {origin} names: take that right away"
                    ));
                }
            }
            Err(error) => {
                let file = format!("the file that {origin} names");
                self.problems.push(Problem::unreadable(&file, &error));
            }
        }
    }

    /// The command line, where nothing stands twice and no secret at all: whoever uses the machine can read it.
    pub(super) fn flags(&mut self, flags: &Flags) {
        let first = self.given.len();
        for assignment in &flags.set {
            let Some((key, value)) = assignment.expose().split_once('=') else {
                self.invalid(
                    "the command line",
                    SET_FLAG,
                    "must be KEY=VALUE, like server.listen=127.0.0.1:9000".to_owned(),
                );
                continue;
            };
            match self.setting(key) {
                None => self.unknown(key, SET_FLAG),
                Some(setting) if setting.is_secret => {
                    let name = variable(key);
                    let reason = format!(
                        "is a secret, which every user of this machine could read: set {name} or {name}{FILE_SUFFIX}"
                    );
                    self.invalid(key, SET_FLAG, reason);
                }
                Some(_) => self.add(key, SET_FLAG, Raw::Text(value.to_owned())),
            }
        }
        if let Some(listen) = &flags.listen {
            self.add("server.listen", "--listen", Raw::Text(listen.clone()));
        }
        if let Some(url) = &flags.redis_url {
            self.add("redis.url", "--redis-url", Raw::Text(url.expose().to_owned()));
        }
        for (at, given) in self.given.iter().enumerate().skip(first) {
            if self.given[first..at].iter().any(|before| before.key == given.key) {
                let (key, origin) = (given.key.clone(), given.origin.clone());
                let reason = "stands on the command line already".to_owned();
                self.problems.push(Problem::Invalid { key, origin, reason });
            }
        }
    }

    fn setting(&self, key: &str) -> Option<&'a Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn add(&mut self, key: &str, origin: &str, raw: Raw) {
        self.given.push(Given { key: key.to_owned(), origin: origin.to_owned(), raw });
    }

    fn invalid(&mut self, key: &str, origin: &str, reason: String) {
        let (key, origin) = (key.escape_debug().to_string(), origin.to_owned());
        self.problems.push(Problem::Invalid { key, origin, reason });
    }

    fn unknown(&mut self, key: &str, origin: &str) {
        let keys = self.settings.iter().map(|setting| setting.key.as_str());
        self.problems.push(Problem::unknown(key, origin, keys));
    }
}

/// The variable of a setting: `redis.url` is `PALABRE_REDIS_URL`.
fn variable(key: &str) -> String {
    format!("PALABRE_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Its owner, and perhaps a group.
    Few,
    Everybody,
}

/// The secret in a file, without the newlines that editors and commands put at its end, and who else may read it.
fn read_secret(path: &Path) -> io::Result<(String, Access)> {
    let (mut text, metadata) = read_text(path, SECRET_BYTES_MAX)?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
    }
    let access = if metadata.permissions().mode() & 0o004 == 0 { Access::Few } else { Access::Everybody };
    Ok((text, access))
}

/// A whole file, if it is a text of at most so many bytes, and what the system says of it.
fn read_text(path: &Path, bytes_max: u64) -> io::Result<(String, Metadata)> {
    // Asked before it is opened: opening a pipe would wait for somebody to write to it.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        Ok((text, metadata))
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
