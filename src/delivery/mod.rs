//! The life of a delivery: the checks of a request, their order, and the results.
//!
//! Start with [`lifecycle`]: arrive, prove, route, claim, forward. [`arrival`] checks the head,
//! [`proof`] has the types that are required for claiming and forwarding, [`dispatch`] forwards and
//! settles claims, [`attempt`] sends one request to one destination, `spilling` begins the delivery
//! of events that [`keeping`] may store in the inbox, [`shadow`] is the entry for sources that only observe, [`answer`] is the answer to
//! the sender, and [`report`] writes the log line and counts each delivery.

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
mod leg;
pub mod lifecycle;
mod outbound;
mod pending;
pub mod proof;
pub mod report;
pub mod route;
pub mod shadow;
pub mod sightings;
pub mod source;
mod spilling;
pub mod trace;
