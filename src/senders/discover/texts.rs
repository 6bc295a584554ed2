//! Texts that a sender could sign, the most common first.

use super::candidates::{Time, telling_headers};
use crate::request::RequestHead;
use hookward_verify::scheme::{Part, Template, UrlForm};

/// A text to try; `time` stands for its `{timestamp}`.
pub(super) struct Text<'a> {
    pub(super) template: Template,
    pub(super) time: Option<&'a Time>,
}

/// The URL that the sender was given.
const URL: Part = Part::Url(UrlForm::AsGiven);

/// What joins the parts of a text.
const JOINTS: [&str; 10] = [".", ":", "", ",", "|", "\n", "-", "_", ";", " "];

/// Every text over this request; those with the URL alone, where `with_url`.
pub(super) fn all<'a>(
    head: &RequestHead,
    body: &[u8],
    times: &'a [Time],
    with_url: bool,
) -> impl Iterator<Item = Text<'a>> {
    let with_time = |time: &'a Time| move |template| Text { template, time: Some(time) };
    let plain = |template| Text { template, time: None };
    let ids: Vec<Part> = signed_ids(head, body).collect();
    let mut texts: Vec<Text<'a>> = Vec::new();
    if with_url {
        texts.extend(url_texts(&[]).map(plain));
        for time in times {
            texts.extend(url_texts(&[Part::Timestamp]).map(with_time(time)));
        }
        return texts.into_iter();
    }
    texts.push(plain(Template(vec![Part::Body])));
    texts.extend(secret_texts().map(plain));
    for time in times {
        texts.extend(timed_texts().map(with_time(time)));
    }
    for id in &ids {
        for time in times {
            texts.extend(orders(&[id.clone(), Part::Timestamp, Part::Body]).map(with_time(time)));
        }
        texts.extend(orders(&[id.clone(), Part::Body]).map(plain));
    }
    texts.extend(request_texts(&[]).map(plain));
    for time in times {
        texts.extend(request_texts(&[Part::Timestamp]).map(with_time(time)));
    }
    texts.into_iter()
}

/// Headers that could be part of the text: few, short, and not the time itself.
fn signed_ids(head: &RequestHead, body: &[u8]) -> impl Iterator<Item = Part> {
    // Each of them means hashing the body some hundred times more.
    const LARGE_BYTES: usize = 64 << 10;
    let most = if body.len() > LARGE_BYTES { 2 } else { 8 };
    let telling = |name: &str| {
        ["id", "nonce", "key", "topic", "event", "token"].iter().any(|word| name.contains(word))
    };
    let mut names: Vec<_> = telling_headers(head)
        .filter(|(_, value)| (1..=200).contains(&value.len()))
        .map(|(name, _)| name.clone())
        .collect();
    names.dedup();
    names.sort_by_key(|name| !telling(name.as_str()));
    names.into_iter().take(most).map(Part::Header)
}

fn literal(text: &str) -> Part {
    Part::Literal(text.to_owned())
}

/// The parts with each joint between them.
fn joined(parts: Vec<Part>) -> impl Iterator<Item = Template> {
    JOINTS.into_iter().map(move |joint| {
        let mut all = Vec::with_capacity(parts.len() * 2);
        for (index, part) in parts.iter().enumerate() {
            if index > 0 && !joint.is_empty() {
                all.push(literal(joint));
            }
            all.push(part.clone());
        }
        Template(all)
    })
}

/// The parts in every order, with each joint.
fn orders(parts: &[Part]) -> impl Iterator<Item = Template> + use<> {
    let orders: Vec<Vec<Part>> = match parts {
        [a, b] => vec![vec![a.clone(), b.clone()], vec![b.clone(), a.clone()]],
        [a, b, c] => [[a, b, c], [b, a, c], [a, c, b], [b, c, a], [c, a, b], [c, b, a]]
            .map(|order| order.map(Part::clone).to_vec())
            .to_vec(),
        other => vec![other.to_vec()],
    };
    orders.into_iter().flat_map(joined)
}

fn timed_texts() -> impl Iterator<Item = Template> {
    let versions = ["v0", "v1", "v2", "1"]
        .into_iter()
        .flat_map(|version| joined(vec![literal(version), Part::Timestamp, Part::Body]));
    orders(&[Part::Timestamp, Part::Body]).chain(versions)
}

fn secret_texts() -> impl Iterator<Item = Template> {
    orders(&[Part::Secret, Part::Body])
}

/// Texts of method and path; `time` is a part, or nothing.
fn request_texts(time: &[Part]) -> impl Iterator<Item = Template> + use<> {
    let parts = |parts: &[Part]| [parts, time].concat();
    let lists = [
        parts(&[Part::Path, Part::Body]),
        parts(&[Part::Method, Part::Path, Part::Body]),
        parts(&[Part::Method, Part::Path, Part::Query, Part::Body]),
        [time, &[Part::Path, Part::Body]].concat(),
        [time, &[Part::Method, Part::Path, Part::Body]].concat(),
    ];
    lists.into_iter().flat_map(joined)
}

/// Texts of the URL; `time` is a part, or nothing.
fn url_texts(time: &[Part]) -> impl Iterator<Item = Template> + use<> {
    let parts = |parts: &[Part]| [parts, time].concat();
    let lists = [
        parts(&[URL, Part::Body]),
        parts(&[Part::Body, URL]),
        parts(&[Part::Method, URL, Part::Body]),
        parts(&[URL]),
        parts(&[URL, Part::FormSorted]),
        parts(&[Part::Secret, Part::Method, URL, Part::Body]),
        [time, &[URL, Part::Body]].concat(),
    ];
    lists.into_iter().flat_map(joined)
}
