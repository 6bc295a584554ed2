//! The inbox as a program uses it: a folder, a manual clock, and injected faults.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails here says where"
)]

mod damage;
mod faults;
mod kill;
mod life;
mod model;
mod moving;
mod order;
mod people;
mod pipeline;
mod power;
mod ramp;
mod reading;
mod space;
mod support;
