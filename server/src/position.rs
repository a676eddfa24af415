//! Positions of the layer and of the wire, and the way between them.

use channel_layer::{Epoch, Position};
use palabre_protocol::{ErrorCode, Refusal};

/// A position as clients see it.
#[must_use]
pub fn on_wire(position: Position) -> palabre_protocol::Position {
    palabre_protocol::Position { epoch: position.epoch.as_u64(), offset: position.offset }
}

/// A client's position as the layer sees it.
///
/// # Errors
///
/// `bad_request`: no history has the epoch zero.
pub fn from_wire(wire: palabre_protocol::Position) -> Result<Position, Refusal> {
    let refusal = || Refusal::new(ErrorCode::BadRequest, "an `epoch` of zeros is none that a hub gives out");
    Ok(Position { epoch: Epoch::from_u64(wire.epoch).ok_or_else(refusal)?, offset: wire.offset })
}
