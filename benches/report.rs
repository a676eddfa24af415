//! `report`: the hub beside the limit, under the same loads, as a table of ratios.
//!
//! Starts the programs that lie beside it and builds nothing. Each load is run on the hub and then on what it is held
//! against, a few times over; the ratio of a load is the median of the ratios of its runs, as what disturbs a machine
//! disturbs neighbours in time alike. No time is a promise; the ratios and the counts are what `--check` looks at.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is this program's output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, thread};

use anyhow::{Context as _, Result};
use clap::Parser;
use palabre_benches::arrivals::Storm;
use palabre_benches::measure::{Bench, Pair, Side, Writes};
use palabre_benches::plan::Plan;
use palabre_benches::rows::{HEADINGS, flood_line, row};
use palabre_benches::sizes::{Load, Sizes};
use palabre_benches::table::{Table, median};
use serde_json::{Value, json};

/// How many times the other's cost the hub's may be.
const FANOUT_RATIO_MAX: f64 = 1.10;
const GROUPS_RATIO_MAX: f64 = 1.25;
const REMOTE_RATIO_MAX: f64 = 1.15;
const REDIS_RATIO_MAX: f64 = 2.0;
const STORM_RATIO_MAX: f64 = 3.0;

/// What an idle connection that has joined a group may weigh.
const IDLE_KIB_MAX: f64 = 5.0;

/// By what part of itself a rate climbs until it is not held, and how often at most.
const CLIMB_BY: u32 = 4;
const CLIMBS_MAX: u32 = 8;

/// Measures the hub beside the limit program.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Runs of each load [default: 3, or 1 with --quick]
    #[arg(long)]
    runs: Option<u32>,
    /// Seconds of each sending phase [default: 10, or 2 with --quick]
    #[arg(long)]
    seconds: Option<u32>,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Case>,
    /// One short run with few sockets: shows that everything works, measures nothing.
    #[arg(long)]
    quick: bool,
    /// Exit with 1 when a delivery was lost, doubled or out of order, or (not with --quick) a figure is too high.
    #[arg(long)]
    check: bool,
    /// Write all figures of all runs to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A further argument of `palabre serve`; may be given several times.
    #[arg(long, allow_hyphen_values = true)]
    hub_arg: Vec<String>,
    /// The hub [default: palabre, beside this program]
    #[arg(long)]
    palabre: Option<PathBuf>,
    /// The limit program [default: limit, beside this program]
    #[arg(long)]
    limit: Option<PathBuf>,
    /// The load [default: swarm, beside this program]
    #[arg(long)]
    swarm: Option<PathBuf>,
    /// For what goes through Redis
    #[arg(long, default_value = "/usr/bin/redis-server")]
    redis_server: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    Fanout,
    Groups,
    Pressure,
    Remote,
    Redis,
    Storm,
    Idle,
    Flood,
}

/// What has been measured so far.
#[derive(Debug)]
struct Report {
    bench: Bench,
    sizes: Sizes,
    judging: Judging,
    faults: Vec<String>,
    figures: Value,
}

/// What becomes of a figure that is too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judging {
    Costs,
    /// A run of two seconds with few sockets says nothing about cost.
    CountsAlone,
}

fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    let mut sizes = if flags.quick { Sizes::quick() } else { Sizes::full() };
    sizes.runs = flags.runs.unwrap_or(sizes.runs);
    sizes.seconds = flags.seconds.unwrap_or(sizes.seconds);
    let cores = thread::available_parallelism().context("counting the cores")?;
    println!("{cores} cores, medians of {} run(s) of {} s\n", sizes.runs, sizes.seconds);

    let figures = json!({ "cores": cores, "runs": sizes.runs, "seconds": sizes.seconds });
    let judging = if flags.quick { Judging::CountsAlone } else { Judging::Costs };
    let mut report = Report { bench: bench(&flags)?, sizes, judging, faults: Vec::new(), figures };
    report.measure(&flags.only)?;
    let Report { faults, figures, .. } = report;
    if let Some(path) = &flags.json {
        fs::write(path, format!("{figures:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    Ok(if flags.check && !faults.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Report {
    fn measure(&mut self, only: &[Case]) -> Result<()> {
        let wanted = |case| only.is_empty() || only.contains(&case);
        let Sizes { fanout, groups, pressure, .. } = self.sizes;
        let plain = |bench: &Bench, plan: &Plan| bench.beside_limit(plan, Writes::Plain);
        let mut table = Table::new(&HEADINGS);
        if wanted(Case::Fanout) {
            table.push(self.load("fanout", fanout, "limit", FANOUT_RATIO_MAX, plain)?);
        }
        if wanted(Case::Groups) {
            table.push(self.load("groups", groups, "limit", GROUPS_RATIO_MAX, plain)?);
        }
        if wanted(Case::Remote) {
            let remote = Bench::remote_beside_single;
            table.push(self.load("remote", fanout, "one node", REMOTE_RATIO_MAX, remote)?);
        }
        if wanted(Case::Redis) {
            let redis = Bench::redis_beside_memory;
            table.push(self.load("redis", groups, "memory layer", REDIS_RATIO_MAX, redis)?);
        }
        if wanted(Case::Pressure) {
            let coalesced = |bench: &Bench, plan: &Plan| bench.beside_limit(plan, Writes::Coalesced);
            table.push(self.load("pressure", pressure, "coalescing limit", f64::INFINITY, coalesced)?);
        }
        if [Case::Fanout, Case::Groups, Case::Remote, Case::Redis, Case::Pressure].into_iter().any(wanted) {
            println!("{table}");
        }
        if wanted(Case::Pressure) && self.judging == Judging::Costs {
            println!("{}", self.climb()?);
        }
        if wanted(Case::Storm) {
            println!("{}", self.storm()?);
        }
        if wanted(Case::Idle) {
            println!("{}", self.idle()?);
        }
        if wanted(Case::Flood) {
            println!("{}", self.flood()?);
        }
        Ok(())
    }

    /// Runs a load as often as asked for; gives its row of the table.
    fn load(
        &mut self,
        name: &str,
        load: Load,
        beside: &str,
        ratio_max: f64,
        pair: impl Fn(&Bench, &Plan) -> Result<Pair>,
    ) -> Result<Vec<String>> {
        let plan = load.plan(self.sizes.seconds);
        let mut pairs = Vec::new();
        for run in 1..=self.sizes.runs {
            eprintln!("{name}, run {run} of {} …", self.sizes.runs);
            pairs.push(pair(&self.bench, &plan).with_context(|| name.to_owned())?);
        }
        let ratio = median(pairs.iter().map(Pair::ratio));
        self.judge(ratio, ratio_max, &format!("{name}: times what {beside} costs"));
        for pair in &pairs {
            for (who, side) in [("the hub", &pair.hub), (beside, &pair.beside)] {
                if !side.is_clean() {
                    self.faults
                        .push(format!("{name}: not every delivery came to pass at {who}: {}", side.swarm));
                }
            }
            if self.judging == Judging::Costs && !pair.hub.is_held(&plan) {
                self.faults
                    .push(format!("{name}: {} messages/s are too many: {}", plan.rate, pair.hub.swarm));
            }
        }
        self.figures[name] = json!({
            "ratio": ratio,
            "runs": pairs.iter().map(Pair::json).collect::<Vec<Value>>(),
        });
        let name = format!("{name} {} × {}", plan.groups, plan.members);
        Ok(row(&name, &plan, beside, ratio_max, &pairs))
    }

    /// How far the rate of the pressure can climb, at the hub and at the limit.
    fn climb(&mut self) -> Result<String> {
        let load = self.sizes.pressure;
        let seconds = self.sizes.seconds.min(5);
        let frame_bytes = self.bench.hub_under(&load.plan(seconds))?.count("frame_bytes");
        let hub = highest(load, seconds, |plan| self.bench.hub_under(plan))?;
        let limit =
            highest(load, seconds, |plan| self.bench.limit_under(plan, frame_bytes, Writes::Coalesced))?;
        self.figures["held"] = json!({ "hub": hub, "limit": limit });
        Ok(format!("pressure: {hub} deliveries/s are held, {limit} by the coalescing limit"))
    }

    fn storm(&mut self) -> Result<String> {
        let (sockets, at_once) = self.sizes.storm;
        let mut storms = Vec::new();
        for run in 1..=self.sizes.runs {
            eprintln!("storm, run {run} of {} …", self.sizes.runs);
            storms.push(self.bench.storm(sockets, at_once).context("the storm")?);
        }
        let middle = |figure: &dyn Fn(&(Storm, Storm)) -> f64| median(storms.iter().map(figure));
        let ratio = middle(&|(hub, limit)| hub.cpu_us / limit.cpu_us);
        self.judge(ratio, STORM_RATIO_MAX, "storm: times what an arrival costs the limit");
        let (hub_us, limit_us) = (middle(&|(hub, _)| hub.cpu_us), middle(&|(_, limit)| limit.cpu_us));
        let (hub_rate, limit_rate) =
            (middle(&|(hub, _)| hub.per_second), middle(&|(_, limit)| limit.per_second));
        self.figures["storm"] = json!({ "ratio": ratio, "hub_us": hub_us, "limit_us": limit_us });
        Ok(format!(
            "storm: {sockets} arrivals, {at_once} at once: {hub_us:.0} µs of CPU each, {hub_rate:.0}/s; the limit \
             {limit_us:.0} µs, {limit_rate:.0}/s; ratio {ratio:.2}, at most {STORM_RATIO_MAX:.2}; none failed"
        ))
    }

    fn idle(&mut self) -> Result<String> {
        eprintln!("idle …");
        let sockets = self.sizes.idle_sockets;
        let kib = self.bench.idle_kib(sockets).context("the idle crowd")?;
        self.judge(kib, IDLE_KIB_MAX, "idle: KiB a connection");
        self.figures["idle_kib"] = json!(kib);
        Ok(format!(
            "idle: {kib:.1} KiB a connection, at most {IDLE_KIB_MAX:.1}; {sockets} connections in groups of ten"
        ))
    }

    fn flood(&mut self) -> Result<String> {
        eprintln!("flood …");
        let figures = self.bench.flood(self.sizes.flood_frames).context("the flood")?;
        if figures["unanswered"] != 0 {
            self.faults.push(format!("flood: a question was never answered: {figures}"));
        }
        let line = flood_line(&figures);
        self.figures["flood"] = figures;
        Ok(line)
    }

    fn judge(&mut self, figure: f64, max: f64, what: &str) {
        if self.judging == Judging::Costs && figure > max {
            self.faults.push(format!("{what}: {figure:.2}, at most {max:.2}"));
        }
    }
}

fn bench(flags: &Flags) -> Result<Bench> {
    let own = env::current_exe().context("finding this program")?;
    let folder = own.parent().unwrap_or_else(|| Path::new("."));
    let beside = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| folder.join(name));
    Ok(Bench {
        palabre: beside(&flags.palabre, "palabre"),
        limit: beside(&flags.limit, "limit"),
        swarm: beside(&flags.swarm, "swarm"),
        redis_server: flags.redis_server.clone(),
        hub_args: flags.hub_arg.clone(),
    })
}

/// The most deliveries a second that come in order and in time, climbing from the load's own rate; 0: not even that.
fn highest(load: Load, seconds: u32, run: impl Fn(&Plan) -> Result<Side>) -> Result<u64> {
    let mut held = 0;
    let mut rate = load.rate();
    for _ in 0..CLIMBS_MAX {
        let plan = load.at(rate).plan(seconds);
        eprintln!("pressure, {rate} messages/s …");
        let side = run(&plan)?;
        if !(side.is_clean() && side.is_held(&plan)) {
            break;
        }
        held = u64::from(rate) * u64::from(plan.members);
        rate += rate / CLIMB_BY;
    }
    Ok(held)
}
