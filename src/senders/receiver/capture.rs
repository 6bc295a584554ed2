//! Requests written down in the form that `explain` and `discover` read.
//!
//! `NAME.headers` holds the request line and one `Name: value` a line, `NAME.body` the raw bytes.

use super::Received;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that captured requests are written to.
#[derive(Debug)]
pub struct Captures {
    directory: PathBuf,
    count: AtomicU64,
}

impl Captures {
    /// Makes the directory if it is not there, for its owner alone: what is captured has tokens and
    /// customers' data in it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        Ok(Self { directory: directory.to_owned(), count: AtomicU64::new(0) })
    }

    /// Writes both files, readable only by their owner, and returns their common path without the
    /// extension. The name starts with the time, so that a directory sorts by arrival and a restart
    /// overwrites nothing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, request: &Received) -> io::Result<PathBuf> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let stem = self.directory.join(format!("{}-{count:04}", request.at.0));
        private_file(&stem.with_extension("headers"))?.write_all(&head(request))?;
        private_file(&stem.with_extension("body"))?.write_all(&request.body)?;
        Ok(stem)
    }
}

/// A new file that only its owner can read, from the first moment.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn head(request: &Received) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\n", request.method, request.target).into_bytes();
    for (name, value) in &request.headers {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hookward_time::UnixMillis;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn captures_are_their_owners_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path().join("new/captures");
        let captures = Captures::in_directory(&directory).expect("made");
        let request = Received {
            at: UnixMillis(1_700_000_000_000),
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![("Authorization".to_owned(), b"Bearer token".to_vec())],
            body: Bytes::from_static(b"{}"),
        };
        let stem = captures.write(&request).expect("written");
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&stem.with_extension("headers")), 0o600);
        assert_eq!(mode(&stem.with_extension("body")), 0o600);
    }

    #[test]
    fn a_request_is_written_as_it_arrived() {
        let directory = tempfile::tempdir().expect("a directory");
        let captures = Captures::in_directory(&directory.path().join("new")).expect("made");
        let request = Received {
            at: UnixMillis(1_700_000_000_000),
            method: "POST".to_owned(),
            target: "/webhooks/shop?x=1".to_owned(),
            headers: vec![
                ("X-Signature".to_owned(), b"sha256=00".to_vec()),
                ("x-raw".to_owned(), vec![0xe9]),
            ],
            body: Bytes::from_static(b"{\"id\": 1}\r\n\xff"),
        };
        let first = captures.write(&request).expect("written");
        let second = captures.write(&request).expect("written");
        assert_ne!(first, second);
        assert_eq!(
            std::fs::read(first.with_extension("headers")).expect("there"),
            b"POST /webhooks/shop?x=1 HTTP/1.1\nX-Signature: sha256=00\nx-raw: \xe9\n"
        );
        assert_eq!(
            std::fs::read(second.with_extension("body")).expect("there"),
            b"{\"id\": 1}\r\n\xff"
        );
    }
}
