//! What the tests stand on: processes that end with the test, and a client that speaks the protocol.
//!
//! Everything goes through public doors: real binaries, real sockets, real Redis, all on loopback. A fixture does not
//! return errors, it panics and says what came instead: that is how it fails a test. Every wait has a deadline of real
//! time, so none of this belongs in a test with a paused clock.

#![expect(clippy::missing_panics_doc, reason = "every fixture panics when what a test relies on is not so")]

pub mod bystander;
pub mod http;
pub mod machine;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod redis;
pub mod wire;

pub use palabre::testing::Client;

pub use self::process::{Ended, HubProcess};
pub use self::raw::RawClient;
pub use self::redis::RedisServer;
pub use self::wire::Wire;
