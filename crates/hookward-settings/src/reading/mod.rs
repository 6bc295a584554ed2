//! Reads typed values from a document, and records every problem instead of returning early.
//!
//! A getter returns `None` both for an absent value and for a wrong one, whose problem it records.
//! So the caller continues with the default, and all problems are reported together.

mod item;
mod notes;
mod table;

pub use item::Item;
pub use notes::{Hint, Reading};
pub use table::TableReader;
