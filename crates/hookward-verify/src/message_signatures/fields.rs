//! The two headers of RFC 9421 as structured fields (RFC 8941), read strictly: if a dictionary has
//! a repeated key, two parsers might use different values.

use data_encoding::BASE64;

/// One member of `Signature-Input`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) label: String,
    pub(super) components: Vec<Component>,
    /// The value as written, which is the value of `@signature-params`.
    pub(super) text: String,
    pub(super) created: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) key_id: Option<String>,
    pub(super) algorithm: Option<String>,
}

/// A covered component.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// Its name, in lower case.
    pub(super) name: String,
    /// The value of its parameter `name`, of `@query-param`.
    pub(super) parameter: Option<String>,
    /// As written, including quotes.
    pub(super) text: String,
}

/// More components than any signature needs to cover.
const MOST_COMPONENTS: usize = 64;

/// Reads `Signature-Input`; `None` if it is malformed.
pub(super) fn inputs_of(text: &str) -> Option<Vec<Input>> {
    let mut reader = FieldReader { rest: text.trim_matches([' ', '\t']) };
    let mut all: Vec<Input> = Vec::new();
    loop {
        let label = reader.key()?.to_owned();
        reader.take('=')?;
        let before = reader.rest;
        let components = reader.inner_list()?;
        let parameters = reader.parameters()?;
        let text = before.get(..before.len() - reader.rest.len())?.to_owned();
        let mut input = Input {
            label,
            components,
            text,
            created: None,
            expires: None,
            key_id: None,
            algorithm: None,
        };
        for (name, value) in parameters {
            match (name.as_str(), value) {
                ("created", Bare::Integer(at)) => input.created = Some(at),
                ("expires", Bare::Integer(at)) => input.expires = Some(at),
                ("keyid", Bare::Text(id)) => input.key_id = Some(id),
                ("alg", Bare::Text(name)) => input.algorithm = Some(name),
                ("created" | "expires" | "keyid" | "alg", _) => return None,
                _ => {}
            }
        }
        if all.iter().any(|other| other.label == input.label) {
            return None;
        }
        all.push(input);
        if !reader.next_member()? {
            return Some(all);
        }
    }
}

/// Reads a dictionary of byte sequences: `Signature`, `Content-Digest`.
pub(super) fn signatures_of(text: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut reader = FieldReader { rest: text.trim_matches([' ', '\t']) };
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        let label = reader.key()?.to_owned();
        reader.take('=')?;
        let Bare::Bytes(bytes) = reader.bare()? else { return None };
        reader.parameters()?;
        if all.iter().any(|(other, _)| *other == label) {
            return None;
        }
        all.push((label, bytes));
        if !reader.next_member()? {
            return Some(all);
        }
    }
}

enum Bare {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Other,
}

struct FieldReader<'t> {
    rest: &'t str,
}

impl<'t> FieldReader<'t> {
    fn take(&mut self, wanted: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    /// Whether a comma and another member follow; `None` for anything but that or the end.
    fn next_member(&mut self) -> Option<bool> {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some(false);
        }
        self.rest = rest.strip_prefix(',')?.trim_start_matches([' ', '\t']);
        Some(true)
    }

    fn while_bytes(&mut self, fits: impl Fn(u8) -> bool) -> &'t str {
        let end = self.rest.bytes().position(|byte| !fits(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'t str> {
        let first = self.rest.bytes().next()?;
        (first.is_ascii_lowercase() || first == b'*').then_some(())?;
        Some(self.while_bytes(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    fn text(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => match characters.next()?.1 {
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return None,
                },
                ' '..='~' => text.push(character),
                _ => return None,
            }
        }
        None
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.rest.bytes().next()? {
            b'"' => self.text().map(Bare::Text),
            b':' => {
                self.take(':')?;
                let inner = self.while_bytes(|byte| byte != b':');
                self.take(':')?;
                Some(Bare::Bytes(BASE64.decode(inner.as_bytes()).ok()?))
            }
            b'-' | b'0'..=b'9' => {
                let digits = self.while_bytes(|byte| byte == b'-' || byte.is_ascii_digit());
                let sound = digits.len() <= 15 && !digits.contains('.');
                sound.then(|| digits.parse().ok())?.map(Bare::Integer)
            }
            b'?' => {
                self.take('?')?;
                let flag = self.while_bytes(|byte| matches!(byte, b'0' | b'1'));
                (flag.len() == 1).then_some(Bare::Other)
            }
            byte if byte.is_ascii_alphabetic() || byte == b'*' => {
                self.while_bytes(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Bare::Other)
            }
            _ => None,
        }
    }

    fn parameters(&mut self) -> Option<Vec<(String, Bare)>> {
        let mut all: Vec<(String, Bare)> = Vec::new();
        while let Some(rest) = self.rest.strip_prefix(';') {
            self.rest = rest.trim_start_matches(' ');
            let name = self.key()?.to_owned();
            let value = match self.take('=') {
                Some(()) => self.bare()?,
                None => Bare::Other,
            };
            if all.iter().any(|(other, _)| *other == name) {
                return None;
            }
            all.push((name, value));
        }
        Some(all)
    }

    fn inner_list(&mut self) -> Option<Vec<Component>> {
        self.take('(')?;
        let mut all: Vec<Component> = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches(' ');
            if self.take(')').is_some() {
                return Some(all);
            }
            let before = self.rest;
            let name = self.text()?;
            let mut parameter = None;
            for (key, value) in self.parameters()? {
                match (key.as_str(), value) {
                    ("name", Bare::Text(text)) if name == "@query-param" => parameter = Some(text),
                    // Every other parameter changes how the component is read.
                    _ => return None,
                }
            }
            let text = before.get(..before.len() - self.rest.len())?.to_owned();
            if all.len() >= MOST_COMPONENTS || all.iter().any(|other| other.text == text) {
                return None;
            }
            all.push(Component { name, parameter, text });
            self.rest.starts_with([' ', ')']).then_some(())?;
        }
    }
}
