//! The declaration of a table's keys: what the reader allows and what the reference says.

/// A table of the configuration with all its keys.
#[derive(Debug)]
pub struct TableKeys {
    /// As in a file: `[server]`, `[sources.NAME.signature]`.
    pub title: &'static str,
    /// What the table is for, in a sentence or two.
    pub about: &'static str,
    /// Every key, in the order of the reference.
    pub keys: &'static [KeyDeclaration],
}

/// One key of a table.
#[derive(Debug)]
pub struct KeyDeclaration {
    /// Its name.
    pub name: &'static str,
    /// What kind of value it takes.
    pub takes: &'static str,
    /// What holds where it is left out.
    pub default: Default,
    /// What it does, in a sentence or two.
    pub about: &'static str,
}

/// What applies if a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It may not be left out.
    Required,
    /// This value, as TOML.
    Is(&'static str),
    /// Something that no value says.
    Means(&'static str),
}

impl TableKeys {
    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// A required key.
pub const fn required(
    name: &'static str,
    takes: &'static str,
    about: &'static str,
) -> KeyDeclaration {
    KeyDeclaration { name, takes, default: Default::Required, about }
}

/// A key with a default value, as TOML.
pub const fn key(
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    about: &'static str,
) -> KeyDeclaration {
    KeyDeclaration { name, takes, default: Default::Is(default), about }
}

/// An optional key whose absence has a meaning.
pub const fn optional(
    name: &'static str,
    takes: &'static str,
    absent: &'static str,
    about: &'static str,
) -> KeyDeclaration {
    KeyDeclaration { name, takes, default: Default::Means(absent), about }
}
