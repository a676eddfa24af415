//! The command line: what may be written on it, and how a refusal looks.
//!
//! `palabre` alone serves; `palabre config` says what it would serve with. The flags are few: what has a place in `config.toml` is set there or in the environment.
//! Whatever goes wrong before the hub stands is one line on stderr, `palabre: …`, with no secret in it. What a command
//! does is in a file of its own; values are checked where all settings are, not here.

mod config;
mod notify;
pub(crate) mod serve;
mod signals;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Flags, Secret};
use crate::observe::logs::LogError;

/// The exit code for a command line or a configuration that is refused: starting again changes nothing.
const EXIT_USAGE: u8 = 2;

/// A WebSocket chat hub: one node or many.
#[derive(Debug, Parser)]
#[command(name = "palabre", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: FlagArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves, until it is told to stop; what `palabre` does by itself as well.
    Serve(FlagArgs),
    /// Says what the file, the environment and the flags come to; connects to nothing.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the settings in force as a configuration file, each with its origin, secrets masked.
    Print(FlagArgs),
    /// Looks for mistakes: a line each on stderr, and exit code 2 if there are any.
    Check(FlagArgs),
}

#[derive(Debug, Args)]
struct FlagArgs {
    /// The IP address and the port to listen on [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where Redis is: `redis://[user:password@]host[:port][/db]`.
    ///
    /// A password is better in `PALABRE_REDIS_URL`, or in a file that `PALABRE_REDIS_URL_FILE` names: every user of the
    /// machine can read a command line.
    #[arg(long, value_name = "URL")]
    redis_url: Option<Hidden>,
    /// Sets anything that is no secret, like `server.workers=2`; may stand several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Hidden>,
    /// The configuration file [default: config.toml in the working directory, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A text as it was typed; only a type, so that clap never prints it.
#[derive(Debug, Clone)]
struct Hidden(Secret);

impl From<OsString> for Hidden {
    fn from(text: OsString) -> Self {
        // What is no UTF-8 is no setting either: it is refused with the others.
        Self(Secret::from(text.to_string_lossy().into_owned()))
    }
}

/// What the program is asked to do.
#[derive(Debug, Clone)]
pub enum Task {
    /// To serve until a signal ends it.
    Serve(Flags),
    /// To print the settings in force.
    Print(Flags),
    /// To look for mistakes in the settings.
    Check(Flags),
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Stop {
    /// `--help` or `--version`: the text to print, and all is well.
    Asked(String),
    /// The command line is refused, in one line.
    Refused(String),
}

/// Runs the program to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::read(std::env::args_os()) {
        Ok(Task::Serve(flags)) => serve(flags),
        Ok(Task::Print(flags)) => config::print(&flags).map(|()| ExitCode::SUCCESS),
        Ok(Task::Check(flags)) => config::check(&flags).map(|()| ExitCode::SUCCESS),
        Err(stop) => return stop.exit(),
    };
    done.unwrap_or_else(|error| fail(&error))
}

fn serve(flags: Flags) -> anyhow::Result<ExitCode> {
    // Workers have threads of their own; one is enough for the listener and for Redis.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve::run(flags))
}

impl Cli {
    /// Reads a command line; the first word is the program's name.
    ///
    /// # Errors
    ///
    /// [`Stop`], for [`Stop::exit`] to print, when there is nothing to run.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Task, Stop> {
        let cli = Self::try_parse_from(words).map_err(|error| {
            if error.use_stderr() { Stop::Refused(refusal(&error)) } else { Stop::Asked(error.to_string()) }
        })?;
        Ok(match cli.command {
            None => Task::Serve(cli.flags.into()),
            Some(Command::Serve(flags)) => Task::Serve(flags.into()),
            Some(Command::Config(ConfigCommand::Print(flags))) => Task::Print(flags.into()),
            Some(Command::Config(ConfigCommand::Check(flags))) => Task::Check(flags.into()),
        })
    }
}

impl From<FlagArgs> for Flags {
    fn from(args: FlagArgs) -> Self {
        Self {
            listen: args.listen,
            redis_url: args.redis_url.map(|Hidden(url)| url),
            set: args.set.into_iter().map(|Hidden(assignment)| assignment).collect(),
            config: args.config,
        }
    }
}

impl Stop {
    /// Prints what there is to print, and gives the process its exit code.
    pub fn exit(self) -> ExitCode {
        match self {
            Self::Asked(text) => {
                // Whoever stops reading has read enough.
                io::stdout().write_all(text.as_bytes()).ok();
                ExitCode::SUCCESS
            }
            Self::Refused(line) => {
                complain(&line);
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}

/// Prints why the program ends, as one line with its causes, and gives the exit code: 2 for a configuration that is
/// refused, 1 for anything else.
///
/// Of a configuration every mistake gets its line.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<ConfigError>() {
        Some(refused) => refused.problems().iter().for_each(|problem| complain(&problem.to_string())),
        None => complain(&format!("{error:#}")),
    }
    let is_usage = error.chain().any(|cause| cause.is::<ConfigError>() || cause.is::<LogError>());
    if is_usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// Says something to whoever started us, for the log may not be set up yet. If nobody can hear it, nothing else is lost.
fn complain(line: &str) {
    writeln!(io::stderr(), "palabre: {}", fold(line)).ok();
}

/// What is wrong with a command line, and with which flag. Nothing else is repeated: a word in the wrong place may be a
/// secret.
fn refusal(error: &clap::Error) -> String {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.split([' ', '=']).next(),
        _ => None,
    };
    let is_flag = |word: &&str| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        word.starts_with("--") && word.bytes().all(is_plain)
    };
    let what = error.kind().as_str().unwrap_or("the command line is not understood");
    match flag.filter(is_flag) {
        Some(flag) => format!("{what}: {flag} (see palabre --help)"),
        None => format!("{what} (see palabre --help)"),
    }
}

/// One line, whatever a path or a system's message brought with it.
fn fold(text: &str) -> String {
    let is_plain = |letter: &char| !letter.is_control();
    text.split(['\n', '\r']).map(str::trim).collect::<Vec<_>>().join(" ").chars().filter(is_plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Flags, Stop> {
        match Cli::read(line.split(' ').map(OsString::from))? {
            Task::Serve(flags) | Task::Print(flags) | Task::Check(flags) => Ok(flags),
        }
    }

    fn refused(line: &str) -> String {
        match read(line) {
            Err(Stop::Refused(line)) => line,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_serve_may_be_left_out() {
        for line in ["palabre", "palabre serve"] {
            let flags = read(line).unwrap();
            assert!(flags.listen.is_none() && flags.redis_url.is_none() && flags.config.is_none());
        }
        for line in
            ["palabre --listen 1.2.3.4:5 --config a.toml", "palabre serve --config a.toml --listen=1.2.3.4:5"]
        {
            let flags = read(line).unwrap();
            assert_eq!(flags.listen.as_deref(), Some("1.2.3.4:5"));
            assert_eq!(flags.config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn the_configuration_is_asked_for_with_the_flags_of_serving() {
        for (command, is_right) in [
            ("serve", (|task| matches!(task, Task::Serve(_))) as fn(&Task) -> bool),
            ("config print", |task| matches!(task, Task::Print(_))),
            ("config check", |task| matches!(task, Task::Check(_))),
        ] {
            let line = format!("palabre {command} --set a.b=1 --set c=hunter2 --config x.toml");
            let task = Cli::read(line.split(' ').map(OsString::from)).unwrap();
            assert!(is_right(&task), "{line}: {task:?}");
            assert!(!format!("{task:?}").contains("hunter2"), "{task:?}");
            assert_eq!(read(&line).unwrap().set.len(), 2);
        }
    }

    #[test]
    fn the_address_of_redis_is_kept_out_of_sight() {
        let flags = read("palabre --redis-url redis://:hunter2@h").unwrap();
        assert!(!format!("{flags:?}").contains("hunter2"));
        assert_eq!(flags.redis_url.unwrap().expose(), "redis://:hunter2@h");
    }

    #[test]
    fn a_bad_command_line_is_refused_in_one_line_without_secrets() {
        for line in [
            "palabre --port 1",
            "palabre start",
            "palabre --listen",
            "palabre --listen a --listen b",
            "palabre redis://:hunter2@h",
            "palabre --redis-uri=redis://:hunter2@h",
            "palabre --redis-url a --redis-url redis://:hunter2@h",
            "palabre serve redis://:hunter2@h",
            "palabre --listen a serve",
            "palabre config",
            "palabre config show",
            "palabre --set",
            "palabre --set a=1 config check",
            "palabre --set a=1 hunter2",
            "palabre --set auth.secret hunter2",
            "palabre config check --set auth.secret hunter2",
            "palabre u:hunter2@h:6379",
            "palabre --set=a=1 redis://u:a' bhunter2@h",
            "palabre serve -xhunter2",
        ] {
            let said = refused(line);
            assert!(!said.contains('\n') && !said.contains("hunter2"), "{line}: {said}");
            assert!(said.ends_with("(see palabre --help)") && !said.starts_with("error"), "{line}: {said}");
        }
        assert_eq!(refused("palabre --port 1"), "unexpected argument found: --port (see palabre --help)");
    }

    #[test]
    fn help_and_version_are_answers_and_not_errors() {
        for (line, part) in
            [("palabre --help", "--redis-url"), ("palabre --version", env!("CARGO_PKG_VERSION"))]
        {
            match read(line) {
                Err(Stop::Asked(text)) => assert!(text.contains(part), "{text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn whatever_it_says_a_complaint_is_one_line() {
        assert_eq!(fold("a:\n  b\u{1b}[31m\r\nc"), "a: b[31m  c");
    }
}
