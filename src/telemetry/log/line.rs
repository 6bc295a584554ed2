//! Assembles a line: each field is written once, at its final position.

use serde_json::value::RawValue;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};

/// A field whose text is already JSON and is embedded unchanged.
const JSON_FIELD: &str = "destinations";

/// Names that every line of the JSON format has; an event's own fields must not use them.
const OURS: [&str; 2] = ["timestamp", "level"];

/// The first fields in the line of a delivery, with their widths in columns.
const FIRST: [(&str, usize); 5] =
    [("source", 12), ("outcome", 9), ("status", 3), ("reason", 20), ("event_id", 0)];

/// The fields of a line, each as its format shows it.
pub(super) struct LineFields {
    is_json: bool,
    message: String,
    text: Vec<u8>,
    /// Name, and where in `text` it ends.
    ends: Vec<(&'static str, usize)>,
}

impl LineFields {
    pub(super) fn new(is_json: bool) -> Self {
        let (text, ends) = (Vec::with_capacity(512), Vec::with_capacity(16));
        Self { is_json, message: String::new(), text, ends }
    }

    /// The message of the line.
    pub(super) fn say(&mut self, message: &str) {
        message.clone_into(&mut self.message);
    }

    /// Writes the line: the common fields, then the others in the order of their names. The line of
    /// a delivery begins with the most important fields, on a terminal in columns.
    pub(super) fn write(
        &self,
        line: &mut dyn fmt::Write,
        timestamp: &str,
        level: tracing::Level,
        is_terminal: bool,
    ) -> fmt::Result {
        let level = level.as_str();
        if self.is_json {
            let level = level.to_ascii_lowercase();
            let message = serde_json::to_string(&self.message).map_err(|_| fmt::Error)?;
            write!(line, r#"{{"timestamp":"{timestamp}","level":"{level}","message":{message}"#)?;
        } else {
            write!(line, "{timestamp} {level:<5} {}", self.message)?;
        }
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let mut fields: Vec<_> = starts.zip(&self.ends).collect();
        fields.sort_by_key(|(_, (name, _))| *name);
        if !self.is_json && fields.iter().any(|(_, (name, _))| *name == "outcome") {
            for (wanted, width) in FIRST {
                let place = fields.iter().position(|(_, (name, _))| *name == wanted);
                match place.map(|place| fields.remove(place)) {
                    Some((start, (_, end))) => {
                        let width = if is_terminal { width + wanted.len() + 2 } else { 0 };
                        write!(line, "{:<width$}", self.shown(start, *end)?)?;
                    }
                    None if is_terminal => write!(line, " {wanted}={:<width$}", "-")?,
                    None => {}
                }
            }
        }
        for (start, (_, end)) in fields {
            line.write_str(self.shown(start, *end)?)?;
        }
        line.write_str(if self.is_json { "}\n" } else { "\n" })
    }

    /// An assembled field.
    fn shown(&self, start: usize, end: usize) -> Result<&str, fmt::Error> {
        str::from_utf8(self.text.get(start..end).unwrap_or_default()).map_err(|_| fmt::Error)
    }

    /// A field of our own, which replaces an event's field of the same name.
    pub(super) fn put(&mut self, name: &'static str, number: u64) {
        if let Some(place) = self.ends.iter().position(|(taken, _)| *taken == name) {
            let start = place.checked_sub(1).and_then(|before| self.ends.get(before));
            let start = start.map_or(0, |(_, end)| *end);
            let (_, end) = self.ends.remove(place);
            self.text.drain(start..end);
            for (_, later) in self.ends.iter_mut().skip(place) {
                *later -= end - start;
            }
        }
        self.value(name, number != 0, &number);
    }

    /// A field with a JSON value. A line for people omits empty fields.
    fn value(&mut self, name: &'static str, says_something: bool, value: &impl serde::Serialize) {
        if self.begin(name, says_something) {
            // Writing to memory does not fail, and none of the values do.
            let _ = serde_json::to_writer(&mut self.text, value);
            self.ends.push((name, self.text.len()));
        }
    }

    /// A text: for people bare if that is unambiguous, otherwise quoted and escaped.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        let is_bare = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'=';
        if self.is_json || !text.bytes().all(is_bare) {
            self.value(name, true, &text);
        } else if self.begin(name, !text.is_empty()) {
            self.text.extend_from_slice(text.as_bytes());
            self.ends.push((name, self.text.len()));
        }
    }

    /// The text before a value; `false` if the field is omitted.
    fn begin(&mut self, name: &'static str, says_something: bool) -> bool {
        if self.is_json {
            if OURS.contains(&name) {
                return false;
            }
            self.text.push(b',');
            let _ = serde_json::to_writer(&mut self.text, name);
            self.text.push(b':');
            return true;
        }
        if says_something {
            self.text.push(b' ');
            self.text.extend_from_slice(name.as_bytes());
            self.text.push(b'=');
        }
        says_something
    }
}

impl Visit for LineFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), value.is_finite() && value != 0.0, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), value != 0, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), value != 0, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), true, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.say(value),
            JSON_FIELD => match serde_json::from_str::<&RawValue>(value) {
                Ok(json) => self.value(JSON_FIELD, json.get() != "[]", &json),
                Err(_) => self.text(JSON_FIELD, value),
            },
            name => self.text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message.clear();
            // Writing to a string does not fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.text(field.name(), &format!("{value:?}"));
        }
    }
}
