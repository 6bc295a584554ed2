//! Hookward: a webhook-verifying reverse proxy.
//!
//! It answers one question about every request, *is this a genuine, fresh event that the receiver
//! has not had yet?*, and only then lets the receiver see it. `ARCHITECTURE.md` is the map;
//! [`lifecycle`] is the story.

pub mod admin;
pub mod answer;
pub mod arrival;
pub mod bucket;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dedupe;
pub mod discover;
pub mod dispatch;
pub mod event;
pub mod explain;
pub mod fault;
pub mod gate;
pub mod handshake;
pub mod headers;
pub mod json;
pub mod keys;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod names;
pub mod outcome;
pub mod presets;
pub mod proof;
pub mod proxy;
pub mod receiver;
pub mod report;
pub mod request;
pub mod route;
pub mod runtime;
pub mod scheme;
pub mod secret;
pub mod server;
pub mod shadow;
pub mod sign;
pub mod source;
pub mod spans;
pub mod trace;
pub mod upstream;
pub mod verify;
