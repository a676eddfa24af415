//! The log: lines on stderr, one an event, but not the same one all the time.
//!
//! What is worth a line is decided where it happens; what a line looks like in `line`, and which are left out in `repeats`.
//! Nothing here rotates or ships logs: what runs the process does.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Format, debug_fn};

use crate::observe::line::{Form, Lines, field};
use crate::observe::repeats::Repeats;

const FILTER_DEFAULT: &str = "info";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Text, with colours on a terminal.
    Text,
    /// A JSON object.
    Json,
}

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
pub(crate) fn init(filter: Option<&str>, look: Look) -> Result<(), LogError> {
    let filter = self::filter(filter)?;
    let colour = if io::stderr().is_terminal() { Colour::Ansi } else { Colour::Plain };
    tracing::subscriber::set_global_default(subscriber(filter, look, colour, io::stderr))
        .map_err(LogError::Twice)
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

fn subscriber<W>(filter: EnvFilter, look: Look, colour: Colour, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let form = match look {
        Look::Text => Form::Text(Format::default().with_ansi(colour == Colour::Ansi)),
        Look::Json => Form::Json,
    };
    let fields = debug_fn(field).delimited(" ");
    tracing_subscriber::fmt()
        // A line that cannot be written would be complained of where lines are written, which panics: the log may be lost,
        // and not the task that had something to say.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(colour == Colour::Ansi)
        .fmt_fields(fields)
        .event_format(Lines { form, repeats: Mutex::new(Repeats::new()) })
        .with_writer(writer)
        .finish()
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
        looking(filter, Look::Text, colour, log)
    }

    fn looking(filter: &str, look: Look, colour: Colour, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = EnvFilter::builder().parse(filter).unwrap();
        let subscriber = subscriber(filter, look, colour, move || writer.clone());
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

    #[test]
    fn a_line_for_programs_is_one_object_whatever_is_in_it() {
        let evil = "x\n\u{1b}[31m\u{9b}\u{202e}\"}";
        let text = looking("info", Look::Json, Colour::Plain, || {
            tracing::warn!(event = "a.test", count = 3, sure = true, name = evil, why = %evil, "it {evil}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            !text.contains(|letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}'))
        );
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["event"], &line["count"]),
            (&"WARN".into(), &"a.test".into(), &3.into())
        );
        assert_eq!((&line["sure"], &line["name"], &line["why"]), (&true.into(), &evil.into(), &evil.into()));
        assert_eq!(line["message"], format!("it {evil}"));
        assert!(line["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{line}");
    }

    #[test]
    fn a_field_is_cut() {
        let long = "x".repeat(1 << 20);
        for look in [Look::Text, Look::Json] {
            let text = looking("info", look, Colour::Plain, || {
                tracing::info!(shown = %long, debugged = ?long, plain = long, "a message with {long}");
            });
            assert!((4_000..6_000).contains(&text.len()), "{}", text.len());
        }
    }

    #[test]
    fn the_same_line_is_not_said_all_the_time() {
        let text = logged("debug", Colour::Plain, || {
            for number in 0..1_000 {
                tracing::warn!(number, "again");
                tracing::debug!(number, "detail");
            }
        });
        assert_eq!(text.lines().filter(|line| line.contains("again")).count(), 5, "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("detail")).count(), 1_000);
    }
}
