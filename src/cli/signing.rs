//! Shared by `sign` and `send`: the key and the body.

use super::complain;
use super::exit::{CommandStop, Exit};
use crate::cli::configuration::newest_secret;
use crate::delivery::source::Source;
use crate::senders::discover::KeyFile;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hookward_secret::Secret;
use hookward_verify::scheme::Place;
use hookward_verify::sign::{SignError, SigningKey, new_key_pair};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A private key, for schemes whose source has only public keys.
#[derive(Debug, clap::Args)]
pub struct PrivateKey {
    /// Private key, where the source holds public ones: PKCS #8 PEM as openssl genpkey makes it, or
    /// the 32 bytes of an Ed25519 key in hex or base64. Certificates of a token's chain follow in the
    /// same file
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Make a key pair for the source and sign with it: the private key goes into FILE, which must not
    /// exist, and the public one, for the source's `secrets`, into FILE.pub
    #[arg(long, value_name = "FILE", conflicts_with = "private_key")]
    new_key: Option<PathBuf>,
}

impl PrivateKey {
    /// The key, if one is given or made.
    ///
    /// # Errors
    /// When the file cannot be read or written, or the source takes no key that can be made.
    pub fn read(&self, source: &Source) -> Result<Option<Secret>, CommandStop> {
        if let Some(path) = &self.new_key {
            return make(source, path).map(Some);
        }
        let Some(path) = &self.private_key else { return Ok(None) };
        let bytes = std::fs::read(path).map_err(|fault| {
            CommandStop::new(Exit::Usage, format!("cannot read {}: {fault}", path.display()))
        })?;
        let text = bytes.trim_ascii();
        let decoded = [&HEXLOWER_PERMISSIVE, &BASE64].into_iter().find_map(|encoding| {
            encoding.decode(text).ok().filter(|key| key.len() == ed25519_dalek::SECRET_KEY_LENGTH)
        });
        Ok(Some(Secret::new(decoded.unwrap_or(bytes))))
    }
}

/// Makes a key pair for the source and writes both sides of it.
fn make(source: &Source, path: &Path) -> Result<Secret, CommandStop> {
    let pair =
        new_key_pair(&source.sender.scheme.signature).map_err(|fault| unsigned(source, &fault))?;
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    write_new(path, pair.private.expose(), 0o600)?;
    write_new(Path::new(&public), pair.public.as_bytes(), 0o644)?;
    complain(&format!(
        "hookward: note: the source takes this delivery with `secrets = [{{ file = \"{}\" }}]`\n",
        Path::new(&public).display()
    ));
    Ok(pair.private)
}

/// Writes a file that must not exist yet.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CommandStop> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.and_then(|mut file| std::io::Write::write_all(&mut file, bytes)).map_err(|fault| {
        CommandStop::new(Exit::Usage, format!("cannot write {}: {fault}", path.display()))
    })
}

/// What signs deliveries of this source.
///
/// # Errors
/// When its secret could not be read.
pub fn key<'a>(
    source: &'a Source,
    private: Option<&'a Secret>,
) -> Result<SigningKey<'a>, CommandStop> {
    match private {
        Some(private) => Ok(SigningKey::Private(private)),
        None if source.sender.has_published_keys() => {
            let problem = format!(
                "source `{}` has keys that its sender publishes; sign with a private key of your own \
                 (--private-key FILE, or --new-key FILE)",
                source.name
            );
            Err(CommandStop::new(Exit::Usage, problem))
        }
        None => newest_secret(source).map(SigningKey::Shared),
    }
}

/// A file's bytes; `-` is stdin.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, CommandStop> {
    let read = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    read.map_err(|fault| {
        CommandStop::new(Exit::Usage, format!("cannot read {}: {fault}", path.display()))
    })
}

/// What a sender publishes, from a file.
///
/// # Errors
/// When it cannot be read, or holds no key.
pub fn read_key(path: &Path) -> Result<KeyFile, CommandStop> {
    let unfit = |what: String| CommandStop::new(Exit::Usage, format!("{}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|fault| unfit(fault.to_string()))?;
    KeyFile::read(bytes).map_err(unfit)
}

/// Only one of two files can be stdin, because a stream can be read only once.
///
/// # Errors
/// When both paths are `-`.
pub fn not_both_from_stdin(headers: &Path, body: &Path) -> Result<(), CommandStop> {
    if headers == Path::new("-") && body == Path::new("-") {
        let problem = "only one of --headers and --body can be `-`; put the other in a file";
        return Err(CommandStop::new(Exit::Usage, problem.to_owned()));
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
pub fn unsigned(source: &Source, fault: &SignError) -> CommandStop {
    let mut problem = format!("cannot sign for source `{}`: {fault}", source.name);
    if matches!(fault, SignError::NoPrivateKey(_)) {
        problem.push_str(" (--private-key FILE)");
    }
    CommandStop::new(Exit::Usage, problem)
}
