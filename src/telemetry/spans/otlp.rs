//! Spans over OTLP/HTTP, in batches, from the exporter's own thread.
//!
//! The SDK's processor and exporter do the work. Spans are created here, complete, once a delivery
//! has ended and their content is known.

use crate::delivery::proof::Proven;
use crate::delivery::report::{Ended, SpanSink};
use crate::outcome::Outcome;
use async_trait::async_trait;
use hookward_names::SourceName;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the process may wait for the last batch when it ends.
const LAST_BATCH: Duration = Duration::from_secs(2);

/// Exports to the collector that the environment names.
#[derive(Debug)]
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Exporter {
    /// An exporter configured by the `OTEL_*` variables.
    ///
    /// # Errors
    /// A sentence about an invalid variable.
    pub(super) fn new() -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Poster::new())
            .build()
            .map_err(|fault| format!("OTEL_EXPORTER_OTLP_*: {fault}"))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource());
        let scope = InstrumentationScope::builder("hookward")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok(Self { processor, scope })
    }
}

/// The service's name and attributes from the environment, or our defaults.
fn resource() -> Resource {
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || attributes.split(',').any(|one| one.trim().starts_with("service.name="));
    if is_named { builder.build() } else { builder.with_service_name("hookward").build() }
}

impl SpanSink for Exporter {
    fn take(&self, delivery: &Ended<'_>) {
        if delivery.trace.is_sampled()
            && let Some(span) = span(delivery, &self.scope)
        {
            self.processor.on_end(span);
        }
    }

    fn flush(&self) {
        if let Err(fault) = self.processor.shutdown_with_timeout(LAST_BATCH) {
            tracing::warn!(%fault, "the last spans could not be exported");
        }
    }
}

/// The span of a delivery: a child of the sender's span if there is one, otherwise the root of the
/// trace, so that the receivers' spans are its children.
fn span(delivery: &Ended<'_>, scope: &InstrumentationScope) -> Option<SpanData> {
    let Ended { trace, report, answer, at, duration } = *delivery;
    let named = SpanId::from_hex(trace.span_id()).ok()?;
    let (own, parent) = if trace.inherited {
        (SpanId::from(fastrand::u64(1..)), named)
    } else {
        (named, SpanId::INVALID)
    };
    let end_time = system_time(at.0)?;
    let facets = answer.refusal().map(|refusal| refusal.reason.facets());
    let reason = facets.map_or("", |facets| facets.label);
    let mut attributes = vec![
        KeyValue::new(
            "hookward.source",
            report.source.as_ref().map_or("", SourceName::as_str).to_owned(),
        ),
        KeyValue::new("hookward.outcome", answer.outcome().label()),
        KeyValue::new("http.request.method", "POST"),
        KeyValue::new("http.response.status_code", i64::from(answer.status())),
        KeyValue::new("client.address", report.client.to_string()),
        KeyValue::new(
            "http.request.body.size",
            i64::try_from(report.body_bytes).unwrap_or(i64::MAX),
        ),
    ];
    if !reason.is_empty() {
        attributes.push(KeyValue::new("hookward.reason", reason));
    }
    if let Some(event) = report.event.as_ref().map(Proven::event) {
        attributes.push(KeyValue::new("hookward.event.id", event.id.to_string()));
        attributes.push(KeyValue::new("hookward.event.type", event.kind.clone()));
    }
    for destination in &report.destinations {
        let name = |what| format!("hookward.destination.{}.{what}", destination.name);
        attributes.push(KeyValue::new(name("result"), destination.result.clone()));
        let seconds = destination.duration.as_secs_f64();
        attributes.push(KeyValue::new(name("seconds"), seconds));
    }
    let status = match answer.outcome() {
        Outcome::Failed => Status::error(reason),
        _ => Status::Unset,
    };
    Some(SpanData {
        span_context: SpanContext::new(
            TraceId::from_hex(trace.id()).ok()?,
            own,
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: parent,
        parent_span_is_remote: trace.inherited,
        span_kind: SpanKind::Server,
        name: "delivery".into(),
        start_time: end_time.checked_sub(duration)?,
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: scope.clone(),
    })
}

fn system_time(unix_millis: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(unix_millis).ok()?))
}

/// Posts batches. It blocks, on the processor's thread.
#[derive(Debug)]
struct Poster {
    agent: ureq::Agent,
}

impl Poster {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into() }
    }
}

#[async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.agent.run(request.map(|body| body.to_vec()));
        let (head, mut body) = sent
            .inspect_err(|fault| tracing::warn!(%fault, "spans could not be exported"))?
            .into_parts();
        if !head.status.is_success() {
            tracing::warn!(status = head.status.as_u16(), "the collector refused spans");
        }
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
