//! One client floods, others ask: how long does a neighbour of a flood wait for its answers?
//!
//! The flooder sends one-byte messages as fast as the hub takes them and reads every answer, so both directions stay
//! open. The bystanders send one `ping` each, and the next one when the answer is there. A hub that puts connections
//! on its threads in turn has some of the bystanders on the flooder's thread; the figures are those of the one that
//! fared worst. This thread serves them all, so a part of each wait (well under a millisecond) is its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::crowd::{AT_ONCE, Crowd, Heard};
use crate::entrance::Entrance;
use crate::histogram::Histogram;
use crate::speech::{self, Kind};
use crate::wire;

/// What the flooder writes with one call.
const CHUNK_FRAMES: usize = 8_192;
/// A flood in which nothing moves for so long is over.
const STILL_US: u64 = 5_000_000;
/// How long the last questions may take to be answered.
const LAST_ANSWERS_US: u64 = 10_000_000;
const FLOODER: usize = 0;

/// Flags of a flood.
#[derive(Debug, Clone, clap::Args)]
pub struct Flood {
    /// Address of a hub.
    #[arg(long)]
    pub hub: SocketAddr,
    /// One-byte messages that the flooder sends.
    #[arg(long, default_value_t = 1_000_000)]
    pub frames: u64,
    /// Clients that ask meanwhile.
    #[arg(long, default_value_t = 4)]
    pub bystanders: u32,
}

#[derive(Debug, Default)]
struct Bystander {
    /// The question that has no answer yet, and when it was asked.
    asked_us: Option<u64>,
    waits: Histogram,
    refused: u64,
}

impl Flood {
    /// Runs the flood and gives the figures.
    ///
    /// # Errors
    ///
    /// When a client is not let in, or the hub breaks the protocol.
    pub fn run(&self) -> Result<Value> {
        let mut crowd = Crowd::new()?;
        crowd.fill(self.hub, self.bystanders + 1, Entrance::Hello, AT_ONCE)?;
        crowd.wait_for_start(|_, _, _| {})?;

        let mut frame = Vec::new();
        wire::put_masked(&mut frame, wire::TEXT, b"x");
        let chunk = frame.repeat(CHUNK_FRAMES);
        let mut ping = Vec::new();
        wire::put_masked(&mut ping, wire::TEXT, speech::PING);

        let mut bystanders: Vec<Bystander> = Vec::new();
        bystanders.resize_with(self.bystanders as usize, Bystander::default);
        let (mut sent, mut answered) = (0_u64, 0_u64);
        let start_us = crowd.clock.now_us();
        let mut moved_us = start_us;
        loop {
            let now_us = crowd.clock.now_us();
            let flooding = crowd.close_of(FLOODER).is_none()
                && sent.min(answered) < self.frames
                && now_us < moved_us + STILL_US;
            let asking = bystanders.iter().any(|bystander| bystander.asked_us.is_some());
            if !flooding && (!asking || now_us > moved_us + LAST_ANSWERS_US) {
                break;
            }
            for (index, bystander) in bystanders.iter_mut().enumerate() {
                if flooding && bystander.asked_us.is_none() && crowd.close_of(index + 1).is_none() {
                    bystander.asked_us = Some(now_us);
                    crowd.send(index + 1, &ping);
                }
            }
            let before = (sent, answered);
            if sent < self.frames {
                let left = usize::try_from(self.frames - sent).unwrap_or(CHUNK_FRAMES).min(CHUNK_FRAMES);
                let piece = &chunk[..left * frame.len()];
                sent += crowd.send_some(FLOODER, piece, frame.len()) as u64;
            }
            // After a write that the kernel refused, an event tells when it has room again.
            let wait = if sent > before.0 { Duration::ZERO } else { Duration::from_millis(10) };
            crowd.turn(Some(wait), |_, client, heard| match client.checked_sub(1) {
                None => answered += u64::from(heard.kind == Kind::Error),
                Some(index) => bystanders[index].take(heard),
            })?;
            if (sent, answered) != before {
                moved_us = crowd.clock.now_us();
            }
        }
        Ok(self.figures(&crowd, &mut bystanders, sent, answered, moved_us - start_us))
    }

    fn figures(
        &self,
        crowd: &Crowd,
        bystanders: &mut [Bystander],
        sent: u64,
        answered: u64,
        flood_us: u64,
    ) -> Value {
        let now_us = crowd.clock.now_us();
        let mut unanswered = 0;
        for bystander in bystanders.iter_mut() {
            // A question that was never answered has waited until now at least.
            if let Some(asked_us) = bystander.asked_us.take() {
                unanswered += 1;
                bystander.waits.record(now_us - asked_us);
            }
        }
        let worst = |figure: fn(&Histogram) -> u64| bystanders.iter().map(|b| figure(&b.waits)).max();
        json!({
            "frames": self.frames,
            "sent": sent,
            "answered": answered,
            "flooder_closed": crowd.close_of(FLOODER).is_some(),
            "flooder_close_code": crowd.close_of(FLOODER).flatten(),
            "asked": bystanders.iter().map(|bystander| bystander.waits.count()).sum::<u64>(),
            "unanswered": unanswered,
            "refused": bystanders.iter().map(|bystander| bystander.refused).sum::<u64>(),
            "p99_us": worst(|waits| waits.percentile_us(99)),
            "max_us": worst(Histogram::max_us),
            "seconds": flood_us as f64 / 1e6,
        })
    }
}

impl Bystander {
    fn take(&mut self, heard: &Heard<'_>) {
        // A refusal (too many pings, say) is an answer too: it came when it came.
        if matches!(heard.kind, Kind::Pong | Kind::Error)
            && let Some(asked_us) = self.asked_us.take()
        {
            self.refused += u64::from(heard.kind == Kind::Error);
            self.waits.record(heard.at_us.saturating_sub(asked_us));
        }
    }
}
