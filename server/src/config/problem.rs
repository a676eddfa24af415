//! Why settings are refused: all that is wrong with them, a line each, never with a secret in it.

use super::secret::MASK;
use std::fmt;
use std::io;

/// The settings are refused; printed, it is one line with the first problem.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong; printed, it is one line that names the setting and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{file} is not valid TOML: {reason}")]
    Syntax {
        /// The file, as it was named.
        file: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// The file has a key, or the environment a variable, that means nothing.
    #[error("unknown setting {name} in {origin}{}", did_you_mean(similar.as_deref()))]
    Unknown {
        /// The key with its sections, or the variable.
        name: String,
        /// Where it stands.
        origin: String,
        /// What is written almost so.
        similar: Option<String>,
    },
    /// A value does not fit its setting, or not with the others.
    #[error("{key} (in {origin}): {reason}")]
    Invalid {
        /// The setting, like `redis.deadline`.
        key: String,
        /// Where its value stands.
        origin: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// As many letters as two hasty fingers get wrong.
const TYPOS_MAX: usize = 2;

impl ConfigError {
    /// Refuses for these problems; nothing if there are none.
    pub(super) fn of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// Everything that is wrong, at least one thing.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.problems.split_first() else { return Ok(()) };
        first.fmt(f)?;
        match others.len() {
            0 => Ok(()),
            1 => f.write_str(" (and one more problem)"),
            more => write!(f, " (and {more} more problems)"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Problem {
    /// A file that cannot be read. What looks like an address is not repeated: it may hold a password.
    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        let is_address = file.contains("://") || file.contains('@');
        let file = if is_address { "a file with an address for its name" } else { file };
        Self::Unreadable { file: file.to_owned(), reason: error.to_string() }
    }

    /// Something unknown, with the nearest of the names that there are, if one is near. What could be no name of a setting
    /// is not repeated: it may be a value in the wrong place.
    pub(super) fn unknown<'a>(name: &str, origin: &str, names: impl Iterator<Item = &'a str>) -> Self {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let name = if is_name { name } else { MASK };
        let near = names.map(|known| (strsim::damerau_levenshtein(name, known), known));
        let similar = near.filter(|(typos, _)| *typos <= TYPOS_MAX).min().map(|(_, known)| known.to_owned());
        Self::Unknown { name: name.to_owned(), origin: origin.to_owned(), similar }
    }
}

fn did_you_mean(similar: Option<&str>) -> String {
    similar.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}
