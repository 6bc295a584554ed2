//! The presets as people read them: a list, one as TOML, and the page in `docs/`.

mod listing;
mod page;
mod unreached;

pub use listing::{list, list_json, show, to_json};
pub use page::senders_page;
pub use unreached::{UNREACHED, Unreached};

#[cfg(test)]
mod tests;
