//! The reply to a request that failed.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::ErrorCode;

/// A request failed; the socket lives.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename = "error")]
pub struct ErrorFrame<'a> {
    /// The request's, if it had one that could be read.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'a str>,
    /// The group that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: &'a str,
}

/// An [`ErrorFrame`] of the code `rate_limited`, which tells when to try again.
#[derive(Debug, Clone, Copy)]
pub struct RateLimited<'a> {
    /// The request's, if it had one.
    pub reference: Option<&'a str>,
    /// The group that it is about, if it is about one.
    pub group: Option<&'a str>,
    /// For people.
    pub message: &'a str,
    /// So many requests of this kind are taken
    pub limit: u64,
    /// in so many seconds;
    pub window_s: u64,
    /// after so many the next one is.
    pub retry_after_s: u64,
}

impl Serialize for RateLimited<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("RateLimited", 8)?;
        fields.serialize_field("type", "error")?;
        if let Some(reference) = self.reference {
            fields.serialize_field("ref", reference)?;
        }
        if let Some(group) = self.group {
            fields.serialize_field("group", group)?;
        }
        fields.serialize_field("code", &ErrorCode::RateLimited)?;
        fields.serialize_field("message", self.message)?;
        fields.serialize_field("limit", &self.limit)?;
        fields.serialize_field("window_s", &self.window_s)?;
        fields.serialize_field("retry_after_s", &self.retry_after_s)?;
        fields.end()
    }
}
