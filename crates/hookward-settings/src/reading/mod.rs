//! Reading typed values out of a document, with every problem noted and none returned early.
//!
//! A getter gives `None` both for what is absent and for what is wrong; what is wrong has then
//! been noted, so the caller goes on with the default and all problems come out at once.

mod item;
mod notes;
mod table;

pub use item::Item;
pub use notes::{Hint, Reading};
pub use table::TableReader;
