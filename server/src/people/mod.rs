//! Who somebody is and what they may do: the product's own answer, for hubs that bring none.
//!
//! So far everybody is a guest, with an id that the hub draws and signs. Nothing outside `cli` and `http` names this
//! module: a program that embeds the hub with its own gate leaves it out.

mod gate;
pub(crate) mod guest;

pub use gate::GuestGate;
