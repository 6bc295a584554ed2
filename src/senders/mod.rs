//! Tools for connecting a sender: the list of presets, explanations of signature mismatches,
//! discovery of unknown schemes, and a receiver for trials.

pub mod discover;
pub mod explain;
pub mod presets;
pub mod receiver;
