//! The channel layer through its public door: its contract, and what a Redis can do to it.
//!
//! `suite` mounts the contract's own cases, which every layer and relay has to pass, `custom` those of the example; most of
//! `amend` and half of `presence` run on both too. In the others nodes are layers in this process, each with connections of its
//! own, over a real Redis of the test's own: groups, order and history, and no more than that.

#![expect(clippy::unwrap_used, reason = "all of this is tests, cases and helpers without the attribute too")]

mod amend;
mod amended;
mod both;
mod bounds;
mod builds;
mod custom;
mod epochs;
mod link;
mod nodes;
mod order;
mod presence;
mod reads;
mod stored;
mod suite;
