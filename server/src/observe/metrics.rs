//! Every metric: its name, its labels, what it says; and the page that a Prometheus reads.
//!
//! Nothing is recorded here. Whoever does something counts it where it happens, in a number of its own that costs a load and
//! a store; this gives the sums their names when somebody asks. Labels are words of closed lists, never a group, a name
//! or anything else that a client wrote: the number of series does not grow. The format is `OpenMetrics`, which
//! a library writes.

use crate::observe::process::Process;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use std::fmt;

/// What a page in this form is called.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A word of a closed list, and how often.
pub(crate) type Coded = Vec<(String, u64)>;

/// All that is measured, at a moment.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) version: &'static str,
    pub(crate) node: String,
    pub(crate) node_id: String,
    pub(crate) connections: u64,
    pub(crate) tasks: u64,
    /// From clients, and to them; with the scope that they had.
    pub(crate) messages: Vec<([&'static str; 2], u64)>,
    /// Up to how many seconds, how many took so long; the last bucket is for the rest.
    pub(crate) delivery: Vec<(f64, u64)>,
    pub(crate) delivery_s: f64,
    pub(crate) refusals: Coded,
    pub(crate) rate_limited: u64,
    pub(crate) closes: Coded,
    pub(crate) panics: u64,
    pub(crate) replaced: u64,
    pub(crate) slow: u64,
    pub(crate) repairs: u64,
    pub(crate) gaps: u64,
    /// Every state, and whether the layer is in it.
    pub(crate) states: Vec<(&'static str, bool)>,
    pub(crate) away_s: f64,
    pub(crate) heals: u64,
    pub(crate) spooled: u64,
    pub(crate) spool_dropped: u64,
    pub(crate) replayed: u64,
    pub(crate) recovered: u64,
    pub(crate) canary_s: Option<f64>,
    pub(crate) put_back: u64,
    pub(crate) dropped: u64,
    pub(crate) malformed: u64,
    pub(crate) groups: u64,
    pub(crate) remembered: u64,
    /// Unknown while the nodes' list cannot be read.
    pub(crate) nodes: Option<u64>,
    /// Absent without Redis.
    pub(crate) redis: Option<RedisNumbers>,
    pub(crate) process: Option<Process>,
}

/// What is known of Redis; what it has not said lately is absent.
#[derive(Debug)]
pub(crate) struct RedisNumbers {
    pub(crate) is_up: bool,
    pub(crate) connects: u64,
    pub(crate) connect_failures: u64,
    pub(crate) clients: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) latency_s: Option<f64>,
}

impl Numbers {
    /// The page.
    pub(crate) fn page(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        text::encode(&mut page, &registry).expect("a String takes whatever is written");
        page
    }
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = To(encoder);
        let info = [("version", self.version), ("node", &self.node), ("node_id", &self.node_id)];
        to.0.encode_descriptor("palabre_build", "The program and this process.", None, MetricType::Info)?
            .encode_info(&info)?;
        to.gauge("palabre_connections", "WebSockets that are open.", self.connections)?;
        to.gauge("palabre_tasks", "Tasks that serve connections, and the workers' own.", self.tasks)?;
        to.messages(&self.messages)?;
        to.0.encode_descriptor(
            "palabre_delivery_seconds",
            "From a request to send until the message was handed to the sockets of the sender's worker; a sample.",
            None,
            MetricType::Histogram,
        )?
        .encode_histogram::<NoLabelSet>(
            self.delivery_s,
            self.delivery.iter().map(|(_, count)| count).sum(),
            &self.delivery,
            None,
        )?;
        to.coded("palabre_refusals", "Requests that were refused, by the error's code.", &self.refusals)?;
        to.counter("palabre_ratelimited", "Requests over a rate limit.", self.rate_limited)?;
        to.coded("palabre_closes", "WebSockets that have ended, by the close's code.", &self.closes)?;
        to.counter("palabre_panics", "Connections that were closed since a handler panicked.", self.panics)?;
        to.counter(
            "palabre_workers_replaced",
            "Workers whose place another took, since code held their thread or they had failed.",
            self.replaced,
        )?;
        to.counter(
            "palabre_slow_consumers",
            "Clients that took too little of what was sent to them.",
            self.slow,
        )?;
        to.counter("palabre_repairs", "Times that something missed was read from a history.", self.repairs)?;
        to.counter(
            "palabre_gaps",
            "Histories that had lost what this node had, or should have had.",
            self.gaps,
        )?;
        self.layer(&mut to)?;
        if let Some(redis) = &self.redis {
            redis.encode(&mut to)?;
        }
        self.process.as_ref().map_or(Ok(()), |process| process.encode(&mut to))
    }
}

impl Numbers {
    fn layer(&self, to: &mut To<'_>) -> fmt::Result {
        to.states(&self.states)?;
        to.seconds(
            "palabre_layer_degraded_seconds",
            "How long this node has been without the others.",
            self.away_s,
        )?;
        to.counter("palabre_layer_heals", "Times that it found the others again.", self.heals)?;
        to.gauge("palabre_layer_spooled", "Messages that only this node has as yet.", self.spooled)?;
        to.counter(
            "palabre_layer_spool_dropped",
            "Messages that it could not keep for the others.",
            self.spool_dropped,
        )?;
        to.counter(
            "palabre_layer_replayed",
            "Messages that it had kept and brought to the others.",
            self.replayed,
        )?;
        to.counter(
            "palabre_layer_recovered",
            "Messages that members here had missed and were read for them.",
            self.recovered,
        )?;
        if let Some(canary) = self.canary_s {
            to.gauge("palabre_layer_canary_seconds", "How long a message to itself last took.", canary)?;
        }
        to.counter(
            "palabre_layer_put_back",
            "Messages that the backend had lost and this node still had.",
            self.put_back,
        )?;
        to.counter(
            "palabre_layer_dropped_arrivals",
            "Times that arrivals were dropped and read again.",
            self.dropped,
        )?;
        to.counter(
            "palabre_layer_malformed",
            "Messages that the backend pushed and nobody can read.",
            self.malformed,
        )?;
        to.gauge("palabre_layer_groups", "Groups that this node knows.", self.groups)?;
        to.gauge("palabre_layer_messages", "Messages that this node remembers.", self.remembered)?;
        match self.nodes {
            Some(nodes) => to.gauge("palabre_layer_nodes", "Nodes that share the hub.", nodes),
            None => Ok(()),
        }
    }
}

impl RedisNumbers {
    fn encode(&self, to: &mut To<'_>) -> fmt::Result {
        to.gauge("palabre_redis_up", "Whether Redis works for this node.", u64::from(self.is_up))?;
        to.counter("palabre_redis_connects", "Links that were made.", self.connects)?;
        to.counter("palabre_redis_connect_failures", "Links that could not be made.", self.connect_failures)?;
        if let Some(clients) = self.clients {
            to.gauge("palabre_redis_connected_clients", "Clients of Redis, all nodes' and others.", clients)?;
        }
        if let Some(bytes) = self.memory_bytes {
            to.gauge("palabre_redis_memory_bytes", "Memory that Redis uses.", bytes)?;
        }
        match self.latency_s {
            Some(latency) => {
                to.gauge("palabre_redis_latency_seconds", "How long its last answer took.", latency)
            }
            None => Ok(()),
        }
    }
}

impl Process {
    fn encode(&self, to: &mut To<'_>) -> fmt::Result {
        to.seconds("process_cpu_seconds", "Processor time.", self.cpu_s)?;
        to.gauge("process_resident_memory_bytes", "Memory held.", self.resident_bytes)?;
        to.gauge("process_open_fds", "Files and sockets open.", self.open_files)?;
        to.gauge("process_threads", "Threads.", self.threads)
    }
}

/// Writes metrics, one after the other. The suffix `_total` comes of itself.
struct To<'a>(DescriptorEncoder<'a>);

impl To<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue + Copy) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn coded(&mut self, name: &str, help: &str, values: &Coded) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (code, value) in values {
            let labels = [("code", code.as_str())];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn messages(&mut self, values: &[([&'static str; 2], u64)]) -> fmt::Result {
        let help = "Messages: `in` from this node's clients, acked; `out` to its sockets.";
        let mut metric = self.0.encode_descriptor("palabre_messages", help, None, MetricType::Counter)?;
        for ([dir, scope], value) in values {
            let labels = [("dir", *dir), ("scope", *scope)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn states(&mut self, values: &[(&'static str, bool)]) -> fmt::Result {
        let help = "1 for the state that the layer is in.";
        let mut metric = self.0.encode_descriptor("palabre_layer_state", help, None, MetricType::Gauge)?;
        for (state, is_in) in values {
            let labels = [("state", *state)];
            metric.encode_family(&labels)?.encode_gauge(&u64::from(*is_in))?;
        }
        Ok(())
    }
}
