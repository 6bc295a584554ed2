//! An event as it comes back.

use crate::clock::Millis;
use bytes::Bytes;
use std::time::Duration;

/// The stored event for one destination, for sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number of the entry.
    pub seq: u64,
    /// The name of its source.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The name of the destination.
    pub to: String,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// Of the body, as the caller gave it.
    pub fingerprint: u64,
    /// How long it is remembered once it is delivered, as the caller gave it.
    pub ttl: Duration,
    /// Under these keys claims know the event.
    pub keys: Vec<[u8; 16]>,
    /// How many requests were sent with it before.
    pub sent: u32,
    /// How often it was replayed.
    pub replays: u16,
    /// The number of a replay that is to look like a new event.
    pub as_new: Option<u16>,
    /// The head of the request.
    pub head: Bytes,
    /// The body of the request.
    pub body: Bytes,
}
