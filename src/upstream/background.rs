//! Background work for an upstream: resolves its names again and checks the health of its
//! addresses. Ends when the upstream is gone.

use super::UpstreamRequest;
use super::address::{Address, Endpoint};
use super::exchange::{Fault, Progress, describe, describe_connecting, exchange, request_header};
use super::pin::OTHER_CERTIFICATE;
use crate::config::{HealthCheck, UpstreamSettings};
use bytes::Bytes;
use hookward_names::UpstreamName;
use hookward_time::written;
use http::header::{CONNECTION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use pingora::connectors::http::Connector;
use pingora::protocols::http::client::HttpSession as AnySession;
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
    connector: &Arc<Connector>,
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
    connector: Arc<Connector>,
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
    connector: &Connector,
) -> Result<(), String> {
    let deadline = Instant::now() + health.timeout;
    let too_late = || format!("no answer within {}", written(health.timeout));
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static("hookward-health"));
    let request = UpstreamRequest {
        method: Method::GET,
        route_path: Some(health.path.clone()),
        sender_path: String::new(),
        query: None,
        headers,
        body: Bytes::new(),
        _sealed: (),
    };
    let header = request_header(&request, &endpoint.host, None).map_err(|e| describe(&e))?;
    let connected = timeout_at(deadline, connector.get_http_session(&address.fresh)).await;
    let (session, _) = connected.map_err(|_| too_late())?.map_err(|e| describe_connecting(&e))?;
    let AnySession::H1(mut session) = session else {
        return Err("the other side speaks another protocol".to_owned());
    };
    if !address.accepts(&session) {
        return Err(OTHER_CERTIFICATE.to_owned());
    }
    let mut progress = Progress::default();
    let answer = exchange(&mut session, None, header, &request, deadline, &mut progress).await;
    match answer {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(format!("it answered {}", status.as_u16())),
        Err(Fault::TimedOut) => Err(too_late()),
        Err(Fault::Broken(detail) | Fault::Stale(detail)) => Err(detail),
    }
}
