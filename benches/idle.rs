//! Many sockets that said who they are, joined a group of ten, and then say nothing.
//!
//! Whoever measures reads the server's figures before this program starts and once more after `ready`: its memory, for
//! what an idle socket weighs, or its CPU time, for what an arrival costs.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::crowd::{AT_ONCE, Crowd};
use crate::entrance::Entrance;

const GROUP_MEMBERS: u32 = 10;

/// Flags of an idle crowd.
#[derive(Debug, Clone, clap::Args)]
pub struct Idle {
    /// Address of a hub.
    #[arg(long, required_unless_present = "limit", conflicts_with = "limit")]
    pub hub: Option<SocketAddr>,
    /// Address of a limit program that gives answers.
    #[arg(long)]
    pub limit: Option<SocketAddr>,
    /// How many sockets.
    #[arg(long)]
    pub sockets: u32,
    /// How many of them are on their way in at any time.
    #[arg(long, default_value_t = AT_ONCE)]
    pub at_once: usize,
}

impl Idle {
    /// Keeps the sockets open until a line comes on standard input.
    ///
    /// # Errors
    ///
    /// When a client is not let in, or the server breaks the protocol.
    pub fn run(&self) -> Result<Value> {
        ensure!(self.sockets > 0 && self.at_once > 0, "an idle crowd has at least one socket");
        let groups = self.sockets.div_ceil(GROUP_MEMBERS);
        let (address, entrance) = match (self.hub, self.limit) {
            (Some(hub), _) => (hub, Entrance::Join { groups }),
            (None, Some(limit)) => (limit, Entrance::LimitJoin { groups }),
            (None, None) => bail!("either --hub or --limit"),
        };
        let mut crowd = Crowd::new()?;
        let start_us = crowd.clock.now_us();
        crowd.fill(address, self.sockets, entrance, self.at_once)?;
        let seconds = (crowd.clock.now_us() - start_us) as f64 / 1e6;
        crowd.wait_for_start(|_, _, _| {})?;
        let [welcome_bytes, joined_bytes] = crowd.greetings;
        Ok(json!({
            "sockets": self.sockets,
            "closed": crowd.closed(),
            "seconds": seconds,
            "welcome_bytes": welcome_bytes,
            "joined_bytes": joined_bytes,
        }))
    }
}
