//! Hookward: a webhook-verifying reverse proxy.
//!
//! It answers one question about every request, *is this a genuine, fresh event that the receiver
//! has not had yet?*, and only then lets the receiver see it. `ARCHITECTURE.md` is the map;
//! [`delivery::lifecycle`] is the story.

pub mod cli;
pub mod config;
pub mod delivery;
pub mod edge;
pub mod field_lines;
pub mod inbox;
pub mod operator;
pub mod outcome;
pub mod outgoing_lines;
pub mod published;
pub mod request;
pub mod senders;
pub mod telemetry;
pub mod upstream;
