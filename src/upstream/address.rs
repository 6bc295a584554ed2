//! The addresses behind an upstream's URLs, and whether they are in use.
//!
//! Resolving a name never blocks a worker and never ends the process: known addresses stay in use
//! while a name cannot be resolved. An address that is out of service is tried last, but not
//! skipped, because a wrong verdict on all of them must not cost an event.

use super::connection::UpstreamConnection;
use super::experience::Impression;
use super::idle::{Idle, IdlePool};
use super::tls::TlsMaterial;
use crate::config::{HealthCheck, UpstreamSettings, UpstreamUrl};
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use smallvec::SmallVec;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

/// One URL of an upstream and the addresses behind it: one, unless its host is a name.
#[derive(Debug)]
pub(super) struct Endpoint {
    url: UpstreamUrl,
    /// The `Host` header.
    pub(super) host: HeaderValue,
    tls: Option<TlsMaterial>,
    keep_alive: Option<Duration>,
    addresses: ArcSwap<Vec<Arc<Address>>>,
    looking_up: tokio::sync::Mutex<()>,
    /// Asks for a look-up before its time.
    pub(super) doubted: Notify,
    pool: IdlePool,
}

impl Endpoint {
    pub(super) fn new(
        url: &UpstreamUrl,
        host: HeaderValue,
        tls: Option<TlsMaterial>,
        keep_alive: Option<Duration>,
        pool: IdlePool,
    ) -> Self {
        let literal = url.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, url.port));
        let endpoint = Self {
            url: url.clone(),
            host,
            tls,
            keep_alive,
            addresses: ArcSwap::default(),
            looking_up: tokio::sync::Mutex::new(()),
            doubted: Notify::new(),
            pool,
        };
        if let Some(socket) = literal {
            endpoint.replace(&[socket]);
        }
        endpoint
    }

    /// What the address is called in a metric and in `/status`: as the configuration has it.
    pub(super) fn label(url: &UpstreamUrl) -> String {
        if url.host.contains(':') {
            format!("[{}]:{}", url.host, url.port)
        } else {
            format!("{}:{}", url.host, url.port)
        }
    }

    /// The host as the configuration has it.
    pub(super) fn name(&self) -> &str {
        &self.url.host
    }

    pub(super) fn is_name(&self) -> bool {
        self.url.host.parse::<IpAddr>().is_err()
    }

    /// What is known now; empty before the first look-up of a name.
    pub(super) fn addresses(&self) -> Arc<Vec<Arc<Address>>> {
        self.addresses.load_full()
    }

    /// Looks the name up. Those who ask while it goes on share one look-up where nothing was known
    /// before.
    pub(super) async fn look_up(&self, only_if_unknown: bool) -> io::Result<()> {
        let _turn = self.looking_up.lock().await;
        if only_if_unknown && !self.addresses.load().is_empty() {
            return Ok(());
        }
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((self.url.host.as_str(), self.url.port)).await?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        self.replace(&found);
        Ok(())
    }

    /// Sends to `sockets` from now on; those that were there keep what is known of them.
    fn replace(&self, sockets: &[SocketAddr]) {
        let known = self.addresses.load();
        let mut addresses: Vec<Arc<Address>> = Vec::with_capacity(sockets.len());
        for socket in sockets {
            if addresses.iter().any(|address| address.socket == *socket) {
                continue;
            }
            let address = known.iter().find(|address| address.socket == *socket);
            addresses.push(address.cloned().unwrap_or_else(|| {
                let (url, tls) = (&self.url, self.tls.as_ref());
                Arc::new(Address::new(*socket, url, tls, self.keep_alive, &self.pool))
            }));
        }
        self.addresses.store(Arc::new(addresses));
    }

    /// Whether it is well at any of its addresses; `None` if nothing is known, as of a name that was
    /// not looked up yet.
    pub(super) fn healthy(&self, now: Duration, is_checked: bool) -> Option<bool> {
        let addresses = self.addresses.load();
        any_healthy(addresses.iter().map(|address| address.healthy(now, is_checked)))
    }
}

/// Addresses to ask, each behind its URL. Most upstreams have one.
pub(super) type Candidates = SmallVec<[(Arc<Endpoint>, Arc<Address>); 1]>;

/// Well if one of them is, not well if none of them is, else not known.
pub(super) fn any_healthy(verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let verdicts: Vec<_> = verdicts.collect();
    if verdicts.contains(&Some(true)) {
        return Some(true);
    }
    (!verdicts.is_empty() && !verdicts.contains(&None)).then_some(false)
}

/// One socket address and its state.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    /// How it is connected to. Pingora's own pool is never given a connection, so this always
    /// makes a new one.
    pub(super) fresh: HttpPeer,
    /// Connections that wait for their next request.
    pub(super) idle: Arc<Idle>,
    /// SHA-256 of the one certificate that is accepted; `None`: those that the CAs vouch for.
    pin: Option<Vec<u8>>,
    /// Exchanges under way.
    pending: AtomicUsize,
    standing: Mutex<AddressStanding>,
}

#[derive(Debug, Default)]
struct AddressStanding {
    /// Exchanges without an answer in a row.
    failures: u32,
    /// Left out until this point of the monotonic clock.
    ejected_until: Option<Duration>,
    /// The active check's verdict.
    down: bool,
    /// Checks in a row that contradict the verdict.
    contrary_checks: u32,
    /// An active check has confirmed or changed the verdict.
    was_checked: bool,
    /// What its answers tell.
    impression: Impression,
}

impl Address {
    fn new(
        socket: SocketAddr,
        url: &UpstreamUrl,
        tls: Option<&TlsMaterial>,
        keep_alive: Option<Duration>,
        pool: &IdlePool,
    ) -> Self {
        // An empty name would switch all checks of the certificate off.
        let sni = tls.and_then(|tls| tls.sni.clone()).unwrap_or_else(|| url.host.clone());
        let mut fresh = HttpPeer::new(socket, url.secure, sni);
        if let Some(tls) = tls {
            fresh.options.ca.clone_from(&tls.ca);
            fresh.client_cert_key.clone_from(&tls.client);
            fresh.group_key = tls.fingerprint;
            // The name was checked against the pin when it was read, and the key is proven in the
            // handshake all the same; `accepts` does the rest.
            fresh.options.verify_cert = tls.pin.is_none();
        }
        // A connection that the pool keeps for another time, from before a reload, is not taken up.
        let kept_for = keep_alive.map_or(0, |time| time.as_nanos());
        fresh.group_key ^= xxh3_64(&kept_for.to_le_bytes());
        Self {
            socket,
            idle: pool.of(fresh.reuse_hash()),
            fresh,
            pin: tls.and_then(|tls| tls.pin.clone()),
            pending: AtomicUsize::new(0),
            standing: Mutex::default(),
        }
    }

    /// Whether the other side of a connection showed the certificate that is pinned, if one is.
    pub(super) fn accepts(&self, connection: &UpstreamConnection) -> bool {
        self.pin.as_ref().is_none_or(|pin| connection.shows(pin))
    }

    /// Whether it is sent to while others could be.
    pub(super) fn in_service(&self, now: Duration) -> bool {
        let standing = self.standing.lock();
        !standing.down && standing.ejected_until.is_none_or(|until| until <= now)
    }

    /// Whether it is well: as its checks say, where there are any, else as its answers tell.
    fn healthy(&self, now: Duration, is_checked: bool) -> Option<bool> {
        if !self.in_service(now) {
            return Some(false);
        }
        let standing = self.standing.lock();
        if is_checked {
            return standing.was_checked.then_some(true);
        }
        standing.impression.healthy()
    }

    /// An answer came, which puts the address back into service.
    pub(super) fn answered(&self, is_good: bool) {
        let mut standing = self.standing.lock();
        standing.impression.note(is_good);
        standing.failures = 0;
        standing.ejected_until = None;
    }

    /// No connection could be made, or no answer came over it. That may take the address out of
    /// service; once its time is up, one more failure is enough.
    pub(super) fn failed(&self, settings: &UpstreamSettings, now: Duration) {
        let mut standing = self.standing.lock();
        standing.impression.note(false);
        let Some(ejection) = settings.ejection else { return };
        standing.failures = standing.failures.saturating_add(1);
        if standing.failures >= ejection.after {
            standing.ejected_until = Some(now.saturating_add(ejection.period));
        }
    }

    /// An active check ended. `true` if that changed the verdict.
    pub(super) fn checked(&self, good: bool, health: &HealthCheck) -> bool {
        let mut standing = self.standing.lock();
        if good != standing.down {
            standing.contrary_checks = 0;
            standing.was_checked |= good;
            return false;
        }
        standing.contrary_checks = standing.contrary_checks.saturating_add(1);
        let needed = if good { health.healthy_after } else { health.unhealthy_after };
        if standing.contrary_checks < needed {
            return false;
        }
        *standing = AddressStanding {
            down: !good,
            was_checked: true,
            impression: standing.impression,
            ..AddressStanding::default()
        };
        true
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Counts an exchange as under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> PendingRequest {
        self.pending.fetch_add(1, Ordering::Relaxed);
        PendingRequest(Arc::clone(self))
    }
}

/// An exchange in progress.
#[derive(Debug)]
pub(super) struct PendingRequest(Arc<Address>);

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ejection;

    fn address() -> Address {
        let url = UpstreamUrl {
            secure: false,
            host: "127.0.0.1".into(),
            port: 9001,
            path: None,
            authority: "127.0.0.1:9001".into(),
        };
        Address::new("127.0.0.1:9001".parse().unwrap(), &url, None, None, &IdlePool::default())
    }

    #[test]
    fn an_address_is_left_out_after_failures_in_a_row_and_for_its_time() {
        let mut settings = crate::upstream::tests::raw::settings("erp", &[]);
        let at = Duration::from_secs;
        let address = address();
        let fails = |settings: &_, now| {
            address.failed(settings, now);
            !address.in_service(now)
        };
        assert!(!fails(&settings, at(0)), "never, unless it is asked for");
        settings.ejection = Some(Ejection { after: 3, period: at(10) });
        assert!(!fails(&settings, at(0)));
        address.answered(true);
        assert!(!fails(&settings, at(1)));
        assert!(!fails(&settings, at(1)));
        assert!(fails(&settings, at(1)));
        assert!(!address.in_service(at(10)));
        assert!(address.in_service(at(11)));
        assert!(fails(&settings, at(11)), "one more is enough now");
        assert!(!address.in_service(at(20)));
        address.answered(true);
        assert!(address.in_service(at(20)));
    }

    #[test]
    fn a_check_needs_its_threshold_to_change_the_verdict() {
        let health = HealthCheck {
            path: "/".into(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let address = address();
        let mut verdicts = Vec::new();
        for good in [true, false, false, true, false, false, false, false, true, false, true, true]
        {
            address.checked(good, &health);
            verdicts.push(address.in_service(Duration::ZERO));
        }
        let (t, f) = (true, false);
        assert_eq!(verdicts, [t, t, t, t, t, t, f, f, f, f, f, t]);
    }
}
