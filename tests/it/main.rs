//! The tests that go through the public doors: a file, or a folder, for each thing that must hold.

mod chat;
mod cluster;
mod connect;
mod deploy;
mod drain;
mod embed;
mod flood;
mod hostile;
mod http;
mod layer;
mod outage;
mod presence;
mod state;
mod tidy;
mod wire;
