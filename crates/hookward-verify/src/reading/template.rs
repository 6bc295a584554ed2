//! Reads a scheme's places and signed texts, and suggests corrections of mistakes.
//!
//! `scheme` defines the notation.

use crate::scheme::{Part, Place, Template, TimestampPlace};
use hookward_settings::problem::nearest;
use hookward_settings::value::{Form, FormFault};
use http::HeaderName;

impl Form for Template {
    const NAME: &'static str = "a signed text";
    const ALLOWED: &'static str = "text with {body}, {timestamp}, {secret}, {header:NAME}, {json:/POINTER}, \
         {json-raw:/POINTER}, {method}, {url}, {url:any-port}, {url:decoded}, {path}, {query}, {query:NAME}, {form}, {listed:PREFIX}, {crc32}, {sns}, {lower:…}";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let template = Self::parse(text).map_err(|what| {
            let unknown = unknown_holes(text).next();
            let suggestion = unknown.and_then(near_hole).map(|near| format!("{{{near}}}"));
            match unknown {
                Some(hole) if suggestion.is_some() => {
                    FormFault { what: format!("{{{hole}}} is not a placeholder"), suggestion }
                }
                _ => FormFault::from(what),
            }
        })?;
        if template.0.is_empty() {
            return Err("empty: it would be the same for every request".into());
        }
        for part in &template.0 {
            if let Part::Literal(literal) = part
                && let Some(hole) = holes(literal).find(|hole| Self::parse(&braced(hole)).is_ok())
            {
                let what = format!("{{{{{hole}}}}} means the literal text {{{hole}}}");
                return Err(FormFault { what, suggestion: Some(braced(hole)) });
            }
        }
        Ok(template)
    }
}

/// The texts between braces.
fn holes(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

fn unknown_holes(text: &str) -> impl Iterator<Item = &str> {
    holes(text).filter(|hole| Template::parse(&braced(hole)).is_err())
}

fn braced(hole: &str) -> String {
    format!("{{{hole}}}")
}

fn near_hole(hole: &str) -> Option<String> {
    const PLAIN: [&str; 8] =
        ["body", "timestamp", "secret", "method", "url", "path", "query", "form"];
    match hole.split_once(':') {
        None => nearest(hole, PLAIN),
        Some((kind, rest)) => {
            let near = nearest(kind, ["header", "json", "json-raw", "query", "lower"])?;
            let rest = if near.starts_with("json") && !rest.starts_with('/') {
                format!("/{rest}")
            } else {
                rest.to_owned()
            };
            let whole = format!("{near}:{rest}");
            Template::parse(&braced(&whole)).is_ok().then_some(whole)
        }
    }
}

impl Form for Place {
    const NAME: &'static str = "a place";
    const ALLOWED: &'static str = "header:NAME, json:/POINTER, claim:/POINTER, body-sha256, or \
                                   several of them, such as {header:NAME}:{json:/POINTER}";

    fn parse(text: &str) -> Result<Self, FormFault> {
        Self::parse(text).map_err(|what| {
            if text.contains(['{', '}']) {
                return FormFault::from(what);
            }
            let kinds = ["header", "json", "claim"];
            no_place(near_place(text, &kinds).or_else(|| nearest(text, ["body-sha256"])))
        })
    }
}

impl Form for TimestampPlace {
    const NAME: &'static str = "a place";
    const ALLOWED: &'static str =
        "header:NAME, item:PREFIX, item:#INDEX, json:/POINTER, claim:/POINTER";

    fn parse(text: &str) -> Result<Self, FormFault> {
        Self::parse(text)
            .map_err(|_| no_place(near_place(text, &["header", "json", "item", "claim"])))
    }
}

fn no_place(near: Option<String>) -> FormFault {
    FormFault { what: "not a place".to_owned(), suggestion: near.map(|near| format!("\"{near}\"")) }
}

/// The probable meaning of a text that is not a place: `/id` and `X-Id` name one without its kind.
fn near_place(text: &str, kinds: &[&'static str]) -> Option<String> {
    if text.starts_with('/') {
        return Some(format!("json:{text}"));
    }
    if text.to_ascii_lowercase().starts_with("x-") && HeaderName::try_from(text).is_ok() {
        return Some(format!("header:{text}"));
    }
    let (kind, rest) = text.split_once(':')?;
    match nearest(kind, kinds.iter().copied())? {
        json if json == "json" && !rest.starts_with('/') => Some(format!("json:/{rest}")),
        near if near == kind => None,
        near => Some(format!("{near}:{rest}")),
    }
}
