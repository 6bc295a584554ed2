//! Tests of claims over each store: one suite for all, a model, and failures.
//!
//! * `suite`: the promises of section 3 of the contract about claims, on memory, disk, a real Redis
//!   and a real PostgreSQL.
//! * `model`: random steps of two instances, compared with a model of a few lines.
//! * `moving`: what one store knows, copied into another.
//! * `disk`: restarts, kills, damage, a full disk.
//! * `redis`, `postgres`: round trips, an outage, a slow network, a lost server.

#![cfg(test)]

mod again;
mod disk;
mod hop;
mod model;
mod moving;
mod postgres;
#[expect(unreachable_pub, reason = "the black-box tests have this file too")]
mod postgres_server;
mod redis;
mod redis_server;
mod suite;
mod world;
