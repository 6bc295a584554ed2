//! Hookward: a webhook-verifying reverse proxy.
//!
//! It answers one question about every request, *is this a genuine, fresh event that the receiver
//! has not had yet?*, and only then lets the receiver see it. `ARCHITECTURE.md` is the map;
//! [`lifecycle`] is the story.

pub mod admin;
pub mod answer;
pub mod clock;
pub mod config;
pub mod dedupe;
pub mod handshake;
pub mod metrics;
pub mod outcome;
pub mod proxy;
pub mod request;
pub mod route;
pub mod scheme;
pub mod secret;
pub mod server;
pub mod source;
pub mod upstream;
pub mod verify;
