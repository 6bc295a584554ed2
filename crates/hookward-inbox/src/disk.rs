//! The calls to the file system that can fail under load, behind a trait so that a test can make
//! them fail.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// How many flushes of one file there may be at once, each on a handle of its own.
pub(crate) const FLUSHES_AT_ONCE: usize = 4;

/// Where bytes become durable.
pub trait Disk: Send + Sync + 'static {
    /// Writes all of `bytes` to the end of `file`.
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()>;

    /// Returns once what was in `file` at the beginning of the call is durable. Several threads call
    /// it at once, each with a handle of its own. After an error the inbox never begins another one for
    /// the same file: the kernel may have dropped what it could not write.
    fn flush(&self, file: &File) -> io::Result<()>;

    /// Bytes that an unprivileged process can still use on the file system of `folder`.
    fn free(&self, folder: &Path) -> io::Result<u64>;
}

/// The operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
