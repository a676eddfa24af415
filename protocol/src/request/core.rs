//! The core's own words: who am I, and which groups do I want.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::codec::Limits;
use crate::error::{ErrorCode, Refusal};
use crate::place::Position;
use crate::strict;

/// The first frame: who the client is, or would like to be called.
///
/// Its `Debug` form does not show the token.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello<'a> {
    /// What an earlier `welcome` gave.
    #[serde(borrow, default, deserialize_with = "strict::optional_text")]
    pub token: Option<Cow<'a, str>>,
    /// The session of an earlier `welcome`.
    #[serde(borrow, default, deserialize_with = "strict::optional_text")]
    pub session: Option<Cow<'a, str>>,
    /// What others are to see.
    #[serde(borrow, default, deserialize_with = "strict::optional_text")]
    pub name: Option<Cow<'a, str>>,
}

impl Hello<'_> {
    /// Checks the name.
    ///
    /// # Errors
    ///
    /// `too_large` past `name_chars`; `bad_request` for a control character, which has no business on a screen or in a
    /// terminal.
    pub fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        let Some(name) = &self.name else {
            return Ok(());
        };
        if is_longer_than(limits.name_chars, name) {
            let message = format!("`name` has more than {} characters", limits.name_chars);
            return Err(Refusal::new(ErrorCode::TooLarge, message));
        }
        // What turns the direction of writing would turn the line that the name stands in, too.
        let turns = |letter| matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if name.chars().any(|letter| letter.is_control() || turns(letter)) {
            return Err(Refusal::new(ErrorCode::BadRequest, "`name` has a control character"));
        }
        Ok(())
    }
}

impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("session", &self.session)
            .field("name", &self.name)
            .finish()
    }
}

/// Membership in some groups, from some positions on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Answered one by one.
    pub groups: Vec<JoinGroup>,
}

/// One group of a [`Join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group's name, as the client spells it.
    pub group: String,
    /// The last position that the client has.
    pub since: Option<Position>,
}

impl<'de> Deserialize<'de> for JoinGroup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            group: String,
            since: Option<Position>,
        }
        let Fields { group, since } = strict::object(deserializer, "an entry {group, since}")?;
        Ok(Self { group, since })
    }
}

impl Join {
    /// Checks the number of groups, and that each is named once.
    ///
    /// # Errors
    ///
    /// `bad_request` for none, more than `groups_per_join`, or one twice.
    pub fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        check_count(self.groups.len(), limits.groups_per_join)?;
        let mut seen = HashSet::new();
        match self.groups.iter().find(|group| !seen.insert(&group.group)) {
            Some(twice) => {
                let message = format!("`groups` names `{}` twice", twice.group);
                Err(Refusal::new(ErrorCode::BadRequest, super::brief(message.into())))
            }
            None => Ok(()),
        }
    }
}

/// The end of membership in some groups.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// The groups' names, as the client spells them; answered one by one.
    pub groups: Vec<String>,
}

impl Leave {
    /// Checks the number of groups.
    ///
    /// # Errors
    ///
    /// `bad_request` for none, or more than a connection can be in.
    pub fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        check_count(self.groups.len(), limits.groups)
    }
}

/// Who is in a group?
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The group's name, as the client spells it.
    pub group: String,
}

fn check_count(count: usize, count_max: usize) -> Result<(), Refusal> {
    if (1..=count_max).contains(&count) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::BadRequest, format!("`groups` must list 1 to {count_max} groups")))
}

/// Has `text` more characters than that? Short texts are not counted: a character is one byte at least.
pub(super) fn is_longer_than(chars_max: usize, text: &str) -> bool {
    text.len() > chars_max && text.chars().nth(chars_max).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        for (text, longer) in
            [("", false), ("abc", false), ("abcd", true), ("ééé", false), ("🌳🌳🌳🌳", true)]
        {
            assert_eq!(is_longer_than(3, text), longer, "{text}");
        }
    }
}
