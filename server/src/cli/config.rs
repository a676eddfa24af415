//! `palabre config print` and `check`: what the file, the environment and the flags come to, without serving.
//!
//! What is printed is a configuration file again: it loads to the same settings, but for what is masked, which is
//! commented out. Nothing is connected to and nothing looked up, so both can be run beside a hub that serves.

use std::env;
use std::io::{self, Write};

use anyhow::Context;

use super::complain;
use crate::config::{self, Flags, Loaded, Setting};
use crate::observe::logs;

/// Prints the settings in force.
pub(super) fn print(flags: &Flags) -> anyhow::Result<()> {
    let loaded = load(flags)?;
    write!(io::stdout().lock(), "{}", as_file(&loaded.origins)).context("stdout")
}

/// Prints that all is well, if it is.
pub(super) fn check(flags: &Flags) -> anyhow::Result<()> {
    let loaded = load(flags)?;
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    writeln!(io::stdout().lock(), "the configuration is valid").context("stdout")
}

fn load(flags: &Flags) -> anyhow::Result<Loaded> {
    let here = env::current_dir().context("the working directory")?;
    let loaded = config::load(flags, config::environment(), &here)?;
    logs::filter(env::var("PALABRE_LOG").ok().as_deref())?;
    Ok(loaded)
}

/// A configuration file that says for each setting where its value stands.
fn as_file(settings: &[Setting]) -> String {
    let mut text =
        String::from("# The settings in force. Masked values and settings without one are commented out.\n");
    let mut section = "";
    for setting in settings {
        let (of, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if of != section {
            text += &format!("\n[{of}]\n");
            section = of;
        }
        let origin = setting.origin.as_deref().unwrap_or("default");
        text += &match &setting.value {
            None => format!("# {name} is not set\n"),
            Some(value) if setting.is_masked => format!("# {name} = {value} # {origin}, masked\n"),
            Some(value) => format!("{name} = {value} # {origin}\n"),
        };
    }
    text
}
