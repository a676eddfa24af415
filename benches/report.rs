//! `report`: the hub beside the limit, under the same loads, as a table of ratios.
//!
//! Starts the programs that lie beside it and builds nothing. Each load is run on the hub and then on the limit, a
//! few times over; the ratio of a load is the median of the ratios of its runs, as what disturbs a machine disturbs
//! neighbours in time alike. No time is a promise; the ratios and the counts are what `--check` looks at.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the report is this program's output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, thread};

use anyhow::{Context as _, Result};
use clap::Parser;
use palabre_benches::measure::{Bench, Pair};
use palabre_benches::plan::{Plan, Shape};
use palabre_benches::sizes::Sizes;
use palabre_benches::table::{Table, median};
use serde_json::{Value, json};

/// How many times the limit's cost the hub may have.
const FANOUT_RATIO_MAX: f64 = 1.25;
const GROUPS_RATIO_MAX: f64 = 1.5;

const HEADINGS: [&str; 14] = [
    "load",
    "msg/s",
    "frame B",
    "hub CPU s/M",
    "limit CPU s/M",
    "ratio",
    "swarm CPU s/M",
    "lost",
    "out of order",
    "duplicated",
    "p50 µs",
    "p99 µs",
    "limit p50 µs",
    "limit p99 µs",
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
    /// Only this measurement.
    #[arg(long, value_enum)]
    only: Option<Case>,
    /// Let the hub use this Redis.
    #[arg(long)]
    redis_url: Option<String>,
    /// One short run with few sockets: shows that everything works, measures nothing.
    #[arg(long)]
    quick: bool,
    /// Exit with 1 when a delivery was lost, doubled or out of order, or (not with --quick) a ratio is too high.
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    Fanout,
    Groups,
    Flood,
    Idle,
}

/// What has been measured so far.
#[derive(Debug)]
struct Report {
    bench: Bench,
    sizes: Sizes,
    ratios: Ratios,
    faults: Vec<String>,
    figures: Value,
}

/// What becomes of a ratio that is too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ratios {
    Judged,
    /// A run of two seconds with few sockets says nothing about cost.
    Shown,
}

fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    let mut sizes = if flags.quick { Sizes::quick() } else { Sizes::full() };
    sizes.runs = flags.runs.unwrap_or(sizes.runs);
    sizes.seconds = flags.seconds.unwrap_or(sizes.seconds);
    let wanted = |case| flags.only.is_none_or(|only| only == case);
    let cores = thread::available_parallelism().context("counting the cores")?;
    let layer = layer_name(flags.redis_url.as_deref());
    println!("{layer}, {cores} cores, medians of {} run(s) of {} s\n", sizes.runs, sizes.seconds);

    let figures = json!({ "layer": layer, "cores": cores, "runs": sizes.runs, "seconds": sizes.seconds });
    let ratios = if flags.quick { Ratios::Shown } else { Ratios::Judged };
    let mut report = Report { bench: bench(&flags)?, sizes, ratios, faults: Vec::new(), figures };
    let mut table = Table::new(&HEADINGS);
    if wanted(Case::Fanout) {
        table.push(report.load("fanout", Shape::Fanout, FANOUT_RATIO_MAX)?);
    }
    if wanted(Case::Groups) {
        table.push(report.load("groups", Shape::Groups, GROUPS_RATIO_MAX)?);
    }
    if wanted(Case::Fanout) || wanted(Case::Groups) {
        println!("{table}");
    }
    if wanted(Case::Flood) {
        println!("{}", report.flood()?);
    }
    if wanted(Case::Idle) {
        println!("{}", report.idle()?);
    }
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
    /// Runs a load as often as asked for; gives its row of the table.
    fn load(&mut self, name: &str, shape: Shape, ratio_max: f64) -> Result<Vec<String>> {
        let plan = self.sizes.plan(shape);
        let mut pairs = Vec::new();
        for run in 1..=self.sizes.runs {
            eprintln!("{name}, run {run} of {} …", self.sizes.runs);
            pairs.push(self.bench.pair(&plan).with_context(|| name.to_owned())?);
        }
        let ratio = median(pairs.iter().map(Pair::ratio));
        if self.ratios == Ratios::Judged && ratio > ratio_max {
            self.faults.push(format!("{name}: {ratio:.2} times the limit; at most {ratio_max} is allowed"));
        }
        self.faults.extend(pairs.iter().flat_map(|pair| unclean(name, pair)));
        self.figures[name] = json!({
            "ratio": ratio,
            "runs": pairs.iter().map(Pair::json).collect::<Vec<Value>>(),
        });
        Ok(row(&format!("{name} {} × {}", plan.groups, plan.members), &plan, &pairs))
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

    fn idle(&mut self) -> Result<String> {
        eprintln!("idle …");
        let sockets = self.sizes.idle_sockets;
        let kib = self.bench.idle_kib(sockets).context("the idle crowd")?;
        self.figures["idle_kib"] = json!(kib);
        Ok(format!("idle: {kib:.1} KiB a connection, {sockets} connections in groups of ten"))
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
        redis_url: flags.redis_url.clone(),
        hub_args: flags.hub_arg.clone(),
    })
}

fn row(name: &str, plan: &Plan, pairs: &[Pair]) -> Vec<String> {
    let middle = |figure: &dyn Fn(&Pair) -> f64| median(pairs.iter().map(figure));
    let sum = |count: &str| pairs.iter().map(|pair| pair.hub.count(count)).sum::<u64>().to_string();
    let hub_us = |name: &str| middle(&|pair| pair.hub.count(name) as f64);
    let limit_us = |name: &str| middle(&|pair| pair.limit.count(name) as f64);
    vec![
        name.to_owned(),
        plan.rate.to_string(),
        format!("{:.0}", hub_us("frame_bytes")),
        format!("{:.2}", middle(&|pair| pair.hub.cpu_per_million)),
        format!("{:.2}", middle(&|pair| pair.limit.cpu_per_million)),
        format!("{:.2}", middle(&Pair::ratio)),
        format!("{:.2}", middle(&|pair| pair.hub.swarm_per_million)),
        sum("lost"),
        sum("out_of_order"),
        sum("duplicated"),
        format!("{:.0}", hub_us("p50_us")),
        format!("{:.0}", hub_us("p99_us")),
        format!("{:.0}", limit_us("p50_us")),
        format!("{:.0}", limit_us("p99_us")),
    ]
}

fn unclean(name: &str, pair: &Pair) -> Vec<String> {
    [("hub", &pair.hub), ("limit", &pair.limit)]
        .into_iter()
        .filter(|(_, side)| !side.is_clean())
        .map(|(who, side)| format!("{name}: not every delivery came to pass at the {who}: {}", side.swarm))
        .collect()
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

/// Names the layer; of a URL only the host, as it may carry a password.
fn layer_name(redis_url: Option<&str>) -> String {
    match redis_url {
        None => "memory layer".to_owned(),
        Some(url) => {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("redis layer at {host}")
        }
    }
}
