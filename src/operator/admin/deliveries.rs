//! `GET /deliveries` and `GET /deliveries/stream`.

use super::reply::{document, fault, text};
use crate::delivery::journal::{DeliveryFilter, KEPT, RecentDeliveries};
use crate::edge::HttpReply;
use crate::request::RequestHead;
use crate::upstream::{BrokenOff, ReplyBody};
use bytes::Bytes;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Viewers of the stream at once.
pub(super) const VIEWERS: usize = 32;

/// The default number of deliveries in an answer.
const DEFAULT_LIMIT: usize = 100;

/// The interval of lines that detect viewers that have gone.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Lines that may wait for a viewer's connection.
const LINES_AHEAD: usize = 16;

/// The last deliveries that match the query.
pub(super) fn list(journal: &RecentDeliveries, head: &RequestHead) -> HttpReply {
    let (mut filter, mut limit) = (DeliveryFilter::default(), DEFAULT_LIMIT);
    let query = head.query.as_deref().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "source" => filter.source = Some(value.into_owned()),
            "outcome" => filter.outcome = Some(value.into_owned()),
            "reason" => filter.reason = Some(value.into_owned()),
            "limit" => match value.parse() {
                Ok(count @ 1..=KEPT) => limit = count,
                _ => return fault(400, &format!("limit is a number from 1 to {KEPT}")),
            },
            _ => return fault(400, "the filters are source, outcome, reason and limit"),
        }
    }
    let last = journal.last(&filter, limit);
    let deliveries: Vec<Value> = last.iter().map(|record| record.to_json()).collect();
    document(200, &json!({ "deliveries": deliveries }))
}

/// Future deliveries, one event each, while the viewer stays and `may_watch`: a reload can take a token
/// away.
pub(super) fn stream(
    journal: &RecentDeliveries,
    viewers: &Arc<Semaphore>,
    may_watch: impl Fn() -> bool + Send + 'static,
) -> HttpReply {
    let Ok(place) = Arc::clone(viewers).try_acquire_owned() else {
        let mut reply = fault(503, &format!("{VIEWERS} viewers watch already"));
        reply.headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return reply;
    };
    let (lines, rest) = mpsc::channel(LINES_AHEAD);
    tokio::spawn(tell(journal.watch(), lines, may_watch, place));
    // Send a first line at once, so that the viewer knows that it is connected.
    let first = Bytes::from_static(b": deliveries as they end\n\n");
    let reply = text(200, "text/event-stream", Bytes::new());
    HttpReply { body: ReplyBody::Streamed { first, rest }, ..reply }
}

async fn tell(
    mut records: tokio::sync::broadcast::Receiver<Arc<crate::delivery::journal::DeliveryRecord>>,
    lines: mpsc::Sender<Result<Bytes, BrokenOff>>,
    may_watch: impl Fn() -> bool + Send,
    _place: OwnedSemaphorePermit,
) {
    loop {
        let line = match timeout(SIGN_OF_LIFE, records.recv()).await {
            Ok(Ok(record)) => format!("data: {}\n\n", record.to_json()),
            Ok(Err(RecvError::Lagged(lost))) => format!(": {lost} deliveries left out\n\n"),
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => ":\n\n".to_owned(),
        };
        if !may_watch() || lines.send(Ok(line.into())).await.is_err() {
            return;
        }
    }
}
