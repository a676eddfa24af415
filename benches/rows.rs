//! How a measurement reads: the rows and lines of the report.

use serde_json::Value;

use crate::measure::Pair;
use crate::plan::Plan;
use crate::table::median;

/// The columns of the loads' table.
pub const HEADINGS: [&str; 14] = [
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

/// The row of a load under [`HEADINGS`]: medians of the costs and latencies, sums of what went wrong.
#[must_use]
pub fn row(name: &str, plan: &Plan, beside: &str, ratio_max: f64, pairs: &[Pair]) -> Vec<String> {
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

/// What a flood did to its neighbours.
#[must_use]
pub fn flood_line(figures: &Value) -> String {
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
