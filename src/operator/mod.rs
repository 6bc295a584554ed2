//! What the people who run the process use: the admin listener, start, stop and reload.

pub mod admin;
pub mod runtime;
pub mod server;
