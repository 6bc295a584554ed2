//! Reads a scheme from TOML, as a preset or a source spells it.

pub mod preset;
mod published;
pub mod scheme;
pub mod template;
