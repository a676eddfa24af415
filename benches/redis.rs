//! A `redis-server` of the report's own: on a free port, with nothing on disk, gone with the report.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::program::Program;

const START_DEADLINE: Duration = Duration::from_secs(15);
const STOP_DEADLINE: Duration = Duration::from_secs(15);

/// A running server.
#[derive(Debug)]
pub struct Redis {
    program: Program,
    url: String,
}

impl Redis {
    /// Starts `server` and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// When there is no such program, or it does not get ready.
    pub fn start(server: &Path) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
        let port = free.local_addr()?.port();
        drop(free);
        let mut command = Command::new(server);
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let program = Program::start(&mut command).context("is redis-server installed?")?;
        program.says("Ready to accept connections", START_DEADLINE)?;
        Ok(Self { program, url: format!("redis://127.0.0.1:{port}") })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn stop(self) -> Result<()> {
        self.program.stop(STOP_DEADLINE)
    }
}
