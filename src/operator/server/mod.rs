//! The process as a server: sockets, signals, drain, exit code.
//!
//! Pingora's listening services run here on our own runtime and with our own shutdown signal
//! instead of Pingora's `Server`, which keeps running without an address that is in use, stops the
//! admin listener first and then sleeps for a fixed time, and ignores a second signal. So: bind
//! ([`Bound`]), [`start`], then [`until_signalled`], which returns the exit code.
//!
//! In a drain, `/readyz` answers 503, and for `drain_delay` nothing else changes, so that load
//! balancers stop sending. Then no connection is accepted and idle ones are closed. Requests and
//! deliveries under way have up to `drain_timeout` to finish. The admin listener stays until then.
//! The process ends as soon as nothing is left.

mod bind;
mod edge;
mod open_files;
mod signals;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

pub use bind::{BindError, Bound};
pub use edge::{Edge, Prepared};
pub use signals::{EXIT_CUT_OFF, EXIT_FINISHED, EXIT_SECOND_SIGNAL, until_signalled};
pub use tls::{TlsError, TlsProblem, load as load_tls};

use crate::edge::{Door, Listener, Public};
use crate::operator::admin::{Admin, AdminBackend, ClockWatch};
use crate::telemetry::metrics::Metrics;
use hookward_time::Clock;
use parking_lot::Mutex;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long connections may take to close after the last answer.
const CLOSING: Duration = Duration::from_millis(500);

/// How often a drain checks whether anything is left.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// What is served.
pub struct Behind {
    /// Behind the public listener.
    pub door: Arc<dyn Door>,
    /// Behind the admin listener.
    pub admin: Arc<dyn AdminBackend>,
    /// For `/metrics`; `in_flight` shows when a drain is complete.
    pub metrics: Arc<Metrics>,
    /// For the uptime, and for detecting jumps.
    pub clock: Arc<dyn Clock>,
}

/// A server that accepts connections.
pub struct Running {
    addresses: Vec<SocketAddr>,
    admin_address: SocketAddr,
    edge: Arc<Edge>,
    metrics: Arc<Metrics>,
    admin: Arc<dyn AdminBackend>,
    stop_admin: watch::Sender<bool>,
    public_task: JoinHandle<()>,
    admin_task: JoinHandle<()>,
    clock_task: JoinHandle<()>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request and delivery finished.
    Finished,
    /// `drain_timeout` ran out first.
    CutOff,
}

/// Accepts connections on the bound sockets. Must be called on a runtime, which then does the work.
pub fn start(bound: Bound, edge: Arc<Edge>, behind: Behind) -> Running {
    let Behind { door, admin, metrics, clock } = behind;
    let addresses = bound.addresses();
    let admin_address = bound.admin_address();
    let scheme = edge.scheme();

    let public = edge.listener(Arc::new(Public(door)), Some(metrics.connections.clone()));
    let clock_watch = ClockWatch::new(Arc::clone(&clock), metrics.clock_jumps.clone());
    let admin_desk = Admin::new(
        Arc::clone(&admin),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        Arc::clone(&clock_watch),
        edge.leaving(),
    );
    let (stop_admin, admin_stop) = watch::channel(false);
    let public_task = spawn("public", public, bound.public, edge.draining());
    let admin_task = spawn("admin", admin_desk.listener(), vec![bound.admin], admin_stop);
    for address in &addresses {
        tracing::info!("listening on {scheme}://{address}");
    }
    tracing::info!("admin on http://{admin_address}");
    Running {
        addresses,
        admin_address,
        edge,
        metrics,
        admin,
        stop_admin,
        public_task,
        admin_task,
        clock_task: tokio::spawn(clock_watch.run()),
    }
}

/// Runs a listener on its sockets until `stop` says so.
fn spawn(
    name: &'static str,
    listener: Listener,
    sockets: Vec<bind::BoundSocket>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let mut service = Service::new(name.to_owned(), listener);
    let mut fds = Fds::new();
    for socket in sockets {
        // Pingora finds a socket by the text of its endpoint.
        let key = socket.address.to_string();
        // Heads are read into buffers of our own, so a read buffer would only cost idle memory.
        let buffers = L4BufferSettings::new(0, 4096);
        service.endpoints().add_listener(ListenerConfig::tcp(key.clone()).l4_buffer(buffers));
        fds.add(key, socket.listener.into_raw_fd());
    }
    let fds: ListenFds = Arc::new(Mutex::new(fds));
    tokio::spawn(async move { service.start_service(Some(fds), stop, 1).await })
}

impl Running {
    /// The public addresses with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The admin address with its real port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Waits for a listener that ends without being stopped, after which nothing is served.
    async fn fails(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.public_task => "the public listener has ended",
            _ = &mut self.admin_task => "the admin listener has ended",
        }
    }

    /// Announces the stop, keeps serving for `drain_delay`, then drains.
    pub async fn leave(self) -> Drained {
        self.edge.start_leaving();
        let delay = self.edge.drain_delay();
        if !delay.is_zero() {
            tracing::info!(
                seconds = delay.as_secs_f64(),
                "about to stop: /readyz answers 503; new requests are served for drain_delay"
            );
            tokio::time::sleep(delay).await;
        }
        self.drain().await
    }

    /// Stops accepting connections, lets current work finish, and stops.
    pub async fn drain(self) -> Drained {
        self.edge.start_draining();
        // Logged after the change, so that readers of the log can rely on it.
        tracing::info!("stopping: no new connections; deliveries under way finish");
        let traffic = self.edge.traffic();
        let is_over = || traffic.requests() == 0 && self.metrics.in_flight.get() <= 0;
        let finished = tokio::time::timeout(self.edge.drain_timeout(), wait_until(is_over)).await;
        let closed = wait_until(|| traffic.connections() == 0);
        let drained = if finished.is_ok() && is_over() {
            // The remaining connections have had their answer, or never sent a request.
            drop(tokio::time::timeout(CLOSING, closed).await);
            Drained::Finished
        } else {
            tracing::warn!(
                requests = traffic.requests(),
                in_flight = self.metrics.in_flight.get(),
                "drain_timeout ran out; deliveries under way are cut off"
            );
            Drained::CutOff
        };
        self.stop_admin.send_replace(true);
        drained
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in [&self.public_task, &self.admin_task, &self.clock_task] {
            task.abort();
        }
    }
}

async fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

#[cfg(test)]
mod tests;
