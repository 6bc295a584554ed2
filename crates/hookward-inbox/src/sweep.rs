//! A segment that is being swept.

use std::fs::File;
use std::sync::Arc;

/// A segment that is being swept.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) number: u32,
    pub(crate) file: Arc<File>,
    pub(crate) next: u32,
    pub(crate) length: u32,
    pub(crate) is_copy: bool,
}
