//! Determines the sender's address behind trusted proxies.

use crate::field_lines::{FieldLines, plain};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_PREFIX: &[u8] = b"x-forwarded-";

/// A sender, according to the connection and trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress {
    /// Its address.
    pub(super) address: IpAddr,
    /// The trusted proxy that speaks for it.
    pub(super) via: Option<IpAddr>,
    /// Whether it named another sender and was not believed.
    pub(super) ignored: bool,
    /// Whether its side is `https`.
    pub(super) secure: bool,
}

/// The sender of a request that `peer` brought over a connection that is TLS or not. What an
/// untrusted peer says about forwarding is taken out of `headers`, so that nobody believes it.
pub(super) fn identify(
    peer: IpAddr,
    tls: bool,
    headers: &mut FieldLines,
    trusted: &[IpNet],
) -> ClientAddress {
    if !is_trusted(peer, trusted) {
        let ignored = headers.contains(FORWARDED_FOR);
        remove_forwarding(headers);
        return ClientAddress { address: peer, via: None, ignored, secure: tls };
    }
    let secure = headers
        .get_all(FORWARDED_PROTO)
        .next_back()
        .and_then(last_item)
        .map_or(tls, |scheme| scheme.eq_ignore_ascii_case("https"));
    let address = rightmost_untrusted(peer, headers, trusted);
    ClientAddress { address, via: Some(peer), ignored: false, secure }
}

/// Whether this peer is one of the proxies.
pub(super) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&peer))
}

/// The address that limits for one address count for; `None` for a proxy, which brings many senders.
pub(super) fn accountable(address: IpAddr, trusted: &[IpNet]) -> Option<IpAddr> {
    (!is_trusted(address, trusted)).then_some(address)
}

/// Each proxy appends whom it got the request from, so the entries are believed from the right,
/// for as long as the one to the right of it is trusted.
fn rightmost_untrusted(peer: IpAddr, headers: &FieldLines, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer;
    for line in headers.get_all(FORWARDED_FOR).rev() {
        for item in plain(line).unwrap_or_default().rsplit(',') {
            let Some(hop) = parse_address(item.trim()) else {
                return address;
            };
            address = hop;
            if !is_trusted(hop, trusted) {
                return address;
            }
        }
    }
    address
}

/// An address, perhaps in brackets or with a port, as several proxies write it.
fn parse_address(item: &str) -> Option<IpAddr> {
    let bare = item.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(item);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| item.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

fn last_item(value: &[u8]) -> Option<&str> {
    plain(value)?.rsplit(',').next().map(str::trim)
}

fn remove_forwarding(headers: &mut FieldLines) {
    headers.retain(|name| {
        let start = name.get(..FORWARDED_PREFIX.len()).unwrap_or_default();
        !start.eq_ignore_ascii_case(FORWARDED_PREFIX) && !name.eq_ignore_ascii_case(b"forwarded")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn sender(peer: &str, tls: bool, lines: &[(&str, &str)]) -> (String, bool, usize) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = FieldLines::default();
        for (name, value) in lines {
            let value: HeaderValue = value.parse().unwrap();
            headers.push(&HeaderName::try_from(*name).unwrap(), &value);
        }
        let sender = identify(peer.parse().unwrap(), tls, &mut headers, &trusted);
        (sender.address.to_string(), sender.secure, headers.len())
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_its_own_neighbour() {
        for (peer, value, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
            ("10.0.0.1", "rubbish, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "198.51.100.1:5555", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:5555", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
            ("fd00::1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let met = sender(peer, false, &[("x-forwarded-for", value)]);
            assert_eq!(met.0, expected, "{peer} says {value}");
        }
        let two_lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(sender("10.0.0.1", false, &two_lines).0, "198.51.100.1");
    }

    #[test]
    fn what_an_untrusted_peer_says_about_forwarding_is_gone() {
        let lines = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.1.1.1"),
            ("x-signature", "kept"),
        ];
        assert_eq!(sender("203.0.113.9", false, &lines), ("203.0.113.9".to_owned(), false, 1));
        assert_eq!(sender("10.0.0.1", false, &lines), ("198.51.100.1".to_owned(), true, 5));
    }

    #[test]
    fn https_is_what_the_nearest_proxy_says_else_what_the_connection_is() {
        assert!(sender("203.0.113.9", true, &[]).1);
        assert!(sender("10.0.0.1", true, &[]).1);
        assert!(!sender("10.0.0.1", true, &[("x-forwarded-proto", "https, http")]).1);
        assert!(!sender("203.0.113.9", false, &[("x-forwarded-proto", "https")]).1);
    }
}
