//! Reads one value of a table as the required type.

use super::notes::Reading;
use crate::document::{Node, Value};
use crate::problem::{Problem, Severity, nearest};
use crate::value::Form;

/// A value that is being read.
#[derive(Clone)]
pub struct Item<'a> {
    /// The reading that this value is part of.
    pub reading: &'a Reading<'a>,
    /// The path of the key.
    pub key: String,
    /// The value.
    pub node: &'a Node,
    /// The value is a secret and not to be shown.
    pub(crate) hidden: bool,
}

impl<'a> Item<'a> {
    /// Notes that this value is wrong.
    pub fn refuse(&self, what: impl Into<String>, allowed: &str) {
        self.reading.note(self.problem(Severity::Error, what).allowed(allowed));
    }

    /// Notes that this value is wrong in a way that a list of what is allowed does not help with.
    pub fn contradicts(&self, what: impl Into<String>) {
        self.reading.note(self.problem(Severity::Error, what));
    }

    /// Notes that this value may not be what its author wants.
    pub fn warn(&self, what: impl Into<String>) {
        self.reading.note(self.problem(Severity::Warning, what));
    }

    /// A problem of this value.
    pub fn problem(&self, severity: Severity, what: impl Into<String>) -> Problem {
        Problem::new(severity, self.reading.file, what)
            .at(self.node.place)
            .key(self.key.clone())
            .value(if self.hidden { None } else { self.node.shown() })
    }

    /// The same value, never to be shown.
    #[must_use]
    pub fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// The items of a list.
    pub fn list(&self, allowed: &str) -> Option<Vec<Self>> {
        let Value::List(nodes) = &self.node.value else {
            let text = matches!(self.node.value, Value::Text(_)) && !self.hidden;
            let shown = self.node.shown().filter(|_| text);
            let suggestion = shown.map(|text| format!("[{text}]"));
            let what = format!("not an array but {}", self.node.kind());
            self.reading
                .note(self.problem(Severity::Error, what).suggestion(suggestion).allowed(allowed));
            return None;
        };
        let item = |(index, node)| {
            let key = format!("{}[{index}]", self.key);
            Self { reading: self.reading, key, node, hidden: self.hidden }
        };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// The items of a list, each read by `read`; those that are wrong are noted and left out.
    pub fn each<T>(&self, allowed: &str, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        self.list(allowed).map(|items| items.iter().filter_map(read).collect())
    }

    /// The value as text.
    pub fn text(&self, allowed: &str) -> Option<&'a str> {
        if let Value::Text(text) = &self.node.value {
            return Some(text);
        }
        self.refuse(format!("not a string but {}", self.node.kind()), allowed);
        None
    }

    /// A yes or no.
    pub fn boolean(&self) -> Option<bool> {
        if let Value::Boolean(value) = self.node.value {
            return Some(value);
        }
        let suggestion = match &self.node.value {
            Value::Text(text) => nearest(text, ["true", "false"]),
            _ => None,
        };
        let what = format!("not a boolean but {}", self.node.kind());
        self.reading.note(
            self.problem(Severity::Error, what).suggestion(suggestion).allowed("true or false"),
        );
        None
    }

    /// A whole number of at least `least` and at most `most`.
    pub fn whole(&self, least: u64, most: u64) -> Option<u64> {
        let allowed = if most == u64::MAX {
            format!("a whole number from {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let Value::Integer(digits, radix) = &self.node.value else {
            let digits = match &self.node.value {
                Value::Text(text) => text.trim().parse::<u64>().ok(),
                _ => None,
            };
            let what = format!("not an integer but {}", self.node.kind());
            let suggestion = digits.map(|digits| digits.to_string());
            self.reading
                .note(self.problem(Severity::Error, what).suggestion(suggestion).allowed(allowed));
            return None;
        };
        match u64::from_str_radix(digits, *radix) {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.refuse("out of range", &allowed);
                None
            }
        }
    }

    /// One of a list of words.
    pub fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names: Vec<_> = words.iter().map(|&(name, _)| name).collect();
        let allowed = names.join(", ");
        let text = self.text(&allowed)?;
        let found = words.iter().find(|&&(name, _)| name == text);
        if found.is_none() {
            let suggestion = nearest(text, names).map(|word| format!("{word:?}"));
            self.reading.note(
                self.problem(Severity::Error, "not one of the allowed words")
                    .suggestion(suggestion)
                    .allowed(allowed),
            );
        }
        found.map(|&(_, meaning)| meaning)
    }

    /// A value of some [`Form`].
    pub fn form<F: Form>(&self) -> Option<F> {
        let fault = match &self.node.value {
            Value::Text(text) => match F::parse(text) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            },
            Value::Integer(digits, 10) => {
                let what = match F::BARE {
                    "" => format!("{} is a string", F::NAME),
                    what => what.to_owned(),
                };
                crate::value::FormFault { what, suggestion: F::from_number(digits) }
            }
            _ => format!("not {} but {}", F::NAME, self.node.kind()).into(),
        };
        self.reading.note(
            self.problem(Severity::Error, fault.what)
                .suggestion(fault.suggestion)
                .allowed(F::ALLOWED),
        );
        None
    }
}
