//! One measurement: start the servers and a swarm, read the servers' figures at the right moments, stop all.
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
use crate::redis::Redis;

/// Limits that no load reaches.
const UNLIMITED: [(&str, &str); 6] = [
    ("PALABRE_LIMITS_FRAMES_PER_S", "1000000"),
    ("PALABRE_LIMITS_FRAMES_BURST", "1000000"),
    ("PALABRE_LIMITS_BYTES_PER_S", "1GiB"),
    ("PALABRE_LIMITS_BYTES_BURST", "1GiB"),
    ("PALABRE_LIMITS_USER_REQUESTS_PER_S", "1000000"),
    ("PALABRE_LIMITS_USER_REQUESTS_BURST", "1000000"),
];

pub(crate) const START_DEADLINE: Duration = Duration::from_secs(15);
/// Ten thousand clients come in within it, at five hundred a second.
pub(crate) const GATHER_DEADLINE: Duration = Duration::from_secs(60);
/// What a run may take beyond its own sending phase.
pub(crate) const RUN_DEADLINE: Duration = Duration::from_secs(60);
const FLOOD_DEADLINE: Duration = Duration::from_secs(300);
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Of the rate that is asked for, what has to come to pass: the last delivery is that close behind the last message.
const HELD: f64 = 0.97;

/// Where the programs are, and how the hub is started.
#[derive(Debug)]
pub struct Bench {
    /// The hub.
    pub palabre: PathBuf,
    /// The yardstick.
    pub limit: PathBuf,
    /// The load.
    pub swarm: PathBuf,
    /// For the measurements that need one.
    pub redis_server: PathBuf,
    /// Further arguments of `palabre serve`.
    pub hub_args: Vec<String>,
}

/// How the limit writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Each message to each socket by itself.
    Plain,
    /// All that is due in one write a socket.
    Coalesced,
}

/// What servers cost under one load.
#[derive(Debug, Clone)]
pub struct Side {
    /// CPU seconds of the servers for a million deliveries.
    pub cpu_per_million: f64,
    /// CPU seconds of the load for a million deliveries.
    pub swarm_per_million: f64,
    /// All that the swarm counted.
    pub swarm: Value,
}

/// Two costs under one load, taken one right after the other.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What is looked at.
    pub hub: Side,
    /// What it is held against.
    pub beside: Side,
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

    /// Deliveries a second, from the first message to the last delivery.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.count("deliveries") as f64 / self.swarm["seconds"].as_f64().unwrap_or(f64::INFINITY)
    }

    /// Whether the deliveries kept up with the messages.
    #[must_use]
    pub fn is_held(&self, plan: &Plan) -> bool {
        self.per_second() >= HELD * f64::from(plan.rate) * f64::from(plan.members)
    }

    fn json(&self) -> Value {
        json!({ "cpu_per_million": self.cpu_per_million, "swarm": self.swarm })
    }
}

impl Pair {
    /// How many times the other's cost the hub's is.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.hub.cpu_per_million / self.beside.cpu_per_million
    }

    /// The figures for a machine.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "ratio": self.ratio(), "hub": self.hub.json(), "beside": self.beside.json() })
    }
}

impl Bench {
    /// The hub by itself, then the limit with frames of the hub's length.
    ///
    /// # Errors
    ///
    /// When a program fails, or the hub delivers nothing.
    pub fn beside_limit(&self, plan: &Plan, writes: Writes) -> Result<Pair> {
        let hub = self.hub_under(plan)?;
        let beside = self.limit_under(plan, hub.count("frame_bytes"), writes)?;
        Ok(Pair { hub, beside })
    }

    /// The node of the members of a group whose speaker is on another node, beside a node that has them all.
    ///
    /// # Errors
    ///
    /// As [`Bench::beside_limit`].
    pub fn remote_beside_single(&self, plan: &Plan) -> Result<Pair> {
        let redis = Redis::start(&self.redis_server)?;
        let (speaker, elsewhere) = self.start_hub(Some(redis.url()))?;
        let (members, address) = self.start_hub(Some(redis.url()))?;
        let mut command = self.swarm_command("load", "--hub", address);
        command.args(["--speaker", &elsewhere.to_string()]).args(plan.flags());
        let hub = run_on_hub(&mut command, plan, &[members.pid()]).context("two nodes under load")?;
        members.stop(STOP_DEADLINE)?;
        speaker.stop(STOP_DEADLINE)?;
        redis.stop()?;
        Ok(Pair { hub, beside: self.hub_under(plan)? })
    }

    /// A hub and its Redis together, beside a hub without.
    ///
    /// # Errors
    ///
    /// As [`Bench::beside_limit`].
    pub fn redis_beside_memory(&self, plan: &Plan) -> Result<Pair> {
        let redis = Redis::start(&self.redis_server)?;
        let (node, address) = self.start_hub(Some(redis.url()))?;
        let mut command = self.swarm_command("load", "--hub", address);
        let pids = [node.pid(), redis.pid()];
        let hub = run_on_hub(command.args(plan.flags()), plan, &pids).context("the hub over Redis")?;
        node.stop(STOP_DEADLINE)?;
        redis.stop()?;
        Ok(Pair { hub, beside: self.hub_under(plan)? })
    }

    /// A hub of one node under load.
    ///
    /// # Errors
    ///
    /// When a program fails, or nothing is delivered.
    pub fn hub_under(&self, plan: &Plan) -> Result<Side> {
        let (hub, address) = self.start_hub(None)?;
        let mut command = self.swarm_command("load", "--hub", address);
        let side =
            run_on_hub(command.args(plan.flags()), plan, &[hub.pid()]).context("the hub under load")?;
        hub.stop(STOP_DEADLINE)?;
        Ok(side)
    }

    /// The limit under load.
    ///
    /// # Errors
    ///
    /// When a program fails.
    pub fn limit_under(&self, plan: &Plan, frame_bytes: u64, writes: Writes) -> Result<Side> {
        let mut command = Command::new(&self.limit);
        command.args(["--frame-bytes", &frame_bytes.to_string()]).args(plan.flags());
        if writes == Writes::Coalesced {
            command.arg("--coalesce");
        }
        let mut limit = Program::start(&mut command)?;
        let address = limit.line("listening on ", START_DEADLINE)?.parse().context("the limit's address")?;
        let mut command = self.swarm_command("load", "--limit", address);
        let mut swarm = Program::start(command.args(plan.flags()))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        limit.line("ready", START_DEADLINE)?;
        swarm.begin()?;
        let before = cpu::cpu_seconds(limit.pid())?;
        limit.begin()?;
        let figures = figures(&swarm, run_deadline(plan)).context("the limit under load")?;
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
        let (hub, address) = self.start_hub(None)?;
        let mut command = self.swarm_command("flood", "--hub", address);
        let mut swarm = Program::start(command.args(["--frames", &frames.to_string()]))?;
        swarm.line("ready", GATHER_DEADLINE)?;
        swarm.begin()?;
        let figures = figures(&swarm, FLOOD_DEADLINE)?;
        swarm.finish(STOP_DEADLINE)?;
        hub.stop(STOP_DEADLINE)?;
        Ok(figures)
    }

    pub(crate) fn start_hub(&self, redis_url: Option<&str>) -> Result<(Program, SocketAddr)> {
        let mut command = Command::new(&self.palabre);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        // What arrivals cost is measured, not the pace at which a hub lets them in.
        command.args(["--set", "server.accept_rate=1000000"]).args(&self.hub_args);
        if let Some(url) = redis_url {
            command.args(["--redis-url", url]);
        }
        // What is measured is what the flags say, not what the shell happens to carry.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PALABRE_") || name.to_string_lossy().starts_with("REDIS_")
            {
                command.env_remove(name);
            }
        }
        // One connection sends thousands of messages a second here, which is what the limits are there to stop.
        command.envs(UNLIMITED);
        let hub = Program::start(&mut command)?;
        let address = hub.line("listening on http://", START_DEADLINE)?;
        Ok((hub, address.trim_end_matches('/').parse().context("the hub's address")?))
    }

    pub(crate) fn swarm_command(&self, work: &str, target: &str, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.swarm);
        command.args([work, target, &address.to_string()]);
        command
    }
}

/// Runs a swarm to its end; the cost is that of the processes `servers` together.
fn run_on_hub(command: &mut Command, plan: &Plan, servers: &[u32]) -> Result<Side> {
    let cpu_seconds = || servers.iter().map(|pid| cpu::cpu_seconds(*pid)).sum::<Result<f64>>();
    let mut swarm = Program::start(command)?;
    swarm.line("ready", GATHER_DEADLINE)?;
    let before = cpu_seconds()?;
    swarm.begin()?;
    let figures = figures(&swarm, run_deadline(plan))?;
    let spent = cpu_seconds()? - before;
    swarm.finish(STOP_DEADLINE)?;
    Side::new(spent, figures)
}

fn run_deadline(plan: &Plan) -> Duration {
    Duration::from_secs(plan.seconds.into()) + RUN_DEADLINE
}

/// The one line of JSON that a swarm ends with.
pub(crate) fn figures(swarm: &Program, deadline: Duration) -> Result<Value> {
    let rest = swarm.line("{", deadline)?;
    serde_json::from_str(&format!("{{{rest}")).context("the swarm's figures")
}
