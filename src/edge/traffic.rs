//! Counts what is open on a listener, for its limits and to know when a drain is complete.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Open connections and requests.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: AtomicUsize,
    requests: AtomicUsize,
    streams: AtomicUsize,
    turned_away: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    streams_by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// An open one, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    traffic: Arc<Traffic>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Connection { address: Option<IpAddr> },
    Stream { address: Option<IpAddr> },
    Request,
    TurnedAway,
}

impl Traffic {
    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Requests whose answer is not sent yet.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// Lets a connection in if fewer than `max` are open, and from its address, if that is given,
    /// fewer than the number that comes with it.
    pub(super) fn connect(
        self: &Arc<Self>,
        max: usize,
        address: Option<(IpAddr, usize)>,
    ) -> Option<Open> {
        let below = |open: usize| (open < max).then_some(open + 1);
        self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, below).ok()?;
        let mut open = Open { traffic: Arc::clone(self), what: What::Connection { address: None } };
        if let Some((address, max)) = address {
            let address = network_of(address);
            if !take_place(&self.by_address, address, max) {
                return None;
            }
            open.what = What::Connection { address: Some(address) };
        }
        Some(open)
    }

    /// Counts a request of HTTP/2, under the same terms as a connection.
    pub(super) fn stream(
        self: &Arc<Self>,
        max: usize,
        address: Option<(IpAddr, usize)>,
    ) -> Option<Open> {
        let below = |open: usize| (open < max).then_some(open + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, below).ok()?;
        let mut open = Open { traffic: Arc::clone(self), what: What::Stream { address: None } };
        if let Some((address, max)) = address {
            let address = network_of(address);
            if !take_place(&self.streams_by_address, address, max) {
                return None;
            }
            open.what = What::Stream { address: Some(address) };
        }
        Some(open)
    }

    /// Counts a request.
    pub(super) fn request(self: &Arc<Self>) -> Open {
        self.requests.fetch_add(1, Ordering::AcqRel);
        Open { traffic: Arc::clone(self), what: What::Request }
    }

    /// Counts a connection that is over a limit and is only told so, if fewer than `max` are.
    pub(super) fn turn_away(self: &Arc<Self>, max: usize) -> Option<Open> {
        let below = |open: usize| (open < max).then_some(open + 1);
        self.turned_away.fetch_update(Ordering::AcqRel, Ordering::Acquire, below).ok()?;
        Some(Open { traffic: Arc::clone(self), what: What::TurnedAway })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let counter = match self.what {
            What::Request => &self.traffic.requests,
            What::TurnedAway => &self.traffic.turned_away,
            What::Connection { address } => {
                give_back(&self.traffic.by_address, address);
                &self.traffic.connections
            }
            What::Stream { address } => {
                give_back(&self.traffic.streams_by_address, address);
                &self.traffic.streams
            }
        };
        counter.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Takes one place more for a network, if it has fewer than `max`.
fn take_place(places: &Mutex<HashMap<IpAddr, usize>>, network: IpAddr, max: usize) -> bool {
    let mut places = places.lock();
    let count = places.get(&network).copied().unwrap_or_default();
    let is_free = count < max;
    if is_free {
        places.insert(network, count + 1);
    }
    is_free
}

fn give_back(places: &Mutex<HashMap<IpAddr, usize>>, network: Option<IpAddr>) {
    let Some(network) = network else { return };
    let mut places = places.lock();
    if let Some(count) = places.get_mut(&network) {
        *count -= 1;
        if *count == 0 {
            places.remove(&network);
        }
    }
}

/// Whoever has one IPv6 address has the whole /64.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_given_and_no_more_until_one_is_given_back() {
        let traffic = Arc::new(Traffic::default());
        let first = traffic.connect(2, None).unwrap();
        let _second = traffic.connect(2, None).unwrap();
        assert!(traffic.connect(2, None).is_none());
        assert_eq!(traffic.connections(), 2);
        drop(first);
        assert!(traffic.connect(2, None).is_some());
    }

    #[test]
    fn one_address_cannot_take_the_places_of_the_others() {
        let traffic = Arc::new(Traffic::default());
        let from = |text: &str| traffic.connect(9, Some((text.parse().unwrap(), 1)));
        let first = from("203.0.113.1").unwrap();
        assert!(from("203.0.113.1").is_none());
        let _other = from("203.0.113.2").unwrap();
        let _six = from("2001:db8::1").unwrap();
        assert!(from("2001:db8::ffff:1").is_none(), "the same /64");
        assert!(from("2001:db8:0:1::1").is_some());
        assert_eq!(traffic.connections(), 3);
        drop(first);
        drop(from("203.0.113.1").unwrap());
        assert_eq!(traffic.by_address.lock().len(), 2);
    }

    #[test]
    fn requests_of_http2_are_bounded_over_all_connections_and_for_each_address() {
        let traffic = Arc::new(Traffic::default());
        let from = |text: &str| traffic.stream(5, Some((text.parse().unwrap(), 2)));
        let flood: Vec<_> = (0..4).filter_map(|_| from("203.0.113.1")).collect();
        assert_eq!(flood.len(), 2);
        let _others: Vec<_> = (0..9).filter_map(|_| from("203.0.113.2")).collect();
        let _proxy = traffic.stream(5, None).unwrap();
        assert!(traffic.stream(5, None).is_none(), "all places are taken");
        drop(flood);
        assert!(from("203.0.113.3").is_some());
        assert_eq!(traffic.streams_by_address.lock().len(), 1);
    }

    #[test]
    fn an_address_that_gets_no_place_leaves_nothing_behind() {
        let traffic = Arc::new(Traffic::default());
        assert!(traffic.connect(9, Some(("203.0.113.1".parse().unwrap(), 0))).is_none());
        assert_eq!(traffic.connections(), 0);
        assert!(traffic.by_address.lock().is_empty());
    }
}
