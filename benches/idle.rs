//! Many sockets that said who they are, joined a group of ten, and then say nothing.
//!
//! Whoever measures reads the hub's memory before this program starts and once more after `ready`.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::crowd::Crowd;
use crate::entrance::Entrance;

const GROUP_MEMBERS: u32 = 10;

/// Flags of an idle crowd.
#[derive(Debug, Clone, clap::Args)]
pub struct Idle {
    /// Address of a hub.
    #[arg(long)]
    pub hub: SocketAddr,
    /// How many sockets.
    #[arg(long)]
    pub sockets: u32,
}

impl Idle {
    /// Keeps the sockets open until a line comes on standard input.
    ///
    /// # Errors
    ///
    /// When a client is not let in, or the hub breaks the protocol.
    pub fn run(&self) -> Result<Value> {
        ensure!(self.sockets > 0, "an idle crowd has at least one socket");
        let groups = self.sockets.div_ceil(GROUP_MEMBERS);
        let mut crowd = Crowd::gather(self.hub, self.sockets, Entrance::Join { groups })?;
        crowd.wait_for_start(|_, _, _| {})?;
        Ok(json!({ "sockets": self.sockets, "closed": crowd.closed() }))
    }
}
