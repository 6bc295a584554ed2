//! Where secrets come from: the environment and files, or a test.

use hookward_secret::Secret;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Where secrets are read from; a parameter so that no test needs the process's environment.
pub trait SecretReader {
    /// The bytes of an environment variable; `None` if it is not set.
    fn environment(&self, name: &str) -> Option<Secret>;

    /// The bytes of a file, line end included.
    fn file(&self, path: &Path) -> io::Result<Secret>;

    /// The permission bits of a file that others can write; `None` if only its owner can, or if that is
    /// unknown.
    fn writable_by_others(&self, _path: &Path) -> Option<u32> {
        None
    }
}

/// The process's environment and the file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSecrets;

/// No secrets, for reading facts that do not depend on one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl SecretReader for NoSecrets {
    fn environment(&self, _: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _: &Path) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Far larger than any key; a larger file is not a secret.
const LARGEST_FILE_BYTES: u64 = 64 * 1024;

impl SecretReader for SystemSecrets {
    fn environment(&self, name: &str) -> Option<Secret> {
        std::env::var_os(name).map(OsString::into_encoded_bytes).map(Secret::new)
    }

    fn file(&self, path: &Path) -> io::Result<Secret> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 KiB"));
        }
        Ok(Secret::new(bytes))
    }

    fn writable_by_others(&self, path: &Path) -> Option<u32> {
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        (mode & 0o022 != 0).then_some(mode)
    }
}
