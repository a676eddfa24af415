//! The channel layer through its public door: its contract, and what a Redis can do to it.
//!
//! `suite` mounts the contract's own cases, which every layer and relay has to pass, `custom` those of the example, once more
//! over pushes that go astray. In the others nodes are layers in this process, each with connections of its own, over a real
//! Redis of the test's own: what is kept there, what it can do, and other builds beside this one.

#![expect(clippy::unwrap_used, reason = "all of this is tests, cases and helpers without the attribute too")]

mod amended;
mod bounds;
mod builds;
mod custom;
mod epochs;
mod erased;
mod link;
mod nodes;
mod order;
mod presence;
mod put_back;
mod reads;
mod stored;
mod strangers;
mod suite;
mod waiting;
