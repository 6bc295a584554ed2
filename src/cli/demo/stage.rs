//! The stage of the demo: the proxy, its two receivers and the shop that signs.

use crate::cli::client::{Client, PATIENCE, Told};
use crate::cli::exit::{CommandStop, Exit};
use crate::cli::trust::Trust;
use crate::config::{Config, SystemSecrets};
use crate::delivery::source::Source;
use crate::operator::runtime::Runtime;
use crate::operator::server::{self, Behind, BindError, Bound, Running};
use crate::senders::receiver::{Received, ReceivedRequests, ReceiverReply, serve};
use crate::telemetry::metrics::Metrics;
use hookward_secret::{NamedSecret, Secret};
use hookward_time::{Clock as _, SystemClock};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use http::StatusCode;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The shop's secret; printed on purpose, so that the demo can be tried by hand.
pub(super) const SECRET: &str = "demo-secret-of-the-shop";

/// The path that the shop posts to.
pub(super) const PATH: &str = "/webhooks/shop";

/// How long the shop waits for an answer in the demo; real shops give 5 s and more.
const RESPOND_WITHIN: &str = "1s";

/// The delay of a slow ERP: longer than the shop waits.
pub(super) const TOO_SLOW: Duration = Duration::from_millis(2500);

/// Where the proxy listens if possible, so that the output matches the README.
const USUAL: [SocketAddr; 2] = [loopback(8080), loopback(9090)];

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// All participants.
pub(super) struct DemoStage {
    pub(super) running: Running,
    pub(super) erp: Arc<Desk>,
    pub(super) crm: Arc<Desk>,
    clock: Arc<SystemClock>,
    metrics: Arc<Metrics>,
    shop: Source,
}

/// A receiver of the demo: answers as planned, otherwise with 200, and records its answers.
#[derive(Default)]
pub(super) struct Desk {
    planned: Mutex<VecDeque<ReceiverReply>>,
    answered: Mutex<Vec<u16>>,
}

impl Desk {
    /// Plans the answer to the next event without one.
    pub(super) fn plan(&self, status: StatusCode, delay: Duration) {
        self.planned.lock().push_back(ReceiverReply { status, delay });
    }

    /// Its answers since the last call.
    pub(super) fn answered(&self) -> Vec<u16> {
        std::mem::take(&mut *self.answered.lock())
    }
}

impl ReceivedRequests for Desk {
    fn receive(&self, _: &Received) -> ReceiverReply {
        let otherwise = ReceiverReply { status: StatusCode::OK, delay: Duration::ZERO };
        let reply = self.planned.lock().pop_front().unwrap_or(otherwise);
        self.answered.lock().push(reply.status.as_u16());
        reply
    }
}

impl DemoStage {
    /// Starts everything in this process.
    pub(super) async fn build() -> Result<Self, CommandStop> {
        let cannot_serve = |fault: String| CommandStop::new(Exit::CannotServe, fault);
        let clock = Arc::new(SystemClock::new());
        let [erp, crm] = [Arc::new(Desk::default()), Arc::new(Desk::default())];
        let mut receivers = Vec::new();
        for desk in [&erp, &crm] {
            let (desk, clock) = (Arc::clone(desk), Arc::clone(&clock));
            let address =
                open(desk, clock).await.map_err(|fault| cannot_serve(fault.to_string()))?;
            receivers.push(address);
        }
        let text = configuration(&receivers);
        let read = || {
            Config::parse(&text, "the demo's configuration", Path::new("."), &SystemSecrets)
                .map_err(|problems| {
                    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    CommandStop::new(Exit::Usage, problems.join("\n"))
                })
        };
        let (mut config, _) = read()?;
        // The shop's side reads the configuration separately, because the proxy owns the other
        // copy.
        let (shops, _) = read()?;
        let Some(shop) = shops.sources.into_iter().next() else {
            return Err(cannot_serve("the demo's configuration has no source".to_owned()));
        };
        let bound = bind(&mut config).map_err(|fault| cannot_serve(fault.to_string()))?;
        let runtime = Runtime::build(config, None, clock.clone())
            .await
            .map_err(|fault| cannot_serve(fault.to_string()))?;
        let metrics = runtime.metrics();
        let behind = Behind {
            door: runtime.clone(),
            admin: runtime.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
        };
        let running = server::start(bound, runtime.edge(), behind);
        Ok(Self { running, erp, crm, clock, metrics, shop })
    }

    /// Where the shop delivers to.
    pub(super) fn url(&self, path: &str) -> String {
        let address = self.running.addresses().first().copied().unwrap_or(USUAL[0]);
        format!("http://{address}{path}")
    }

    /// The time `seconds` from now, as RFC 3339.
    pub(super) fn time(&self, seconds: i64) -> String {
        let now = self.clock.wall();
        hookward_time::UnixMillis(now.0.saturating_add(seconds.saturating_mul(1000))).to_rfc3339()
    }

    /// The headers that the shop sends with `body`, signed with `secret`.
    pub(super) fn signed(
        &self,
        body: &[u8],
        secret: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let secret = NamedSecret { label: String::new(), text: Secret::from(secret.to_owned()) };
        let request = SignRequest {
            id: None,
            event_type: None,
            path: &self.shop.path,
            at: self.clock.wall(),
            query: None,
            body,
        };
        let signed = sign(&self.shop.sender, &SigningKey::Shared(&secret), &request);
        signed.map(|signed| signed.headers).map_err(|fault| fault.to_string())
    }

    /// Delivers, and waits for the answer.
    pub(super) async fn deliver(
        &self,
        path: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Told, String> {
        let url = self.url(path);
        let posted = tokio::task::spawn_blocking(move || {
            Client::new(Trust::Web, PATIENCE).post(&url, &headers, &body)
        });
        match posted.await {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Waits until nothing is being forwarded.
    pub(super) async fn settled(&self) {
        while self.metrics.in_flight.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Opens a receiver on a free port.
async fn open(desk: Arc<Desk>, clock: Arc<SystemClock>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(loopback(0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, clock, desk));
    Ok(address)
}

/// The usual address if it is free, otherwise any free one.
fn free(usual: SocketAddr) -> SocketAddr {
    std::net::TcpListener::bind(usual).map_or(loopback(0), |_| usual)
}

/// Listens on the usual addresses if they are free. If another program takes one in the meantime,
/// on any free address.
fn bind(config: &mut Config) -> Result<Bound, BindError> {
    let mut listen = |[public, admin]: [SocketAddr; 2]| {
        config.server.listen = vec![public];
        config.admin.listen = admin;
        Bound::bind(&config.server, &config.admin)
    };
    listen(USUAL.map(free)).or_else(|_| listen([loopback(0); 2]))
}

fn configuration(receivers: &[SocketAddr]) -> String {
    let mut upstreams = String::new();
    for (name, address) in ["erp", "crm"].iter().zip(receivers) {
        _ = writeln!(upstreams, "[upstreams.{name}]\nurl = \"http://{address}\"");
    }
    format!(
        r#"{upstreams}
[sources.shop]
path = "{PATH}"
preset = "opentiendas"
secrets = [{{ value = "{SECRET}" }}]
respond_within = "{RESPOND_WITHIN}"

[[sources.shop.routes]]
events = ["order.paid"]
to = ["erp", "crm"]

[[sources.shop.routes]]
events = ["order.*"]
to = ["erp"]
"#
    )
}
