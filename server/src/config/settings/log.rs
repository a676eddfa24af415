//! The section `[log]`: how the log looks.

use std::fmt;
use std::str::FromStr;

use crate::config::kinds::text;
use crate::config::values::Values;

/// The section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For whom the lines are written.
    pub format: LogFormat,
}

/// For whom the lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self { format: from.value("format", text(), LogFormat::Text) }
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be \"text\" or \"json\""),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_formats() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        for name in ["", "JSON", "pretty"] {
            assert!(name.parse::<LogFormat>().is_err(), "{name}");
        }
    }
}
