//! What is open on a listener: counted to keep it within bounds and to know when a drain is over.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections and requests that are open.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: AtomicUsize,
    requests: AtomicUsize,
    turned_away: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One that is open, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    traffic: Arc<Traffic>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Connection { address: Option<IpAddr> },
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
            let mut by_address = self.by_address.lock();
            let count = by_address.entry(address).or_default();
            if *count >= max {
                return None;
            }
            *count += 1;
            open.what = What::Connection { address: Some(address) };
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
                if let Some(address) = address {
                    let mut by_address = self.traffic.by_address.lock();
                    if let Some(count) = by_address.get_mut(&address) {
                        *count -= 1;
                        if *count == 0 {
                            by_address.remove(&address);
                        }
                    }
                }
                &self.traffic.connections
            }
        };
        counter.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whoever has one IPv6 address has the whole /64.
fn network_of(address: IpAddr) -> IpAddr {
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
}
