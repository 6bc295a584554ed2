//! The story of a delivery: what is asked of a request, in which order, and what comes of it.
//!
//! Start with [`lifecycle`]: arrive, prove, route, claim, forward. [`arrival`] has the checks of the
//! head, [`proof`] the types without which nothing is claimed or forwarded, [`dispatch`] the
//! forwarding and the settling of claims, [`attempt`] one request to one destination, [`keeping`] what
//! is stored in the inbox and when, [`shadow`] the entrance for sources that only observe,
//! [`answer`] what the sender is told, and [`report`] the one line and count of each delivery.

pub mod answer;
pub mod arrival;
pub mod attempt;
pub mod bucket;
pub mod captures;
pub mod credentials;
pub mod dispatch;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gate;
pub mod headers;
mod in_place;
pub mod journal;
pub mod keeping;
pub mod lifecycle;
mod outbound;
mod pending;
pub mod proof;
pub mod report;
pub mod route;
pub mod shadow;
pub mod sightings;
pub mod source;
pub mod trace;
