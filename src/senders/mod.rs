//! Tools for the people who connect a sender: the list of presets, why a signature does not match,
//! how an unknown sender signs, and a receiver to try things with.

pub mod discover;
pub mod explain;
pub mod presets;
pub mod receiver;
