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
use palabre_benches::measure::{Bench, Pair, Side, Storm, Writes};
use palabre_benches::plan::Plan;
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

/// Of the rate that is asked for, what has to come to pass: the last delivery is that close behind the last message.
const HELD: f64 = 0.97;

/// By what part of itself a rate climbs until it is not held, and how often at most.
const CLIMB_BY: u32 = 4;
const CLIMBS_MAX: u32 = 8;

const HEADINGS: [&str; 14] = [
    "load",
    "msg/s",
    "beside",
    "CPU s/M",
    "its CPU s/M",
    "ratio",
    "at most",
    "lost",
    "out of order",
    "duplicated",
    "p50 µs",
    "p99 µs",
    "its p50 µs",
    "its p99 µs",
];

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
            if self.judging == Judging::Costs && !is_held(&pair.hub, &plan) {
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

/// Whether the deliveries kept up with the messages.
fn is_held(side: &Side, plan: &Plan) -> bool {
    side.per_second() >= HELD * f64::from(plan.rate) * f64::from(plan.members)
}

/// The most deliveries a second that come in order and in time, climbing from the load's own rate; 0: not even that.
fn highest(load: Load, seconds: u32, run: impl Fn(&Plan) -> Result<Side>) -> Result<u64> {
    let mut held = 0;
    let mut rate = load.rate();
    for _ in 0..CLIMBS_MAX {
        let plan = load.at(rate).plan(seconds);
        eprintln!("pressure, {rate} messages/s …");
        let side = run(&plan)?;
        if !(side.is_clean() && is_held(&side, &plan)) {
            break;
        }
        held = u64::from(rate) * u64::from(plan.members);
        rate += rate / CLIMB_BY;
    }
    Ok(held)
}

fn row(name: &str, plan: &Plan, beside: &str, ratio_max: f64, pairs: &[Pair]) -> Vec<String> {
    let middle = |figure: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(figure));
    let sum = |count: &str| pairs.iter().map(|pair| pair.hub.count(count)).sum::<u64>().to_string();
    let hub_us = |name: &str| middle(&|pair| pair.hub.count(name) as f64);
    let its_us = |name: &str| middle(&|pair| pair.beside.count(name) as f64);
    vec![
        name.to_owned(),
        plan.rate.to_string(),
        beside.to_owned(),
        format!("{:.2}", middle(&|pair| pair.hub.cpu_per_million)),
        format!("{:.2}", middle(&|pair| pair.beside.cpu_per_million)),
        format!("{:.2}", middle(&Pair::ratio)),
        if ratio_max.is_finite() { format!("{ratio_max:.2}") } else { "–".to_owned() },
        sum("lost"),
        sum("out_of_order"),
        sum("duplicated"),
        format!("{:.0}", hub_us("p50_us")),
        format!("{:.0}", hub_us("p99_us")),
        format!("{:.0}", its_us("p50_us")),
        format!("{:.0}", its_us("p99_us")),
    ]
}

fn flood_line(figures: &Value) -> String {
    let ending = match (&figures["flooder_closed"], &figures["flooder_close_code"]) {
        (Value::Bool(true), Value::Null) => "; the flooder was cut off".to_owned(),
        (Value::Bool(true), code) => format!("; the flooder was closed with {code}"),
        _ => String::new(),
    };
    format!(
        "flood: {} one-byte messages in {} s, {} answered; a neighbour waits {} µs at worst, p99 {} µs{ending}",
        figures["sent"], figures["seconds"], figures["answered"], figures["max_us"], figures["p99_us"],
    )
}
