//! Why a socket ends: codes whose range alone says whether the client may come back.
//!
//! 4000–4499 may, 4500–4999 may not, so that a client knows what to do about codes that it has never heard of. The
//! codes of RFC 6455 are used for that document's own reasons and for nothing else. A request that failed without
//! harm to the socket is answered with an [`ErrorCode`](crate::ErrorCode) instead.

/// The code of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Somebody wanted the end.
    Normal,
    /// The hub goes away without a drain.
    GoingAway,
    /// The WebSocket protocol was violated.
    Protocol,
    /// A text message was not UTF-8.
    InvalidUtf8,
    /// A message was over the frame limit.
    TooBig,
    /// The code that served the connection panicked, or overran its time.
    Internal,
    /// This node stops as planned.
    Drain,
    /// The client did not take what was sent to it.
    TooSlow,
    /// Pings were not answered.
    NoPong,
    /// The node had to lose connections.
    Shed,
    /// The token expired; a new one opens the door again.
    TokenExpired,
    /// This version of the protocol is not spoken here.
    UnsupportedVersion,
    /// No `hello` in time, or a token that is not accepted.
    Unauthorised,
    /// This user is banned.
    Banned,
    /// Far more came in than anything legitimate sends.
    Flood,
}

impl CloseCode {
    /// The whole closed list, by number.
    pub const ALL: &[Self] = &[
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::Internal,
        Self::Drain,
        Self::TooSlow,
        Self::NoPong,
        Self::Shed,
        Self::TokenExpired,
        Self::UnsupportedVersion,
        Self::Unauthorised,
        Self::Banned,
        Self::Flood,
    ];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Drain => 4000,
            Self::TooSlow => 4001,
            Self::NoPong => 4002,
            Self::Shed => 4003,
            Self::TokenExpired => 4100,
            Self::UnsupportedVersion => 4500,
            Self::Unauthorised => 4501,
            Self::Banned => 4502,
            Self::Flood => 4503,
        }
    }

    /// A few words for people, which travel in the close frame: at most 123 bytes fit there, which a test
    /// checks.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::GoingAway => "going away",
            Self::Protocol => "protocol violated",
            Self::InvalidUtf8 => "not utf-8",
            Self::TooBig => "message too big",
            Self::Internal => "internal error",
            Self::Drain => "this node stops",
            Self::TooSlow => "too slow",
            Self::NoPong => "no answer to pings",
            Self::Shed => "too much load",
            Self::TokenExpired => "token expired",
            Self::UnsupportedVersion => "unsupported version",
            Self::Unauthorised => "unauthorised",
            Self::Banned => "banned",
            Self::Flood => "flood",
        }
    }

    /// May the client come back by itself?
    pub fn reconnects(self) -> bool {
        matches!(self.code(), 1001 | 1011..=1013 | 4000..=4499)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_reasons_fit_their_frame() {
        assert!(CloseCode::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        assert!(CloseCode::ALL.iter().all(|code| code.reason().len() <= 123));
    }

    #[test]
    fn the_range_says_who_may_come_back() {
        let back: Vec<u16> =
            CloseCode::ALL.iter().filter(|code| code.reconnects()).map(|code| code.code()).collect();
        assert_eq!(back, [1001, 1011, 4000, 4001, 4002, 4003, 4100]);
    }
}
