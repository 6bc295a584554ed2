//! Reads a TOML document key by key and reports every problem at once.
//!
//! A [`Problem`] names the file, the line, the key, the value, what is allowed and, where one is
//! near, what was probably meant. A getter returns `None` both for an absent value and for a wrong
//! one; a wrong one has then been noted, so that the caller continues with the default and all
//! problems appear together.
//!
//! * [`document`] turns text into a tree in which every value knows its place.
//! * [`keys`] declares the keys of a table; unknown keys are problems.
//! * [`reading`] gets typed values out of a table.
//! * [`value`] has the forms of text values: durations, sizes, addresses, URLs.
//! * [`secrets`] reads secrets from the environment, files or the document itself.
//!
//! This crate knows no key by name.

pub mod document;
pub mod keys;
pub mod part;
pub mod problem;
pub mod reading;
pub mod secret_reader;
pub mod secrets;
pub mod value;

pub use keys::{Default as KeyDefault, Key, TableKeys};
pub use part::Part;
pub use problem::{Place, Problem, Severity};
pub use secret_reader::{SecretReader, SystemSecrets};
