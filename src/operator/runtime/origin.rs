//! Where the configuration of a process comes from.

use crate::config::SecretReader;
use crate::telemetry::log::LogControl;
use std::path::PathBuf;

/// Where to read the configuration again.
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// How secrets are read.
    pub secrets: Box<dyn SecretReader + Send + Sync>,
    /// The log, to set its level and format.
    pub log: LogControl,
}
