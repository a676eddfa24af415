//! One measurement: start a server and a swarm, read the server's figures at the right moments, stop both.
//!
//! A server's CPU time is read from outside when the swarm says `ready` and again when it has printed its figures:
//! the same way for the hub and for the limit, so what the method gets wrong it gets wrong for both.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cpu;
use crate::plan::Plan;
use crate::program::Program;

const START_DEADLINE: Duration = Duration::from_secs(15);
/// Ten thousand clients come in within it, at five hundred a second.
const GATHER_DEADLINE: Duration = Duration::from_secs(60);
/// What a run may take beyond its own sending phase.
const RUN_DEADLINE: Duration = Duration::from_secs(60);
const FLOOD_DEADLINE: Duration = Duration::from_secs(300);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Where the programs are, and how the hub is started.
#[derive(Debug)]
pub struct Bench {
    /// The hub.
    pub palabre: PathBuf,
    /// The yardstick.
    pub limit: PathBuf,
    /// The load.
    pub swarm: PathBuf,
    /// Handed on to the hub.
    pub redis_url: Option<String>,
    /// Further arguments of `palabre serve`.
    pub hub_args: Vec<String>,
}

/// What one server cost under one load.
#[derive(Debug, Clone)]
pub struct Side {
    /// CPU seconds of the server for a million deliveries.
    pub cpu_per_million: f64,
    /// CPU seconds of the load for a million deliveries.
    pub swarm_per_million: f64,
    /// All that the swarm counted.
    pub swarm: Value,
}

/// The hub and the limit under one load, one after the other.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The hub.
    pub hub: Side,
    /// The limit, with frames of the length that the hub had sent.
    pub limit: Side,
}

impl Side {
    fn new(cpu_seconds: f64, swarm: Value) -> Result<Self> {
        let deliveries = swarm["deliveries"].as_u64().unwrap_or(0);
        ensure!(deliveries > 0, "nothing was delivered; the swarm's figures: {swarm}");
        let millions = deliveries as f64 / 1e6;
        let swarm_seconds = swarm["cpu_seconds"].as_f64().unwrap_or(0.0);
        Ok(Self {
            cpu_per_million: cpu_seconds / millions,
            swarm_per_million: swarm_seconds / millions,
            swarm,
        })
    }

    /// One of the swarm's counts.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.swarm[name].as_u64().unwrap_or(0)
    }

    /// Whether every delivery came once and in order, and nobody was refused or thrown out.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        ["lost", "out_of_order", "duplicated", "foreign", "errors", "closed"]
            .iter()
            .all(|name| self.count(name) == 0)
    }

    fn json(&self) -> Value {
        json!({ "cpu_per_million": self.cpu_per_million, "swarm": self.swarm })
    }
}

impl Pair {
    /// How many times the limit's cost the hub's is.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.hub.cpu_per_million / self.limit.cpu_per_million
    }

    /// The figures for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "ratio": self.ratio(), "hub": self.hub.json(), "limit": self.limit.json() })
    }
}

impl Bench {
    /// Runs the hub, then the limit with frames of the hub's length, under `plan`.
    ///
    /// # Errors
    ///
    /// When a program fails, or the hub delivers nothing.
    pub fn pair(&self, plan: &Plan) -> Result<Pair> {
        let hub = self.hub_under(plan).context("the hub under load")?;
        let limit = self.limit_under(plan, hub.count("frame_bytes")).context("the limit under load")?;
        Ok(Pair { hub, limit })
    }

    fn hub_under(&self, plan: &Plan) -> Result<Side> {
        let (hub, address) = self.start_hub()?;
        let mut command = self.swarm_command("load", "--hub", address);
        let mut swarm = Program::start(command.args(plan.flags()))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        let before = cpu::cpu_seconds(hub.pid())?;
        swarm.begin()?;
        let figures = figures(&swarm, run_deadline(plan))?;
        let cpu_seconds = cpu::cpu_seconds(hub.pid())? - before;
        swarm.finish(STOP_DEADLINE)?;
        hub.stop(STOP_DEADLINE)?;
        Side::new(cpu_seconds, figures)
    }

    fn limit_under(&self, plan: &Plan, frame_bytes: u64) -> Result<Side> {
        let mut command = Command::new(&self.limit);
        command.args(["--frame-bytes", &frame_bytes.to_string()]).args(plan.flags());
        let mut limit = Program::start(&mut command)?;
        let address = limit.line("listening on ", START_DEADLINE)?.parse().context("the limit's address")?;
        let mut command = self.swarm_command("load", "--limit", address);
        let mut swarm = Program::start(command.args(plan.flags()))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        limit.line("ready", START_DEADLINE)?;
        swarm.begin()?;
        let before = cpu::cpu_seconds(limit.pid())?;
        limit.begin()?;
        let figures = figures(&swarm, run_deadline(plan))?;
        // The limit ends when the swarm has; its times can be read until it is waited for.
        let cpu_seconds = cpu::cpu_seconds(limit.pid())? - before;
        swarm.finish(STOP_DEADLINE)?;
        limit.finish(STOP_DEADLINE)?;
        Side::new(cpu_seconds, figures)
    }

    /// Has one client send `frames` one-byte messages while others ask; gives the swarm's figures.
    ///
    /// # Errors
    ///
    /// When a program fails.
    pub fn flood(&self, frames: u64) -> Result<Value> {
        let (hub, address) = self.start_hub()?;
        let mut command = self.swarm_command("flood", "--hub", address);
        let mut swarm = Program::start(command.args(["--frames", &frames.to_string()]))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        swarm.begin()?;
        let figures = figures(&swarm, FLOOD_DEADLINE)?;
        swarm.finish(STOP_DEADLINE)?;
        hub.stop(STOP_DEADLINE)?;
        Ok(figures)
    }

    /// KiB by which the hub's resident memory grows for each of `sockets` idle connections.
    ///
    /// # Errors
    ///
    /// When a program fails.
    pub fn idle_kib(&self, sockets: u32) -> Result<f64> {
        let (hub, address) = self.start_hub()?;
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

    fn start_hub(&self) -> Result<(Program, SocketAddr)> {
        let mut command = Command::new(&self.palabre);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(&self.hub_args);
        if let Some(url) = &self.redis_url {
            command.args(["--redis-url", url]);
        }
        // What is measured is what the flags say, not what the shell happens to carry.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PALABRE_") || name.to_string_lossy().starts_with("REDIS_")
            {
                command.env_remove(name);
            }
        }
        let hub = Program::start(&mut command)?;
        let address = hub.line("listening on http://", START_DEADLINE)?;
        Ok((hub, address.trim_end_matches('/').parse().context("the hub's address")?))
    }

    fn swarm_command(&self, work: &str, target: &str, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.swarm);
        command.args([work, target, &address.to_string()]);
        command
    }
}

fn run_deadline(plan: &Plan) -> Duration {
    Duration::from_secs(plan.seconds.into()) + RUN_DEADLINE
}

/// The one line of JSON that a swarm ends with.
fn figures(swarm: &Program, deadline: Duration) -> Result<Value> {
    let rest = swarm.line("{", deadline)?;
    serde_json::from_str(&format!("{{{rest}")).context("the swarm's figures")
}
