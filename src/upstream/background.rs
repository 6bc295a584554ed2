//! Background work for an upstream: resolves its names again and checks the health of its
//! addresses. Ends when the upstream is gone.

use super::UpstreamRequest;
use super::address::{Address, Endpoint};
use super::connection::UpstreamConnection;
use super::exchange::{ExchangeFault, Outgoing, Progress, describe_connecting, exchange};
use super::pin::OTHER_CERTIFICATE;
use super::request_head;
use crate::config::{HealthCheck, UpstreamSettings};
use crate::outgoing_lines::OutgoingLines;
use bytes::Bytes;
use hookward_names::UpstreamName;
use hookward_time::written;
use http::Method;
use http::header::{CONNECTION, USER_AGENT};
use pingora::connectors::TransportConnector;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// The minimum time between two look-ups of one name.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(1);

/// Starts it all; dropping the set ends it.
pub(super) fn start(
    settings: &UpstreamSettings,
    endpoints: &[Arc<Endpoint>],
    connector: &Arc<TransportConnector>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for endpoint in endpoints {
        if endpoint.is_name() {
            tasks.spawn(look_up_again(
                settings.name.clone(),
                Arc::clone(endpoint),
                settings.resolve_every,
            ));
        }
        if let Some(health) = &settings.health {
            tasks.spawn(check_again(
                settings.name.clone(),
                Arc::clone(endpoint),
                health.clone(),
                Arc::clone(connector),
            ));
        }
    }
    tasks
}

async fn look_up_again(upstream: UpstreamName, endpoint: Arc<Endpoint>, every: Duration) {
    loop {
        if let Err(fault) = endpoint.look_up(false).await {
            tracing::warn!(%upstream, host = endpoint.name(), %fault, "the name is not found");
        }
        sleep(LOOK_UP_PAUSE).await;
        tokio::select! {
            () = sleep(every.saturating_sub(LOOK_UP_PAUSE)) => {}
            () = endpoint.doubted.notified() => {}
        }
    }
}

async fn check_again(
    upstream: UpstreamName,
    endpoint: Arc<Endpoint>,
    health: HealthCheck,
    connector: Arc<TransportConnector>,
) {
    loop {
        let mut checks = JoinSet::new();
        for address in endpoint.addresses().iter() {
            let (endpoint, address) = (Arc::clone(&endpoint), Arc::clone(address));
            let (health, connector) = (health.clone(), Arc::clone(&connector));
            checks.spawn(async move {
                let checked = check(&endpoint, &address, &health, &connector).await;
                (address, checked)
            });
        }
        while let Some(check) = checks.join_next().await {
            let Ok((address, checked)) = check else { continue };
            if address.checked(checked.is_ok(), &health) {
                let (address, host) = (address.socket, endpoint.name());
                match checked {
                    Ok(()) => tracing::info!(%upstream, host, %address, "is healthy again"),
                    Err(cause) => {
                        tracing::warn!(%upstream, host, %address, cause, "is unhealthy");
                    }
                }
            }
        }
        sleep(health.interval).await;
    }
}

/// One check on a connection of its own: a pooled one would say nothing about new ones. An error
/// says in a few words what was wrong.
async fn check(
    endpoint: &Endpoint,
    address: &Address,
    health: &HealthCheck,
    connector: &TransportConnector,
) -> Result<(), String> {
    let deadline = Instant::now() + health.timeout;
    let too_late = || format!("no answer within {}", written(health.timeout));
    let mut headers = OutgoingLines::default();
    headers.push(&CONNECTION, b"close");
    headers.push(&USER_AGENT, b"hookward-health");
    let request = UpstreamRequest {
        method: Method::GET,
        route_path: Some(health.path.clone()),
        sender_path: String::new(),
        query: None,
        headers,
        body: Bytes::new(),
        _sealed: (),
    };
    let head = request_head::written(&request, &endpoint.host, None, 0)?;
    let connected = timeout_at(deadline, connector.new_stream(&address.fresh)).await;
    let stream = connected.map_err(|_| too_late())?.map_err(|e| describe_connecting(&e))?;
    let mut connection = UpstreamConnection::over(stream);
    if !connection.speaks_http1() {
        return Err("the other side speaks another protocol".to_owned());
    }
    if !address.accepts(&connection) {
        return Err(OTHER_CERTIFICATE.to_owned());
    }
    let mut progress = Progress::default();
    let outgoing = Outgoing { method: &request.method, head, body: &request.body };
    let answer = exchange(&mut connection, None, outgoing, deadline, &mut progress).await;
    match answer {
        Ok(head) if (200..300).contains(&head.status) => Ok(()),
        Ok(head) => Err(format!("it answered {}", head.status)),
        Err(ExchangeFault::TimedOut) => Err(too_late()),
        Err(ExchangeFault::Broken(detail) | ExchangeFault::Stale(detail)) => Err(detail),
    }
}
