//! One line of the log: an event as text, or as a JSON object.
//!
//! Fields and messages may carry what a client sent, so control characters, and what turns the direction of writing, come
//! out escaped, and a field is cut after 1,024 characters: no client can forge a line, talk to the operator's terminal or
//! fill the disk by one name. A line that stands for several ends with `repeated`, how often it was left out.

use crate::observe::repeats::Repeats;
use serde_json::{Map, Value};
use std::{
    fmt::{self, Write},
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// Characters of one field.
const FIELD_CHARS_MAX: usize = 1_024;

/// How lines look.
#[derive(Debug)]
pub(super) enum Form {
    /// For people.
    Text(Format<Full>),
    /// For programs: an object a line.
    Json,
}

/// Writes lines, but not the same ones all the time.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) form: Form,
    /// Guards what was said lately; held for a look.
    pub(super) repeats: Mutex<Repeats<Identifier>>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut unsaid = 0;
        // Who asks for details wants all of them.
        if *metadata.level() <= Level::INFO {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            match repeats.say(metadata.callsite(), Instant::now()) {
                Some(count) => unsaid = count,
                None => return Ok(()),
            }
        }
        match &self.form {
            Form::Text(format) => {
                let mut line = String::new();
                format.format_event(cx, Writer::new(&mut line), event)?;
                writer.write_str(line.trim_end_matches('\n'))?;
                if unsaid > 0 {
                    write!(writer, " repeated={unsaid}")?;
                }
                writer.write_char('\n')
            }
            Form::Json => {
                let mut object = Map::new();
                let mut ts = String::new();
                SystemTime.format_time(&mut Writer::new(&mut ts))?;
                object.insert("ts".to_owned(), ts.into());
                object.insert("level".to_owned(), metadata.level().as_str().into());
                object.insert("target".to_owned(), metadata.target().into());
                event.record(&mut Object(&mut object));
                if unsaid > 0 {
                    object.insert("repeated".to_owned(), unsaid.into());
                }
                let mut line = String::new();
                write_safe(&mut line, &Value::Object(object).to_string(), json_escape)?;
                writeln!(writer, "{line}")
            }
        }
    }
}

/// An event's fields as they are put into an object.
struct Object<'a>(&'a mut Map<String, Value>);

impl Object<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Object<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.chars().take(FIELD_CHARS_MAX).collect::<String>());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A cut ends the writing with an error, which is all that there is to it.
        write!(Cut { to: &mut text, left: FIELD_CHARS_MAX }, "{value:?}").ok();
        self.put(field, text);
    }
}

/// Writes one field of a text line; the crate's own form escapes ESC but lets newlines through.
pub(super) fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    let mut text = String::new();
    write!(Cut { to: &mut text, left: FIELD_CHARS_MAX }, "{value:?}").ok();
    write_safe(writer, &text, |letter| letter.escape_default().collect())
}

/// Takes so many characters, and fails then.
struct Cut<'a> {
    to: &'a mut String,
    left: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.to.push(letter);
        }
        Ok(())
    }
}

/// Writes control characters, and what turns the direction of writing, as `escape` says.
fn write_safe(to: &mut impl Write, text: &str, escape: impl Fn(char) -> String) -> fmt::Result {
    let is_unsafe = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut rest = text;
    while let Some(at) = rest.find(is_unsafe) {
        let (plain, from) = rest.split_at(at);
        to.write_str(plain)?;
        let mut letters = from.chars();
        for letter in letters.by_ref().take(1) {
            to.write_str(&escape(letter))?;
        }
        rest = letters.as_str();
    }
    to.write_str(rest)
}

/// What JSON's own escapes leave as it is stands within its strings alone.
fn json_escape(letter: char) -> String {
    format!("\\u{:04x}", u32::from(letter))
}
