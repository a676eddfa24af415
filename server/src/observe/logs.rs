//! The log: lines on stderr, one an event, whatever was in it.
//!
//! Fields and messages may carry what a client sent, so every control character in them is written escaped: no client can
//! forge a line or talk to the operator's terminal. What is worth a line is decided where it happens. Nothing here
//! rotates or ships logs: what runs the process does.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

const FILTER_DEFAULT: &str = "info";

/// Whether lines may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Plain,
    Ansi,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The filter is not one: `level` or `target=level`, with commas between.
    #[error("PALABRE_LOG is not a log filter like \"info\" or \"palabre=debug,warn\"")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Starts the process's log on stderr, with colours only on a terminal; no filter, or an empty one, means `info`.
///
/// # Errors
///
/// [`LogError`] for a malformed filter, or a second call in one process.
pub(crate) fn init(filter: Option<&str>) -> Result<(), LogError> {
    let filter = self::filter(filter)?;
    let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
    tracing::subscriber::set_global_default(subscriber(filter, colour, io::stderr)).map_err(LogError::Twice)
}

/// The filter that a text means.
///
/// # Errors
///
/// [`LogError::Filter`] for a malformed one.
pub(crate) fn filter(text: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or(FILTER_DEFAULT);
    EnvFilter::builder().parse(text).map_err(LogError::Filter)
}

fn subscriber<W>(filter: EnvFilter, colour: Colour, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let fields = debug_fn(field).delimited(" ");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour == Colour::Ansi)
        .fmt_fields(fields)
        .with_writer(writer)
        .finish()
}

/// Writes one field; the crate's own form escapes ESC but lets newlines through.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(Escaped(writer), "{value:?}"),
        name => write!(Escaped(writer), "{name}={value:?}"),
    }
}

/// Writes control characters, and what turns the direction of writing, as escapes like `\n` or `\u{1b}`.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_unsafe = |letter: char| {
            letter.is_control()
                || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        let mut rest = text;
        while let Some(at) = rest.find(is_unsafe) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut letters = from.chars();
            for letter in letters.by_ref().take(1) {
                write!(self.0, "{}", letter.escape_default())?;
            }
            rest = letters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, colour: Colour, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = EnvFilter::builder().parse(filter).unwrap();
        let subscriber = subscriber(filter, colour, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_has_its_level_its_message_and_its_fields() {
        let text =
            logged("info", Colour::Plain, || tracing::info!(count = 3, name = "Ada", "a guest came in"));
        assert!(text.contains(" INFO ") && text.contains("a guest came in count=3 name=\"Ada\""), "{text}");
    }

    #[test]
    fn the_filter_decides_what_is_seen() {
        let text = logged("warn", Colour::Plain, || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert!(!text.contains("quiet") && text.contains("loud"), "{text}");
    }

    #[test]
    fn control_characters_never_come_out_raw() {
        let evil = "x\n2026-01-01 ERROR forged \u{1b}[31m\r\0\u{9b}\u{202e}";
        let text = logged("info", Colour::Plain, || {
            tracing::info!(shown = %evil, debugged = ?evil, plain = evil, "a message with {evil}");
            let _entered = tracing::info_span!("span", inner = %evil).entered();
            tracing::info!("in a span");
        });
        assert_eq!(text.lines().count(), 2, "{text}");
        let raw = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!text.contains(raw), "{text:?}");
        assert!(text.contains("x\\n2026") && text.contains("\\u{1b}[31m"), "{text}");
    }

    #[test]
    fn plain_lines_have_no_colours() {
        let log = || tracing::info!(count = 3, "plain");
        assert!(!logged("info", Colour::Plain, log).contains('\u{1b}'));
        assert!(logged("info", Colour::Ansi, log).contains('\u{1b}'));
    }
}
