//! What a value may look like: a duration, a size, a count, a switch, a text of some type, a list, a secret.
//!
//! A [`Kind`] turns what a source gave into a typed value within its bounds, and writes such a value as it would stand in
//! `config.toml`. In the file numbers, switches and lists are TOML's own; from the environment and the command line all
//! of them are texts, and a list's entries stand between commas. A duration is a text with its unit (`250ms`, `1h 30m`),
//! a size as well (`64KiB`, `256 MB`): K, M, G count in thousands, Ki, Mi, Gi in 1,024s, whatever the case.
//!
//! What is said of a bad value never quotes it: it may be a secret that stands in the wrong place.

use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use super::secret::Secret;

/// What a source says, before it is understood.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    /// A value of the file.
    Toml(Value),
    /// A text of the environment or the command line.
    Text(String),
}

/// How the values of a setting are read and written.
pub(super) trait Kind {
    /// What the program works with.
    type Value;
    /// Whether values are kept out of every output.
    const IS_SECRET: bool = false;

    /// The value, or what it must be instead.
    fn read(&self, raw: &Raw) -> Result<Self::Value, String>;

    /// The value as it would stand in `config.toml`; of a secret, what may be seen of it.
    fn write(&self, value: &Self::Value) -> Value;
}

/// An integer that settings are made of; all of them fit TOML's, for every range ends below 2^63.
pub(super) trait Whole:
    Copy + PartialOrd + Display + TryFrom<u64> + TryInto<i64> + TryInto<u64>
{
}

impl<N: Copy + PartialOrd + Display + TryFrom<u64> + TryInto<i64> + TryInto<u64>> Whole for N {}

pub(super) struct DurationIn(RangeInclusive<Duration>);
pub(super) struct SizeIn<N>(RangeInclusive<N>);
pub(super) struct CountIn<N>(RangeInclusive<N>);
pub(super) struct Switch;
pub(super) struct TextOf<T> {
    /// What is said of a text that is not one; nothing if the type's own error says it well.
    expected: Option<&'static str>,
    of: PhantomData<T>,
}
pub(super) struct ListOf<K> {
    of: K,
    items_max: usize,
}
pub(super) struct SecretFrom {
    bytes_min: usize,
}
pub(super) struct SecretTextOf<T>(PhantomData<T>);

/// A duration with its unit, within these bounds.
pub(super) fn duration(range: RangeInclusive<Duration>) -> DurationIn {
    DurationIn(range)
}

/// A number of bytes with its unit, within these bounds.
pub(super) fn size<N: Whole>(range: RangeInclusive<N>) -> SizeIn<N> {
    SizeIn(range)
}

/// A whole number within these bounds.
pub(super) fn count<N: Whole>(range: RangeInclusive<N>) -> CountIn<N> {
    CountIn(range)
}

/// True or false.
pub(super) fn switch() -> Switch {
    Switch
}

/// A text that a type understands, whose error says what is expected.
pub(super) fn text<T: FromStr<Err: Display> + Display>() -> TextOf<T> {
    TextOf { expected: None, of: PhantomData }
}

/// A text that a type understands, and what is said of one that it does not.
pub(super) fn text_like<T: FromStr<Err: Display> + Display>(expected: &'static str) -> TextOf<T> {
    TextOf { expected: Some(expected), of: PhantomData }
}

/// At most so many values of a kind.
pub(super) fn list<K: Kind>(of: K, items_max: usize) -> ListOf<K> {
    ListOf { of, items_max }
}

/// A text that is never shown, at least so long.
pub(super) fn secret(bytes_min: usize) -> SecretFrom {
    SecretFrom { bytes_min }
}

/// A text with a secret in it, which its type leaves out when it is printed.
pub(super) fn secret_text<T: FromStr<Err: Display> + Display>() -> SecretTextOf<T> {
    SecretTextOf(PhantomData)
}

impl Raw {
    /// Whether it is the empty text, which counts as not set: that is how a deployment's template leaves something out.
    pub(super) fn is_empty(&self) -> bool {
        self.as_text().is_some_and(str::is_empty)
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    fn as_whole<N: Whole>(&self) -> Option<N> {
        let number = match self {
            Self::Toml(value) => u64::try_from(value.as_integer()?).ok()?,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        N::try_from(number).ok()
    }
}

impl Kind for DurationIn {
    type Value = Duration;

    fn read(&self, raw: &Raw) -> Result<Duration, String> {
        let given = raw.as_text().and_then(|text| humantime::parse_duration(text).ok());
        given.filter(|duration| self.0.contains(duration)).ok_or_else(|| {
            let bounds = [self.0.start(), self.0.end()].map(|bound| humantime::format_duration(*bound));
            format!(
                "must be a duration with its unit, like \"250ms\" or \"5s\", from {} to {}",
                bounds[0], bounds[1]
            )
        })
    }

    fn write(&self, value: &Duration) -> Value {
        Value::String(humantime::format_duration(*value).to_string())
    }
}

impl<N: Whole> Kind for SizeIn<N> {
    type Value = N;

    fn read(&self, raw: &Raw) -> Result<N, String> {
        let given = raw.as_text().and_then(bytes).and_then(|bytes| N::try_from(bytes).ok());
        given.filter(|bytes| self.0.contains(bytes)).ok_or_else(|| {
            let (min, max) = (with_unit(*self.0.start()), with_unit(*self.0.end()));
            format!("must be a size with its unit, like \"64KiB\" or \"1MB\", from {min} to {max}")
        })
    }

    fn write(&self, value: &N) -> Value {
        Value::String(with_unit(*value))
    }
}

impl<N: Whole> Kind for CountIn<N> {
    type Value = N;

    fn read(&self, raw: &Raw) -> Result<N, String> {
        let given = raw.as_whole().filter(|number| self.0.contains(number));
        given.ok_or_else(|| format!("must be a whole number from {} to {}", self.0.start(), self.0.end()))
    }

    fn write(&self, value: &N) -> Value {
        Value::Integer((*value).try_into().unwrap_or(i64::MAX))
    }
}

impl Kind for Switch {
    type Value = bool;

    fn read(&self, raw: &Raw) -> Result<bool, String> {
        let given = match raw {
            Raw::Toml(value) => value.as_bool(),
            Raw::Text(text) => text.to_ascii_lowercase().parse().ok(),
        };
        given.ok_or_else(|| "must be true or false".to_owned())
    }

    fn write(&self, value: &bool) -> Value {
        Value::Boolean(*value)
    }
}

impl<T: FromStr<Err: Display> + Display> Kind for TextOf<T> {
    type Value = T;

    fn read(&self, raw: &Raw) -> Result<T, String> {
        let parsed = raw.as_text().ok_or_else(|| "must be a text".to_owned())?.parse::<T>();
        parsed.map_err(|error| self.expected.map_or_else(|| error.to_string(), str::to_owned))
    }

    fn write(&self, value: &T) -> Value {
        Value::String(value.to_string())
    }
}

impl<K: Kind> Kind for ListOf<K> {
    type Value = Vec<K::Value>;
    const IS_SECRET: bool = K::IS_SECRET;

    fn read(&self, raw: &Raw) -> Result<Self::Value, String> {
        let items: Vec<Raw> = match raw {
            Raw::Toml(Value::Array(items)) => items.iter().cloned().map(Raw::Toml).collect(),
            Raw::Toml(_) => return Err("must be a list, like [\"a\", \"b\"]".to_owned()),
            Raw::Text(text) => text.split(',').map(|item| Raw::Text(item.trim().to_owned())).collect(),
        };
        if items.len() > self.items_max {
            return Err(format!("must not have more than {} entries", self.items_max));
        }
        let read = |(at, item)| self.of.read(item).map_err(|why| format!("entry {} {why}", at + 1));
        items.iter().enumerate().map(read).collect()
    }

    fn write(&self, value: &Self::Value) -> Value {
        Value::Array(value.iter().map(|item| self.of.write(item)).collect())
    }
}

impl Kind for SecretFrom {
    type Value = Secret;
    const IS_SECRET: bool = true;

    fn read(&self, raw: &Raw) -> Result<Secret, String> {
        let text = raw.as_text().filter(|text| text.len() >= self.bytes_min);
        text.map(|text| Secret::from(text.to_owned()))
            .ok_or_else(|| format!("must be a text of at least {} bytes", self.bytes_min))
    }

    fn write(&self, value: &Secret) -> Value {
        Value::String(value.to_string())
    }
}

impl<T: FromStr<Err: Display> + Display> Kind for SecretTextOf<T> {
    type Value = T;
    const IS_SECRET: bool = true;

    fn read(&self, raw: &Raw) -> Result<T, String> {
        text().read(raw)
    }

    fn write(&self, value: &T) -> Value {
        Value::String(value.to_string())
    }
}

/// The units of a size, each with its bytes; the greatest that divides a number is the one to write it with.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// The bytes of a size; nothing without a unit, for 64 may be meant as 64 KiB.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = UNITS.iter().find(|(name, _)| unit.trim().eq_ignore_ascii_case(name))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

fn with_unit<N: Whole>(bytes: N) -> String {
    let bytes: u64 = bytes.try_into().unwrap_or(u64::MAX);
    let fits = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<K: Kind>(kind: &K, text: &str) -> Result<K::Value, String> {
        let from_text = kind.read(&Raw::Text(text.to_owned()));
        // What is a text in the file reads as it does in the environment.
        let from_file = kind.read(&Raw::Toml(Value::String(text.to_owned())));
        assert_eq!(from_text.is_ok(), from_file.is_ok(), "{text}");
        from_text
    }

    #[test]
    fn a_duration_has_a_unit_and_bounds() {
        let kind = duration(Duration::from_millis(10)..=Duration::from_hours(24));
        for (text, millis) in [("10ms", 10), ("5s", 5_000), ("1h 30m", 5_400_000), ("24h", 86_400_000)] {
            assert_eq!(given(&kind, text).unwrap().as_millis(), millis, "{text}");
        }
        for text in ["", "5", "9ms", "25h", "-1s", "fast", "1.5x", "99999999999999999999s"] {
            let why = given(&kind, text).unwrap_err();
            assert!(why.ends_with("from 10ms to 1day"), "{text}: {why}");
        }
        assert_eq!(kind.write(&Duration::from_millis(1_500)).as_str(), Some("1s 500ms"));
    }

    #[test]
    fn a_size_counts_in_thousands_unless_its_unit_says_1024() {
        let kind = size(1_000..=1_u64 << 40);
        for (text, bytes) in [
            ("1000B", 1_000),
            ("1KB", 1_000),
            ("1kb", 1_000),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("256 MB", 256_000_000),
            ("1MiB", 1_048_576),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(given(&kind, text), Ok(bytes), "{text}");
        }
        for text in ["", "64", "999B", "2000GiB", "1.5MiB", "-1KB", "KB", "1XB", "99999999999999GiB"] {
            let why = given(&kind, text).unwrap_err();
            assert!(why.ends_with("from 1KB to 1024GiB"), "{text}: {why}");
        }
        assert!(kind.read(&Raw::Toml(Value::Integer(65_536))).is_err());
    }

    #[test]
    fn a_size_is_written_so_that_it_reads_the_same() {
        let kind = size(0..=u64::MAX);
        for bytes in [0, 1, 999, 1_000, 1_024, 1_025, 65_536, 1_000_000, 1 << 20, 5_000_000_000, 3 << 30] {
            let written = kind.write(&bytes);
            assert_eq!(kind.read(&Raw::Toml(written.clone())), Ok(bytes), "{written}");
        }
    }

    #[test]
    fn a_count_is_a_number_in_the_file_and_a_text_elsewhere() {
        let kind = count(1..=256_usize);
        assert_eq!(kind.read(&Raw::Toml(Value::Integer(256))), Ok(256));
        assert_eq!(kind.read(&Raw::Text("7".to_owned())), Ok(7));
        for raw in [
            Raw::Toml(Value::Integer(0)),
            Raw::Toml(Value::Integer(-1)),
            Raw::Toml(Value::Integer(257)),
            Raw::Toml(Value::Float(7.0)),
            Raw::Toml(Value::String("7".to_owned())),
            Raw::Text("seven".to_owned()),
            Raw::Text("7.0".to_owned()),
        ] {
            assert_eq!(kind.read(&raw), Err("must be a whole number from 1 to 256".to_owned()), "{raw:?}");
        }
    }

    #[test]
    fn a_list_stands_in_brackets_in_the_file_and_between_commas_elsewhere() {
        let kind = list(count(1..=9_u8), 3);
        let in_file = |text: &str| {
            let mut table: toml::Table = format!("x = {text}").parse().unwrap();
            kind.read(&Raw::Toml(table.remove("x").unwrap()))
        };
        assert_eq!(in_file("[1, 2]"), Ok(vec![1, 2]));
        assert_eq!(in_file("[]"), Ok(vec![]));
        assert_eq!(kind.read(&Raw::Text("1, 2,3".to_owned())), Ok(vec![1, 2, 3]));
        assert_eq!(in_file("[1, 10]"), Err("entry 2 must be a whole number from 1 to 9".to_owned()));
        assert_eq!(in_file("[1, 1, 1, 1]"), Err("must not have more than 3 entries".to_owned()));
        assert!(in_file("'1,2'").is_err() && kind.read(&Raw::Text("1,,2".to_owned())).is_err());
        assert_eq!(kind.write(&vec![1, 2]).to_string(), "[1, 2]");
    }

    #[test]
    fn a_switch_is_true_or_false() {
        assert_eq!(switch().read(&Raw::Toml(Value::Boolean(true))), Ok(true));
        for text in ["false", "False", "FALSE"] {
            assert_eq!(switch().read(&Raw::Text(text.to_owned())), Ok(false));
        }
        for raw in [Raw::Text("maybe".to_owned()), Raw::Toml(Value::Integer(1))] {
            assert!(switch().read(&raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_written_as_stars() {
        let kind = secret(16);
        let secret = given(&kind, "hunter2hunter2hunter2").unwrap();
        assert_eq!(kind.write(&secret).as_str(), Some("***"));
        assert_eq!(given(&kind, "hunter2").unwrap_err(), "must be a text of at least 16 bytes");
    }
}
