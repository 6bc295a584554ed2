//! Shared by `sign` and `send`: the key and the body.

use super::complain;
use super::exit::{Exit, Stop};
use crate::cli::configuration::newest_secret;
use crate::delivery::source::Source;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hookward_secret::Secret;
use hookward_verify::scheme::Place;
use hookward_verify::sign::{SignError, SigningKey};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A private key, for schemes whose source has only public keys.
#[derive(Debug, clap::Args)]
pub struct PrivateKey {
    /// Private key, if the source has only the public one: PKCS #8 PEM from openssl genpkey, or the
    /// 32 bytes of an Ed25519 key in hex or base64
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
}

impl PrivateKey {
    /// The key, if given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<Option<Secret>, Stop> {
        let Some(path) = &self.private_key else { return Ok(None) };
        let bytes = std::fs::read(path).map_err(|fault| {
            Stop::new(Exit::Usage, format!("cannot read {}: {fault}", path.display()))
        })?;
        let text = bytes.trim_ascii();
        let decoded = [&HEXLOWER_PERMISSIVE, &BASE64].into_iter().find_map(|encoding| {
            encoding.decode(text).ok().filter(|key| key.len() == ed25519_dalek::SECRET_KEY_LENGTH)
        });
        Ok(Some(Secret::new(decoded.unwrap_or(bytes))))
    }
}

/// What signs deliveries of this source.
///
/// # Errors
/// When its secret could not be read.
pub fn key<'a>(source: &'a Source, private: Option<&'a Secret>) -> Result<SigningKey<'a>, Stop> {
    match private {
        Some(private) => Ok(SigningKey::Private(private)),
        None => newest_secret(source).map(SigningKey::Shared),
    }
}

/// A file's bytes; `-` is stdin.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Stop> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|fault| Stop::new(Exit::Usage, format!("cannot read {}: {fault}", path.display())))
}

/// Only one of two files can be stdin, because a stream can be read only once.
///
/// # Errors
/// When both paths are `-`.
pub fn not_both_from_stdin(headers: &Path, body: &Path) -> Result<(), Stop> {
    if headers == Path::new("-") && body == Path::new("-") {
        let problem = "only one of --headers and --body can be `-`; put the other in a file";
        return Err(Stop::new(Exit::Usage, problem.to_owned()));
    }
    Ok(())
}

/// Reports which of `--id` and `--type` have no effect, because the given body contains the value.
pub fn complain_of_unused(source: &Source, id: Option<&str>, kind: Option<&str>) {
    let event = &source.sender.scheme.event;
    let of_type: Vec<&Place> = headers(&event.kind).collect();
    let names_id = headers(&event.id).any(|header| !of_type.contains(&header));
    for (option, given, is_used) in [("--id", id, names_id), ("--type", kind, !of_type.is_empty())]
    {
        if given.is_some() && !is_used {
            complain(&format!(
                "hookward: {option} is not used: source `{}` has it in the body\n",
                source.name
            ));
        }
    }
}

/// The headers among these places: they can be set without changing the body.
fn headers(places: &[Place]) -> impl Iterator<Item = &Place> {
    let singles = places.iter().flat_map(Place::singles);
    singles.filter(|place| matches!(place, Place::Header(_)))
}

/// A delivery that cannot be signed ends the command.
#[must_use]
pub fn unsigned(source: &Source, fault: &SignError) -> Stop {
    let mut problem = format!("cannot sign for source `{}`: {fault}", source.name);
    if matches!(fault, SignError::NoPrivateKey(_)) {
        problem.push_str(" (--private-key FILE)");
    }
    Stop::new(Exit::Usage, problem)
}
