//! Secrets: where they are kept, and reading them from there.
//!
//! What is read here is never shown. Even the name of an environment variable is shown only if it
//! looks like one, because a secret typed in its place is a common slip.

use super::keys::{TableKeys, optional};
use super::reading::Item;
use crate::secret::Secret;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Where secrets are read from; a parameter so that no test needs the process's environment.
pub trait SecretReader {
    /// The bytes of an environment variable; `None` if it is not set.
    fn environment(&self, name: &str) -> Option<Secret>;

    /// The bytes of a file, line end included.
    fn file(&self, path: &Path) -> io::Result<Secret>;
}

/// The process's environment and the file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSecrets;

/// No key of any algorithm comes near this; a path that leads to something else altogether does.
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
}

pub(super) static KEYS: TableKeys = TableKeys {
    title: "secret",
    about: "Wherever a secret is wanted, exactly one of `env`, `file` and `value`.",
    keys: &[
        optional("env", "name", "–", "The environment variable that holds it."),
        optional(
            "file",
            "path",
            "–",
            "The file that holds it; a line end at its end is not part of it. Read again on \
             reload.",
        ),
        optional(
            "value",
            "text",
            "–",
            "The secret itself. Warned of: whoever reads the configuration has it.",
        ),
        optional(
            "name",
            "text",
            "its index, 0 for the newest",
            "What labels it in `hookward_secret_matches_total`; for a source's secrets only.",
        ),
    ],
};

/// What came of reading a secret whose table is in order.
#[derive(Debug)]
pub(super) enum Found {
    /// Its bytes; never empty.
    Secret(Secret),
    /// It is not there now, for this reason; nothing has been noted yet.
    Unreadable(String),
}

/// Reads the secret that `item` refers to. `None`: the reference itself is wrong, which has been
/// noted.
pub(super) fn read(item: &Item<'_>) -> Option<Found> {
    let allowed = "exactly one of env, file, value as { env = \"SHOP_SECRET\" }";
    let table = item.clone().hidden().table(&KEYS)?;
    let (env, file, value) = (table.get("env"), table.get("file"), table.get("value"));
    if [&env, &file, &value].into_iter().flatten().count() > 1 {
        item.refuse("stated in more than one way", allowed);
        return None;
    }
    let found = if let Some(env) = env {
        from_environment(&env)?
    } else if let Some(file) = file {
        from_file(&file)?
    } else if let Some(value) = value {
        let text = value.text("the secret as text")?;
        value.warn(
            "a secret in the configuration is known to whoever reads the file; use env or file",
        );
        Found::Secret(Secret::from(text.to_owned()))
    } else {
        item.refuse("no secret", allowed);
        return None;
    };
    if let Found::Secret(secret) = &found
        && secret.is_empty()
    {
        if !item.reading.needs(&item.key) {
            return Some(Found::Unreadable("the secret is empty".to_owned()));
        }
        item.contradicts("the secret is empty: anybody could sign with it");
        return None;
    }
    Some(found)
}

fn from_environment(item: &Item<'_>) -> Option<Found> {
    let allowed = "the name of an environment variable as \"SHOP_SECRET\"";
    let name = item.text(allowed)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        item.refuse("not a name that a variable can have", allowed);
        return None;
    }
    let usual = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let shown = if usual { format!("variable {name}") } else { "variable it names".to_owned() };
    Some(match item.reading.secrets.environment(name) {
        Some(secret) => Found::Secret(secret),
        None => Found::Unreadable(format!("the environment {shown} is not set")),
    })
}

fn from_file(item: &Item<'_>) -> Option<Found> {
    let path = super::server::file(item)?;
    Some(match item.reading.secrets.file(&path) {
        Ok(secret) => Found::Secret(without_line_end(&secret)),
        // The path may be a secret typed in its place, so it is not repeated.
        Err(fault) => {
            let relative = item.text("a path").is_some_and(|path| Path::new(path).is_relative());
            let from = if relative { " from the directory of this file" } else { "" };
            Found::Unreadable(format!("its file cannot be read{from}: {}", plain(&fault)))
        }
    })
}

fn without_line_end(secret: &Secret) -> Secret {
    let bytes = secret.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Secret::new(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec())
}

/// Why a file cannot be read, without its path.
pub(super) fn plain(fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        io::ErrorKind::FileTooLarge => "larger than 64 KiB".to_owned(),
        kind => kind.to_string(),
    }
}
