//! What a delivery costs, beside what the kernel charges for it: the parts of `limit`, `swarm` and `report`.
//!
//! `swarm` is the load: thousands of sockets in one thread, which count what arrives and in which order. `limit`
//! is the yardstick: a program that writes ready frames to the same sockets and does nothing else. `report` runs
//! the hub and the limit in turn under the same load and prints the ratio of what they cost. README.md beside
//! this file says how to run them and what each figure means.
//!
//! The hub itself is not linked in: it is measured as its users run it, as a process with a port.

// The load: who says how much to whom, and how a delivery is recognised.
pub mod marker;
pub mod plan;
pub mod speech;
pub mod wire;

// The sockets.
mod client;
pub mod crowd;
pub mod entrance;
pub mod start;

// What the swarm does with them.
pub mod flood;
pub mod idle;
pub mod load;

// What is measured.
pub mod clock;
pub mod cpu;
mod histogram;
mod tally;

// The report: processes, one measurement, all of them.
pub mod arrivals;
pub mod measure;
pub mod program;
pub mod redis;
pub mod rows;
pub mod sizes;
pub mod table;
