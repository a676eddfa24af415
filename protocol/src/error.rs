//! Why a request failed: the milder of two tiers, after which the socket lives.
//!
//! The list of codes is closed: clients act on the code, and people read the message. The harder tier, which ends
//! the socket, is [`CloseCode`](crate::CloseCode).

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// What a program can tell about a failed request. `docs/protocol.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The text is not JSON.
    BadJson,
    /// JSON, but not a frame, or not this one.
    BadRequest,
    /// Nobody here understands this `type`.
    UnknownType,
    /// A binary message.
    BinaryUnsupported,
    /// `text`, `data` or `name` is over its limit.
    TooLarge,
    /// Arrays and objects are nested too deeply.
    TooDeep,
    /// Something else came before `hello`, or nothing in time.
    HelloRequired,
    /// The request needs membership in the group.
    NotJoined,
    /// This user may not do that.
    Forbidden,
    /// What the request names does not exist.
    NotFound,
    /// The same id was used with another body.
    Conflict,
    /// The thing was changed meanwhile.
    VersionConflict,
    /// Whether the message is in the history cannot be known any more.
    Undecided,
    /// What the request is about is over.
    Closed,
    /// Too many in a time.
    RateLimited,
    /// The connection would be in too many groups.
    TooManyGroups,
    /// The node has too much to do.
    Overloaded,
    /// The channel layer did not answer, and nothing can stand in for it.
    Unavailable,
    /// A fault of the hub's own.
    Internal,
}

impl ErrorCode {
    /// The whole closed list, in the order of the specification.
    pub const ALL: &[Self] = &[
        Self::BadJson,
        Self::BadRequest,
        Self::UnknownType,
        Self::BinaryUnsupported,
        Self::TooLarge,
        Self::TooDeep,
        Self::HelloRequired,
        Self::NotJoined,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::VersionConflict,
        Self::Undecided,
        Self::Closed,
        Self::RateLimited,
        Self::TooManyGroups,
        Self::Overloaded,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::BinaryUnsupported => "binary_unsupported",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::HelloRequired => "hello_required",
            Self::NotJoined => "not_joined",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::VersionConflict => "version_conflict",
            Self::Undecided => "undecided",
            Self::Closed => "closed",
            Self::RateLimited => "rate_limited",
            Self::TooManyGroups => "too_many_groups",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error reply: the request failed, the socket lives.
///
/// The message goes to the client: it names the field or the rule, and holds nothing that the client may not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For the people who write them.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with its code and a sentence about this case: lower case, no full stop.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert_eq!(names.len(), 19);
    }
}
