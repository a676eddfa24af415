//! `swarm`: the load on a hub or on the limit, from one thread with as many sockets as asked for.
//!
//! Says `ready` when all sockets are in, waits for a line on standard input, does its work and prints one line of
//! JSON. It is a process of its own, so that the server's CPU time can be told from the load's.
#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use anyhow::Result;
use clap::Parser;
use palabre_benches::{flood::Flood, idle::Idle, load::Load};

/// Loads a Palabre hub, or the limit program, with many sockets.
#[derive(Debug, Parser)]
#[command(version)]
enum Swarm {
    /// Send messages at a steady rate; check that each arrives once, in order.
    Load(Load),
    /// One client floods while others ask.
    Flood(Flood),
    /// Open sockets that do nothing.
    Idle(Idle),
}

fn main() -> Result<()> {
    let figures = match Swarm::parse() {
        Swarm::Load(load) => load.run()?,
        Swarm::Flood(flood) => flood.run()?,
        Swarm::Idle(idle) => idle.run()?,
    };
    println!("{figures}");
    Ok(())
}
