//! How many connections a node has, in all and from one address, and who is turned away.
//!
//! A descriptor is the scarcest thing that a connection takes, so all are counted from when they are accepted until
//! they end. Beyond the bound some are still let in for one answer each: a WebSocket is told to come back later, and
//! whoever watches over the node learns that it lives. Beyond those nobody is: being closed at once is an answer too.

use crate::listen::denied::Denied;
use hyper::StatusCode;
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections that are held beyond the bound, for one answer.
const TURNED_AWAY_MAX: usize = 64;

/// Descriptors that are no connection's: the log, the listener, each worker's poll, the link to Redis.
const NO_CONNECTIONS: usize = 64;

/// How many connections fit into so many descriptors; where nobody counts those, a number that memory ends first.
pub(crate) fn connections_max(descriptors: Option<usize>) -> usize {
    descriptors.map_or(1_000_000, |limit| limit.saturating_sub(TURNED_AWAY_MAX + NO_CONNECTIONS).max(1))
}

/// The connections of a node.
#[derive(Debug)]
pub(crate) struct Crowd {
    connections_max: usize,
    per_address_max: Option<NonZeroUsize>,
    /// Guards counts alone; held for a line each, when a connection comes and goes.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    turned_away: usize,
    /// Only those that have a connection, and only where their number is limited.
    addresses: HashMap<IpAddr, usize>,
}

/// A connection's place; dropping it makes room. Every idle connection keeps one, so it is small.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Inside, and of nobody in particular.
    Inside,
    /// Inside, and one of those that the address may have.
    Of(IpAddr),
    /// For a refusal only: there is no room.
    Full,
    /// For a refusal only: the address has all that it may have.
    TooMany,
}

/// One of the connections that an address may have; dropping it gives it back.
pub(crate) struct Claim {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Crowd {
    pub(crate) fn new(connections_max: usize, per_address_max: Option<NonZeroUsize>) -> Arc<Self> {
        Arc::new(Self { connections_max, per_address_max, counts: Mutex::default() })
    }

    /// A place for a connection from `address`, or from nobody in particular: a proxy's own address says nothing. The
    /// place may be one for a refusal only; none when there are too many of those as well.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let mut counts = self.counts();
        let kind = match (address.map(household), self.per_address_max) {
            _ if counts.open >= self.connections_max => Kind::Full,
            (Some(address), Some(max)) if counts.take_one(address, max) => Kind::Of(address),
            (Some(_), Some(_)) => Kind::TooMany,
            (None, _) | (_, None) => Kind::Inside,
        };
        match kind {
            Kind::Inside | Kind::Of(_) => counts.open += 1,
            Kind::Full | Kind::TooMany if counts.turned_away < TURNED_AWAY_MAX => counts.turned_away += 1,
            Kind::Full | Kind::TooMany => return None,
        }
        Some(Place { crowd: Arc::clone(self), kind })
    }

    /// One connection more for an address, if it may have one; nothing to hold where any number may.
    ///
    /// # Errors
    ///
    /// What to answer instead.
    pub(crate) fn claim(self: &Arc<Self>, address: IpAddr) -> Result<Option<Claim>, Denied> {
        let Some(max) = self.per_address_max else { return Ok(None) };
        let address = household(address);
        if self.counts().take_one(address, max) {
            Ok(Some(Claim { crowd: Arc::clone(self), address }))
        } else {
            Err(too_many())
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Whether an address may have one more; then it has.
    fn take_one(&mut self, address: IpAddr, max: NonZeroUsize) -> bool {
        let count = self.addresses.entry(address).or_default();
        let may = *count < max.get();
        *count += usize::from(may);
        may
    }

    fn give_back(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Place {
    /// The one answer that this connection is for, unless it may stay.
    pub(crate) fn turned_away(&self) -> Option<Denied> {
        let full = "this node has no room for more connections";
        match self.kind {
            Kind::Inside | Kind::Of(_) => None,
            Kind::Full => Some(Denied::new(StatusCode::SERVICE_UNAVAILABLE, full)),
            Kind::TooMany => Some(too_many()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        match self.kind {
            Kind::Inside => counts.open -= 1,
            Kind::Of(address) => {
                counts.open -= 1;
                counts.give_back(address);
            }
            Kind::Full | Kind::TooMany => counts.turned_away -= 1,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.crowd.counts().give_back(self.address);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn too_many() -> Denied {
    Denied::new(StatusCode::TOO_MANY_REQUESTS, "your address has as many connections as it may have")
}

/// What counts as one address: of IPv6 whoever has one has 2^64 of them.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn status(place: &Option<Place>) -> Option<u16> {
        place.as_ref().map(|place| place.turned_away().map_or(200, |denied| denied.status.as_u16()))
    }

    #[test]
    fn beyond_the_bound_some_get_an_answer_and_the_rest_none() {
        let crowd = Crowd::new(2, None);
        let mut inside: Vec<_> = (0..2).map(|_| crowd.enter(None)).collect();
        assert!(inside.iter().all(|place| status(place) == Some(200)));
        let turned_away: Vec<_> = (0..TURNED_AWAY_MAX).map(|_| crowd.enter(None)).collect();
        assert!(turned_away.iter().all(|place| status(place) == Some(503)));
        assert!(crowd.enter(None).is_none());
        drop(turned_away);
        assert_eq!(status(&crowd.enter(None)), Some(503), "who was turned away made no room");
        inside.pop();
        assert_eq!(status(&crowd.enter(None)), Some(200));
    }

    #[test]
    fn an_address_has_so_many_connections_and_takes_nobody_else_s() {
        let crowd = Crowd::new(100, NonZeroUsize::new(2));
        let mut first: Vec<_> = (0..2).map(|_| crowd.enter(address("192.0.2.1"))).collect();
        assert!(first.iter().all(|place| status(place) == Some(200)));
        assert_eq!(status(&crowd.enter(address("192.0.2.1"))), Some(429));
        assert_eq!(status(&crowd.enter(address("::ffff:192.0.2.1"))), Some(429));
        assert_eq!(status(&crowd.enter(address("192.0.2.2"))), Some(200));
        assert_eq!(status(&crowd.enter(None)), Some(200));
        assert!(crowd.claim("192.0.2.1".parse().unwrap()).is_err());
        first.pop();
        assert!(crowd.claim("192.0.2.1".parse().unwrap()).is_ok());
        drop(first);
        assert!(crowd.counts().addresses.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let crowd = Crowd::new(100, NonZeroUsize::new(1));
        let _first = crowd.enter(address("2001:db8:1:2:3::4"));
        assert_eq!(status(&crowd.enter(address("2001:db8:1:2:ffff::1"))), Some(429));
        assert_eq!(status(&crowd.enter(address("2001:db8:1:3::1"))), Some(200));
    }

    #[test]
    fn who_is_turned_away_for_lack_of_room_holds_nothing_of_their_address() {
        let crowd = Crowd::new(0, NonZeroUsize::new(1));
        assert_eq!(status(&crowd.enter(address("192.0.2.1"))), Some(503));
        assert!(crowd.counts().addresses.is_empty());
    }
}
