//! What was given for each setting, from whichever sources, and what it comes to: a typed value, or a problem.
//!
//! A section reads its settings through [`Values`], one line each: name, kind with bounds, default. That line is all that
//! there is to a setting: which names exist is found by reading from nothing. Every value that was given is
//! checked, also where a stronger source hides it, and reading goes on after a problem, so that all of them are found.

use super::kinds::{Kind, Raw};
use super::problem::Problem;
use super::secret::MASK;

/// One value of one setting, and where it stands; weaker sources come first.
pub(super) struct Given {
    pub(super) key: String,
    pub(super) origin: String,
    pub(super) raw: Raw,
}

/// A setting that exists, with the value that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// With its section, like `redis.url`.
    pub key: String,
    /// Whether it may hold what no output may show.
    pub is_secret: bool,
    /// As it stands in `config.toml`, or what may be seen of it; none if it has no value.
    pub value: Option<String>,
    /// Whether something of the value was left out.
    pub is_masked: bool,
    /// Where the value stands: a file, a variable, a flag; none if nobody gave it one.
    pub origin: Option<String>,
}

/// The values of one start, while sections read them.
pub(super) struct Values<'a> {
    given: &'a [Given],
    section: &'static str,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl<'a> Values<'a> {
    pub(super) fn new(given: &'a [Given]) -> Self {
        Self { given, section: "", settings: Vec::new(), problems: Vec::new() }
    }

    /// What is read next stands in this section.
    pub(super) fn section(&mut self, name: &'static str) -> &mut Self {
        self.section = name;
        self
    }

    /// A setting that has a value if nobody gives it one.
    #[expect(clippy::needless_pass_by_value, reason = "a kind is made where it is read, and reads better so")]
    pub(super) fn value<K: Kind>(&mut self, name: &str, kind: K, default: K::Value) -> K::Value {
        let key = self.key(name);
        let (value, origin) = match self.last_good(&key, &kind) {
            Some((value, origin)) => (value, Some(origin)),
            None => (default, None),
        };
        self.note::<K>(key, Some(kind.write(&value)), origin);
        value
    }

    /// A setting that need not have a value.
    #[expect(clippy::needless_pass_by_value, reason = "a kind is made where it is read, and reads better so")]
    pub(super) fn optional<K: Kind>(&mut self, name: &str, kind: K) -> Option<K::Value> {
        let key = self.key(name);
        let (value, origin) = self.last_good(&key, &kind).unzip();
        self.note::<K>(key, value.as_ref().map(|value| kind.write(value)), origin);
        value
    }

    /// Refuses what the settings come to together, naming the one at fault and where its value stands.
    pub(super) fn refuse(&mut self, key: &str, reason: String) {
        let place = self.given.iter().rfind(|given| given.key == key && !given.raw.is_empty());
        let origin = place.map_or("the defaults", |given| &given.origin).to_owned();
        self.problems.push(Problem::Invalid { key: key.to_owned(), origin, reason });
    }

    /// The settings that were read, in their order, and what is wrong.
    pub(super) fn into_parts(self) -> (Vec<Setting>, Vec<Problem>) {
        (self.settings, self.problems)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    /// The strongest value that is one, and its place; the others are checked all the same.
    fn last_good<K: Kind>(&mut self, key: &str, kind: &K) -> Option<(K::Value, String)> {
        let mut found = None;
        for given in self.given.iter().filter(|given| given.key == key && !given.raw.is_empty()) {
            let origin = given.origin.clone();
            match kind.read(&given.raw) {
                Ok(value) => found = Some((value, origin)),
                Err(reason) => self.problems.push(Problem::Invalid { key: key.to_owned(), origin, reason }),
            }
        }
        found
    }

    fn note<K: Kind>(&mut self, key: String, value: Option<toml::Value>, origin: Option<String>) {
        let value = value.map(|value| value.to_string());
        let is_masked = K::IS_SECRET && value.as_ref().is_some_and(|value| value.contains(MASK));
        self.settings.push(Setting { key, is_secret: K::IS_SECRET, value, is_masked, origin });
    }
}
