//! The sending phase: messages out at an even rate, every delivery counted, the figures as one line of JSON.
//!
//! Against the hub the members send themselves; against the limit they only receive. A message carries the time at
//! which it was really sent, so a latency is what a member sees of the hub and of this thread's own queue.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cpu;
use crate::crowd::{AT_ONCE, Crowd, Heard};
use crate::entrance::Entrance;
use crate::histogram::Histogram;
use crate::marker::{MARKER_BYTES, Marker};
use crate::plan::{Plan, Shape, Source};
use crate::speech::{self, Ear, Kind};
use crate::tally::Tally;
use crate::wire;

/// A second is how often a hub tells who came; nothing for longer means that all is told.
const QUIET_US: u64 = 1_500_000;
/// How long all of that may take.
const SETTLE_DEADLINE_US: u64 = 20_000_000;
/// How long after the last message the deliveries may take to arrive.
const STRAGGLERS_US: u64 = 5_000_000;
/// The largest text that the hub takes by its default settings.
const TEXT_BYTES_MAX: usize = 4_000;

/// Flags of a run under load.
#[derive(Debug, Clone, clap::Args)]
pub struct Load {
    /// Address of a hub; members send and receive.
    #[arg(long, required_unless_present = "limit", conflicts_with = "limit")]
    pub hub: Option<SocketAddr>,
    /// Address of the limit program; members only receive.
    #[arg(long)]
    pub limit: Option<SocketAddr>,
    /// Address of another hub, where whoever speaks in a fan-out is: the members only receive.
    #[arg(long, requires = "hub")]
    pub speaker: Option<SocketAddr>,
    /// What is sent.
    #[command(flatten)]
    pub plan: Plan,
    /// Length of each message's text, in bytes.
    #[arg(long, default_value_t = 128)]
    pub text_bytes: usize,
}

/// What came in.
#[derive(Debug)]
struct Receipts {
    /// Members; a client beyond them speaks elsewhere, and what it hears there is not counted.
    members: usize,
    tally: Tally,
    latency: Histogram,
    /// How many deliveries had which length on the wire.
    lengths: HashMap<usize, u64>,
    acks: u64,
    errors: u64,
    first_error: Option<String>,
    last_us: u64,
}

impl Load {
    /// Runs the load and gives the figures.
    ///
    /// # Errors
    ///
    /// When the clients cannot all be brought in, or a server breaks the protocol.
    pub fn run(&self) -> Result<Value> {
        let plan = &self.plan;
        plan.check()?;
        ensure!(
            (MARKER_BYTES..=TEXT_BYTES_MAX).contains(&self.text_bytes),
            "a text has {MARKER_BYTES} to {TEXT_BYTES_MAX} bytes"
        );
        let (address, source, entrance) = match (self.hub, self.limit) {
            (Some(hub), _) => (hub, Source::Hub, Entrance::Join { groups: plan.groups }),
            (None, Some(limit)) => (limit, Source::Limit, Entrance::Limit),
            (None, None) => anyhow::bail!("either --hub or --limit"),
        };
        ensure!(self.speaker.is_none() || plan.shape == Shape::Fanout, "only a fan-out has one speaker");
        let mut crowd = Crowd::new()?;
        crowd.fill(address, plan.sockets(), entrance, AT_ONCE)?;
        if let Some(speaker) = self.speaker {
            crowd.fill(speaker, 1, entrance, AT_ONCE)?;
        }
        if source == Source::Hub {
            settle(&mut crowd)?;
        }
        let mut receipts = Receipts::new(plan, source);
        crowd.wait_for_start(|ear, client, heard| receipts.take(ear, client, heard))?;

        let own = std::process::id();
        let cpu_before = cpu::cpu_seconds(own)?;
        let start_us = crowd.clock.now_us();
        let sent = match source {
            Source::Hub => self.send_and_receive(&mut crowd, &mut receipts, start_us)?,
            Source::Limit => plan.messages(),
        };
        // The limit sends in its own time; it may have begun a little later.
        let until_us = match source {
            Source::Hub => crowd.clock.now_us() + STRAGGLERS_US,
            Source::Limit => crowd.clock.now_us() + u64::from(plan.seconds) * 1_000_000 + STRAGGLERS_US,
        };
        while !receipts.is_complete(source, sent) && crowd.clock.now_us() < until_us {
            crowd.turn(Some(Duration::from_millis(100)), |ear, client, heard| {
                receipts.take(ear, client, heard);
            })?;
        }
        let cpu_seconds = cpu::cpu_seconds(own)? - cpu_before;
        Ok(receipts.figures(&crowd, sent, start_us, cpu_seconds))
    }

    /// Sends every message when it is due, those that are late at once, and receives meanwhile.
    fn send_and_receive(&self, crowd: &mut Crowd, receipts: &mut Receipts, start_us: u64) -> Result<u32> {
        let plan = &self.plan;
        let senders = plan.senders(Source::Hub);
        let (mut text, mut frame) = (Vec::new(), Vec::new());
        let mut sent = 0;
        while sent < plan.messages() {
            let due = plan.due(crowd.clock.now_us() - start_us);
            for message in sent..due {
                let sender = message % senders;
                let marker = Marker { sender, seq: message / senders, sent_us: crowd.clock.now_us() };
                speech::chat_send(&mut text, sender % plan.groups, &marker, self.text_bytes);
                frame.clear();
                wire::put_masked(&mut frame, wire::TEXT, &text);
                let client = if self.speaker.is_some() { plan.sockets() } else { sender };
                crowd.send(client as usize, &frame);
            }
            sent = due;
            let wait = plan.until_due(sent, crowd.clock.now_us() - start_us);
            crowd.turn(Some(wait), |ear, client, heard| receipts.take(ear, client, heard))?;
        }
        Ok(sent)
    }
}

/// Waits until all is said that arrivals cause: who came is told to the others a little later, and a steady load begins
/// after that.
fn settle(crowd: &mut Crowd) -> Result<()> {
    let begun_us = crowd.clock.now_us();
    let mut last_us = begun_us;
    while crowd.clock.now_us() < last_us + QUIET_US {
        ensure!(last_us < begun_us + SETTLE_DEADLINE_US, "the clients hear something all the time");
        crowd.turn(Some(Duration::from_millis(100)), |_, _, heard| last_us = heard.at_us)?;
    }
    Ok(())
}

impl Receipts {
    fn new(plan: &Plan, source: Source) -> Self {
        Self {
            members: plan.sockets() as usize,
            tally: Tally::new(plan, source),
            latency: Histogram::default(),
            lengths: HashMap::new(),
            acks: 0,
            errors: 0,
            first_error: None,
            last_us: 0,
        }
    }

    fn take(&mut self, ear: &mut Ear, client: usize, heard: &Heard<'_>) {
        match heard.kind {
            Kind::Message if client >= self.members => {}
            Kind::Message => {
                let Some(marker) = ear.marker(heard.text) else {
                    self.tally.foreign += 1;
                    return;
                };
                self.tally.hear(client, &marker);
                self.latency.record(heard.at_us.saturating_sub(marker.sent_us));
                *self.lengths.entry(heard.bytes).or_default() += 1;
                self.last_us = heard.at_us;
            }
            Kind::Ack => self.acks += 1,
            Kind::Error => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| String::from_utf8_lossy(heard.text).into_owned());
            }
            Kind::Welcome | Kind::Joined | Kind::Layer | Kind::Ping | Kind::Pong | Kind::Other => {}
        }
    }

    /// Every message arrived everywhere, and every send was answered.
    fn is_complete(&self, source: Source, sent: u32) -> bool {
        let answered = source == Source::Limit || self.acks + self.errors >= u64::from(sent);
        answered && self.tally.is_complete()
    }

    fn figures(&self, crowd: &Crowd, sent: u32, start_us: u64, cpu_seconds: f64) -> Value {
        let frame_bytes = self.lengths.iter().max_by_key(|(_, count)| **count).map_or(0, |(bytes, _)| *bytes);
        json!({
            "sent": sent,
            "deliveries": self.tally.delivered,
            "lost": self.tally.lost(),
            "out_of_order": self.tally.out_of_order,
            "duplicated": self.tally.duplicated,
            "foreign": self.tally.foreign,
            "acks": self.acks,
            "errors": self.errors,
            "first_error": self.first_error,
            "closed": crowd.closed(),
            "frame_bytes": frame_bytes,
            "seconds": self.last_us.saturating_sub(start_us) as f64 / 1e6,
            "cpu_seconds": cpu_seconds,
            "p50_us": self.latency.percentile_us(50),
            "p99_us": self.latency.percentile_us(99),
            "max_us": self.latency.max_us(),
        })
    }
}
