//! A refusal at the door: a status, one line of plain text for whoever writes the client, and what the status asks for.

use axum::body::Body;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE},
};

/// After how many seconds, at most, whoever is turned away may come back; the hub draws one of them for each.
const RETRY_S_MAX: u16 = 10;

/// Why a request is not answered as it wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    /// The status to answer with.
    pub(crate) status: StatusCode,
    /// One sentence for whoever writes the client.
    pub(crate) reason: &'static str,
}

impl Denied {
    pub(crate) fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// The answer.
    pub(crate) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{}\n", self.reason)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_s()));
            }
            _ => {}
        }
        if matches!(self.status, StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED) {
            // Whoever sends what is not understood may mean the next bytes otherwise as well.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Drawn, so that those who were turned away together do not come back together.
fn retry_s() -> u16 {
    // Without randomness all come back at the same time, which is still better than no answer.
    let drawn = getrandom::u32().unwrap_or_default();
    1 + u16::try_from(drawn % u32::from(RETRY_S_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_of_text_with_what_its_status_asks_for() {
        for (status, header, value) in [
            (StatusCode::METHOD_NOT_ALLOWED, "allow", "GET"),
            (StatusCode::UPGRADE_REQUIRED, "sec-websocket-version", "13"),
            (StatusCode::BAD_REQUEST, "connection", "close"),
            (StatusCode::FORBIDDEN, "content-type", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(Denied::new(status, "why").response().headers()[header], value);
        }
    }

    #[test]
    fn those_who_are_turned_away_come_back_at_different_times() {
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| retry_s()).collect();
        assert!(
            drawn.len() > 5 && drawn.iter().all(|seconds| (1..=RETRY_S_MAX).contains(seconds)),
            "{drawn:?}"
        );
    }
}
