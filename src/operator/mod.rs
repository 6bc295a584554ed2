//! For operators: the admin listener, start, stop and reload.

pub mod admin;
pub mod runtime;
pub mod server;
