//! Where the configuration of a process comes from.

use crate::config::SecretReader;
use crate::telemetry::log::LogControl;
use std::path::PathBuf;

/// Where the configuration comes from, to read it anew.
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// How secrets are read.
    pub secrets: Box<dyn SecretReader + Send + Sync>,
    /// The log, to set its level and format.
    pub log: LogControl,
}
