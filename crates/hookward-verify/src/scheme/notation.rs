//! How places and signed texts are written in the configuration: `header:X-Id`, `json:/data/id`,
//! `item:t=`, `{timestamp}.{body}`.
//!
//! Reading and printing are inverse to each other. An error is a sentence for the author of the
//! text.

use super::{Part, Place, Pointer, Segment, Template, TimestampPlace, UrlForm};
use http::HeaderName;
use std::fmt;

impl Place {
    /// Reads `header:NAME`, `json:/POINTER`, `body-sha256`, or several of them in braces with text
    /// between, as `{header:X-Topic}:{json:/id}`; `{{` and `}}` are single braces.
    ///
    /// # Errors
    /// What is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['{', '}']) && !text.starts_with("json:") {
            let place = |hole: &str| Self::parse_single(hole).map(Segment::Place);
            let segments = pieces(text, Segment::Literal, place)?;
            let place = Self::Joined(segments);
            if place.singles().next().is_none() {
                return Err(format!(
                    "`{text}` names no place, so every event would have the same text"
                ));
            }
            return Ok(place);
        }
        Self::parse_single(text)
    }

    fn parse_single(text: &str) -> Result<Self, String> {
        if text == "body-sha256" {
            return Ok(Self::BodySha256);
        }
        match text.split_once(':') {
            Some(("header", name)) => Ok(Self::Header(header_name(name)?)),
            Some(("json", pointer)) => Ok(Self::Json(Pointer::parse(pointer)?)),
            Some(("claim", pointer)) => Ok(Self::Claim(Pointer::parse(pointer)?)),
            _ => Err(format!("`{text}` is not a place")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Claim(pointer) => write!(f, "claim:{pointer}"),
            Self::BodySha256 => f.write_str("body-sha256"),
            Self::Joined(segments) => segments.iter().try_for_each(|segment| match segment {
                Segment::Literal(text) => f.write_str(&escaped(text)),
                Segment::Place(place) => write!(f, "{{{place}}}"),
            }),
        }
    }
}

impl TimestampPlace {
    /// Reads `header:NAME`, `item:PREFIX`, `item:#INDEX` (the item at this index, from 0) or
    /// `json:/POINTER`.
    ///
    /// # Errors
    /// What is allowed instead of `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("header", name)) => Ok(Self::Header(header_name(name)?)),
            Some(("json", pointer)) => Ok(Self::Json(Pointer::parse(pointer)?)),
            Some(("claim", pointer)) => Ok(Self::Claim(Pointer::parse(pointer)?)),
            Some(("item", prefix)) if !prefix.is_empty() => match prefix.strip_prefix('#') {
                None => Ok(Self::Item(prefix.to_owned())),
                Some(index) => index.parse().map(Self::ItemAt).map_err(|_| {
                    format!("`{text}`: after `#` stands the item's index, from 0, as in `item:#0`")
                }),
            },
            _ => Err(format!(
                "`{text}` is no place of a timestamp: allowed are `header:NAME`, `item:PREFIX`, \
                 `item:#INDEX`, `json:/POINTER`"
            )),
        }
    }
}

impl fmt::Display for TimestampPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Item(prefix) => write!(f, "item:{prefix}"),
            Self::ItemAt(index) => write!(f, "item:#{index}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Claim(pointer) => write!(f, "claim:{pointer}"),
        }
    }
}

/// What is allowed between braces, for error messages.
const HOLES: &str = "{body}, {timestamp}, {secret}, {header:NAME}, {json:/POINTER}, \
                     {json-raw:/POINTER}, {method}, {url}, {url:any-port}, {url:decoded}, {path}, \
                     {query}, {query:NAME}, {form}, {listed:PREFIX}, \
                     {header-list:NAME}, {crc32}, {sns}, \
                     and {lower:…} around one of them";

impl Template {
    /// Reads a text with placeholders; `{{` and `}}` are single braces.
    ///
    /// # Errors
    /// Which placeholder is unknown or not closed, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        pieces(text, Part::Literal, parse_hole).map(Self)
    }
}

/// Splits a text with placeholders: `hole` reads the text between braces; the rest is literal.
fn pieces<T>(
    text: &str,
    literal: impl Fn(String) -> T,
    hole: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            plain.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            plain.push('}');
            rest = after;
        } else if let Some((inside, after)) =
            from.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        {
            if !plain.is_empty() {
                pieces.push(literal(std::mem::take(&mut plain)));
            }
            pieces.push(hole(inside)?);
            rest = after;
        } else {
            return Err(format!(
                "`{text}`: an unmatched brace; write a single brace as `{{{{` or `}}}}`"
            ));
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(literal(plain));
    }
    Ok(pieces)
}

fn escaped(literal: &str) -> String {
    literal.replace('{', "{{").replace('}', "}}")
}

fn parse_hole(hole: &str) -> Result<Part, String> {
    Ok(match hole {
        "body" => Part::Body,
        "timestamp" => Part::Timestamp,
        "secret" => Part::Secret,
        "method" => Part::Method,
        "url" => Part::Url(UrlForm::AsGiven),
        "url:any-port" => Part::Url(UrlForm::AnyPort),
        "url:decoded" => Part::Url(UrlForm::Decoded),
        "path" => Part::Path,
        "query" => Part::Query,
        "form" => Part::FormSorted,
        "crc32" => Part::Crc32,
        "sns" => Part::Sns,
        _ => match hole.split_once(':') {
            Some(("header", name)) => Part::Header(header_name(name)?),
            Some(("json", pointer)) => Part::Json(Pointer::parse(pointer)?),
            Some(("json-raw", pointer)) => Part::JsonRaw(Pointer::parse(pointer)?),
            Some(("header-list", name)) => Part::HeaderList(header_name(name)?),
            Some(("listed", prefix)) if !prefix.is_empty() => Part::Listed(prefix.to_owned()),
            Some(("query", name)) if !name.is_empty() => Part::QueryParameter(name.to_owned()),
            Some(("lower", inner)) => match parse_hole(inner)? {
                Part::Body
                | Part::Secret
                | Part::FormSorted
                | Part::Sns
                | Part::Listed(_)
                | Part::HeaderList(_)
                | Part::Lowercase(_) => {
                    return Err(format!("`{{{hole}}}`: this hole cannot be folded to lower case"));
                }
                inner => Part::Lowercase(Box::new(inner)),
            },
            _ => return Err(format!("`{{{hole}}}` is no known hole: allowed are {HOLES}")),
        },
    })
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(&escaped(text)),
            hole => write!(f, "{{{hole}}}"),
        })
    }
}

impl fmt::Display for Part {
    /// The inside of the braces; a literal as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Body => f.write_str("body"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Secret => f.write_str("secret"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::JsonRaw(pointer) => write!(f, "json-raw:{pointer}"),
            Self::Method => f.write_str("method"),
            Self::Url(UrlForm::AsGiven) => f.write_str("url"),
            Self::Url(UrlForm::AnyPort) => f.write_str("url:any-port"),
            Self::Url(UrlForm::Decoded) => f.write_str("url:decoded"),
            Self::Path => f.write_str("path"),
            Self::Query => f.write_str("query"),
            Self::FormSorted => f.write_str("form"),
            Self::Crc32 => f.write_str("crc32"),
            Self::Sns => f.write_str("sns"),
            Self::QueryParameter(name) => write!(f, "query:{name}"),
            Self::Listed(prefix) => write!(f, "listed:{prefix}"),
            Self::HeaderList(name) => write!(f, "header-list:{name}"),
            Self::Lowercase(inner) => write!(f, "lower:{inner}"),
        }
    }
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text).map_err(|_| format!("`{text}` cannot be the name of a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_prints_as_it_was_written() {
        for text in [
            "{body}",
            "{timestamp}.{body}",
            "v0:{timestamp}:{body}",
            "{header:webhook-id}.{timestamp}.{body}",
            "{json:/a/b~1c}{json-raw:/content}",
            "{method}\n{path}\n{query}{url}",
            "{url:any-port}{url:decoded}",
            "{timestamp}.{listed:h=}.{body}",
            "{header-list:x-signed-headers}\n{body}",
            "id:{lower:query:data.id};",
            "{{{secret}}}",
            "",
        ] {
            assert_eq!(Template::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(
            Template::parse("{header:X-Id}.{body}").expect("a template").0,
            [
                Part::Header(HeaderName::from_static("x-id")),
                Part::Literal(".".to_owned()),
                Part::Body
            ]
        );
    }

    #[test]
    fn a_hole_that_is_unknown_or_open_is_refused() {
        for text in ["{bodi}", "{body", "body}", "{header:}", "{json:a}", "{}", "{lower:body}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_print_as_they_were_written() {
        for text in [
            "header:x-id",
            "json:/a/0",
            "json:/{a}",
            "body-sha256",
            "{header:x-topic}:{json:/id}",
            "{{{json:/id}}}",
            "{header:x-topic}{body-sha256}",
        ] {
            assert_eq!(Place::parse(text).expect(text).to_string(), text);
        }
        for text in ["{{}}", "{", "{json:/id", "{id}", "{}", "{{json:/id}}", "header:{json:/id"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
        for text in ["header:x-id", "json:/a/0", "item:t=", "item:#0"] {
            assert_eq!(TimestampPlace::parse(text).expect(text).to_string(), text);
        }
        for text in ["", "id", "header:", "header:a b", "json:id", "body-md5"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
        for text in ["item:", "item:#x", "item:#", "body-sha256"] {
            assert!(TimestampPlace::parse(text).is_err(), "{text}");
        }
    }
}
