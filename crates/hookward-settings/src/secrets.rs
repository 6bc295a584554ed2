//! Reads secrets from where they are kept.
//!
//! Secrets are never shown. Even the name of an environment variable is shown only if it looks like
//! one, because a secret typed in its place is a common mistake.

use crate::document::Value;
use crate::keys::{TableKeys, optional};
use crate::problem::Severity;
use crate::reading::Item;
use hookward_secret::Secret;
use std::io;
use std::path::{Path, PathBuf};

/// The keys of a secret.
pub static KEYS: TableKeys = TableKeys {
    title: "secret",
    about: "A secret has exactly one of `env`, `file` and `value`.",
    keys: &[
        optional("env", "name", "–", "The environment variable that contains it."),
        optional(
            "file",
            "path",
            "–",
            "The file that contains it. A final line end is not part of it. Read again on reload.",
        ),
        optional(
            "value",
            "text",
            "–",
            "The secret itself. Causes a warning, because everyone who can read the configuration \
             has it.",
        ),
        optional(
            "name",
            "text",
            "its index, 0 for the newest",
            "Its label in `hookward_secret_matches_total`; for a source's secrets only.",
        ),
    ],
};

/// The result of reading a secret whose table is valid.
#[derive(Debug)]
pub enum FoundSecret {
    /// Its bytes; never empty.
    Secret(Secret),
    /// It is not there now, for this reason; nothing has been noted yet.
    Unreadable(String),
}

/// Reads the secret that `item` refers to. `None`: the reference itself is wrong, which has been
/// noted.
pub fn read(item: &Item<'_>) -> Option<FoundSecret> {
    read_beside(item, &KEYS)
}

/// As [`read`] in a table that has keys beside those of a secret; `keys` declares all of them.
pub fn read_beside(item: &Item<'_>, keys: &'static TableKeys) -> Option<FoundSecret> {
    let allowed = "exactly one of env, file, value, such as {  env = \"SHOP_SECRET\" }";
    if let Value::Text(text) = &item.node.value {
        let name = if is_usual_name(text) { text } else { "…" };
        let problem = item.clone().hidden().problem(Severity::Error, "not a table but a string");
        let suggestion = Some(format!("{{ env = \"{name}\" }}"));
        item.reading.note(problem.suggestion(suggestion).allowed(allowed));
        return None;
    }
    let table = item.clone().hidden().table(keys)?;
    let (env, file, value) = (table.get("env"), table.get("file"), table.get("value"));
    if [&env, &file, &value].into_iter().flatten().count() > 1 {
        item.refuse("set in more than one way", allowed);
        return None;
    }
    let found = if let Some(env) = env {
        from_environment(&env)?
    } else if let Some(file) = file {
        from_file(&file)?
    } else if let Some(value) = value {
        let text = value.text("the secret as text")?;
        value.warn("everyone who can read the configuration knows this secret; use env or file");
        FoundSecret::Secret(Secret::from(text.to_owned()))
    } else {
        item.refuse("no secret", allowed);
        return None;
    };
    if let FoundSecret::Secret(secret) = &found
        && secret.is_empty()
    {
        if !item.reading.needs(&item.key) {
            return Some(FoundSecret::Unreadable("the secret is empty".to_owned()));
        }
        item.contradicts("the secret is empty: anyone could sign with it");
        return None;
    }
    if let FoundSecret::Secret(secret) = &found {
        warn_of_space(item, secret.expose());
    }
    Some(found)
}

fn from_environment(item: &Item<'_>) -> Option<FoundSecret> {
    let allowed = "the name of an environment variable, such as \"SHOP_SECRET\"";
    let name = item.text(allowed)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        item.refuse("not a valid variable name", allowed);
        return None;
    }
    let shown = if is_usual_name(name) {
        format!("variable {name}")
    } else {
        "variable that it names".to_owned()
    };
    Some(match item.reading.secrets.environment(name) {
        Some(secret) => FoundSecret::Secret(secret),
        None => FoundSecret::Unreadable(format!("the environment {shown} is not set")),
    })
}

fn from_file(item: &Item<'_>) -> Option<FoundSecret> {
    let path = file_path(item)?;
    Some(match item.reading.secrets.file(&path) {
        Ok(secret) => {
            if let Some(mode) = item.reading.secrets.writable_by_others(&path) {
                item.warn(format!(
                    "users other than the owner may write its file (mode {mode:04o}) and so \
                     replace the secret; use `chmod go-w`"
                ));
            }
            let text = without_byte_order_mark(item, secret.expose());
            FoundSecret::Secret(without_line_end(text))
        }
        Err(fault) => {
            let stated = item.text("a path").unwrap_or_default();
            let name =
                if may_be_shown(stated, &fault) { format!(" {stated:?}") } else { String::new() };
            let relative = Path::new(stated).is_relative();
            let from = if relative { ", relative to this file" } else { "" };
            FoundSecret::Unreadable(format!(
                "its file{name} cannot be read{from}: {}",
                plain(&fault)
            ))
        }
    })
}

/// Whether a text looks like the name of a variable, and not like a secret typed in its place.
fn is_usual_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(fits)
}

/// Whether the path of a file that cannot be read is surely a path, and not a secret typed in its
/// place: something is there, or the directory is, or it looks like nothing else.
fn may_be_shown(path: &str, fault: &io::Error) -> bool {
    let parent = Path::new(path).parent().filter(|parent| parent.parent().is_some());
    fault.kind() != io::ErrorKind::NotFound
        || parent.is_some_and(|parent| parent.is_absolute() && parent.is_dir())
        || (path.contains(['/', '.'])
            && path.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c))
            && !path.split(|c: char| !c.is_ascii_alphanumeric()).any(is_random))
}

/// Whether a run of letters and digits is mixed as those of keys are.
fn is_random(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.bytes().any(|byte| kind(&byte));
    let (digit, upper, lower) =
        (has(u8::is_ascii_digit), has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    (run.len() >= 8 && digit && upper && lower) || (run.len() >= 16 && digit && (upper || lower))
}

/// A byte order mark is what an editor put before the text. It is cut off where the text is UTF-8;
/// a text in UTF-16 is another one altogether.
fn without_byte_order_mark<'s>(item: &Item<'_>, bytes: &'s [u8]) -> &'s [u8] {
    if let Some(text) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        item.warn("its file begins with a byte order mark, which is not part of the secret");
        return text;
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        item.warn(
            "its file begins with a byte order mark of UTF-16, which stays part of the secret; \
             save the file as UTF-8",
        );
    }
    bytes
}

/// White space around a secret is part of it, and mostly got there by a slip.
fn warn_of_space(item: &Item<'_>, bytes: &[u8]) {
    let is_pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
    let place = match (bytes.trim_ascii_start() != bytes, bytes.trim_ascii_end() != bytes) {
        (false, false) => return,
        (true, false) => "begins",
        (false, true) => "ends",
        (true, true) => "begins and ends",
    };
    if !is_pem {
        let problem = item.clone().hidden().problem(
            Severity::Warning,
            format!(
                "the secret {place} with white space, which is part of it: if the sender's secret \
                 has none, every signature will be refused"
            ),
        );
        item.reading.note(problem);
    }
}

fn without_line_end(bytes: &[u8]) -> Secret {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Secret::new(bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec())
}

/// Why a file cannot be read, without its path.
pub fn plain(fault: &io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        io::ErrorKind::FileTooLarge => "larger than 64 KiB".to_owned(),
        kind => kind.to_string(),
    }
}

/// A path to a file, from the directory of the configuration file.
pub fn file_path(item: &Item<'_>) -> Option<PathBuf> {
    let allowed = "the path of a file";
    match item.text(allowed)? {
        "" => {
            item.refuse("empty", allowed);
            None
        }
        path => Some(item.reading.resolve(path)),
    }
}
