//! The claim machine over each of its stores: one suite for all, a model, and what breaks.
//!
//! * `suite`: what contract section 3 promises of claims, on memory, disk and a real Redis.
//! * `model`: random steps of two instances, compared with a model of a few lines.
//! * `disk`: restarts, kills, damage, a full disk.
//! * `redis`: round trips, an outage, a slow network, a lost server.

#![cfg(test)]

mod again;
mod disk;
mod hop;
mod model;
mod redis;
mod redis_server;
mod suite;
mod world;
