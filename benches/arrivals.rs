//! What it costs to be there: arrivals by the hundred, and connections that say nothing.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cpu;
use crate::measure::{Bench, GATHER_DEADLINE, RUN_DEADLINE, START_DEADLINE, STOP_DEADLINE, figures};
use crate::program::Program;

/// What arrivals cost.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// CPU microseconds of the server for each client that connected, said hello and joined.
    pub cpu_us: f64,
    /// Clients let in a second.
    pub per_second: f64,
}

impl Bench {
    /// `sockets` clients connect, say hello and join a group of ten, `at_once` of them at any time: at the hub, and at
    /// the limit, which answers with frames of the same lengths.
    ///
    /// # Errors
    ///
    /// When a program fails, or a single client is not let in.
    pub fn storm(&self, sockets: u32, at_once: u32) -> Result<(Storm, Storm)> {
        let (sockets, at_once) = (sockets.to_string(), at_once.to_string());
        let flags = ["--sockets", &sockets, "--at-once", &at_once];
        let (hub, address) = self.start_hub(None)?;
        let mut command = self.swarm_command("idle", "--hub", address);
        let (ours, swarm) = arrivals(command.args(flags), hub.pid()).context("a storm on the hub")?;
        hub.stop(STOP_DEADLINE)?;

        let answers = format!("{},{}", swarm["welcome_bytes"], swarm["joined_bytes"]);
        let mut command = Command::new(&self.limit);
        let plan = ["--shape", "groups", "--groups", "1", "--members", &sockets, "--rate", "1"];
        let limit = Program::start(command.args(["--frame-bytes", "200", "--answers", &answers]).args(plan))?;
        let address = limit.line("listening on ", START_DEADLINE)?.parse().context("the limit's address")?;
        let mut command = self.swarm_command("idle", "--limit", address);
        let (its, _) = arrivals(command.args(flags), limit.pid()).context("a storm on the limit")?;
        Ok((ours, its))
    }

    /// KiB by which the hub's resident memory grows for each of `sockets` idle connections.
    ///
    /// # Errors
    ///
    /// When a program fails.
    pub fn idle_kib(&self, sockets: u32) -> Result<f64> {
        let (hub, address) = self.start_hub(None)?;
        let before = cpu::resident_kib(hub.pid())?;
        let mut command = self.swarm_command("idle", "--hub", address);
        let mut swarm = Program::start(command.args(["--sockets", &sockets.to_string()]))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        let after = cpu::resident_kib(hub.pid())?;
        swarm.begin()?;
        figures(&swarm, RUN_DEADLINE)?;
        swarm.finish(STOP_DEADLINE)?;
        hub.stop(STOP_DEADLINE)?;
        Ok(after.saturating_sub(before) as f64 / f64::from(sockets))
    }
}

/// Has a swarm come in, and then go; the cost is read while all are in.
fn arrivals(command: &mut Command, server: u32) -> Result<(Storm, Value)> {
    let before = cpu::cpu_seconds(server)?;
    let mut swarm = Program::start(command)?;
    swarm.line("ready", GATHER_DEADLINE)?;
    let spent = cpu::cpu_seconds(server)? - before;
    swarm.begin()?;
    let figures = figures(&swarm, RUN_DEADLINE)?;
    swarm.finish(STOP_DEADLINE)?;
    let sockets = figures["sockets"].as_f64().unwrap_or(f64::NAN);
    let seconds = figures["seconds"].as_f64().unwrap_or(f64::NAN);
    ensure!(figures["closed"] == 0, "clients were closed: {figures}");
    Ok((Storm { cpu_us: spent * 1e6 / sockets, per_second: sockets / seconds }, figures))
}
