//! Reads a TOML document key by key and reports every problem at once.
//!
//! ```
//! use hookward_settings::keys::{TableKeys, key};
//! use hookward_settings::reading::{Reading, TableReader};
//! use hookward_settings::{ConfigPart, SystemSecrets, TextPlace, document};
//! use std::path::Path;
//!
//! static KEYS: TableKeys = TableKeys {
//!     title: "",
//!     about: "A server.",
//!     keys: &[key("workers", "number", "2", "How many threads serve.")],
//! };
//!
//! let table = document::parse("worker = 4\n", "server.toml").unwrap();
//! let reading = Reading::new("server.toml", Path::new(""), &SystemSecrets, ConfigPart::Whole);
//! let server = TableReader::open(&reading, String::new(), TextPlace::default(), &table, &KEYS);
//! let workers = server.get("workers").and_then(|item| item.whole(1, 64)).unwrap_or(2);
//! assert_eq!(workers, 2);
//!
//! let problems = reading.into_problems();
//! let expected = "server.toml:1:1: error: worker: unknown key; did you mean `workers`? (allowed: workers)";
//! assert_eq!(problems[0].to_string(), expected);
//! ```
//!
//! A [`Problem`] has the file, the line, the key, the value, what is allowed, and what was probably
//! meant. It never contains a secret. A getter returns `None` both for an absent value and for a wrong
//! one, and notes the problem of a wrong one. So the caller continues with the default, and all
//! problems are reported together.
//!
//! * [`document`] turns text into a tree in which every value has its line and column.
//! * [`keys`] declares the keys of a table; unknown keys are problems.
//! * [`reading`] returns typed values from a table.
//! * [`value`] reads the forms of text values: durations, sizes, addresses, URLs.
//! * [`secrets`] reads secrets from the environment, files or the document itself.
//!
//! The crate itself defines no key.

pub mod document;
pub mod keys;
pub mod part;
pub mod problem;
pub mod reading;
pub mod secret_reader;
pub mod secrets;
pub mod value;

pub use keys::{Default as KeyDefault, KeyDeclaration, TableKeys};
pub use part::ConfigPart;
pub use problem::{Problem, Severity, TextPlace};
pub use secret_reader::{NoSecrets, SecretReader, SystemSecrets};
