//! Judges a captured request offline and explains it step by step.
//!
//! The judgement is the same as live: the same functions in the same order, except for claims,
//! which only a running proxy has. It adds an explanation: the signed text with the bytes around
//! its joints, which secret made the signature, how far the clock is off, and which common mistake
//! fits. It never shows a secret or a computed signature.

mod arrival;
mod captured;
mod hints;
mod mistakes;
mod proving;
mod restyled;
mod rewritten;

#[cfg(test)]
mod tests;

pub use captured::read_head;
pub use mistakes::Mistake;

use crate::delivery::report::readable;
use crate::delivery::route::UpstreamName;
use crate::delivery::source::{Source, Unrouted};
use crate::outcome::{Concern, Reason, Refusal};
use crate::request::RequestHead;
use crate::senders::discover::KeyFile;
use hookward_time::UnixMillis;
use hookward_verify::event::Event;
use hookward_verify::scheme::{Algorithm, Part, Place};
use hookward_verify::verify::{Genuine, Lifetime, Piece, SignedText, timestamp_text};
use http::HeaderName;
use mistakes::{Case, other_time_format};
use serde_json::json;
use std::fmt;

/// The question: would the proxy have forwarded this request?
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The source whose rules apply.
    pub source: &'a Source,
    /// Every source of the configuration, for their paths and for their secrets.
    pub all: &'a [&'a Source],
    /// What the sender publishes, where the key is not the source's own.
    pub key: Option<&'a KeyFile>,
    /// `server.max_body`, in bytes.
    pub max_body_bytes: usize,
    /// The captured head.
    pub head: &'a RequestHead,
    /// The captured body.
    pub body: &'a [u8],
    /// When it arrived.
    pub at: UnixMillis,
}

/// The judgement of a request, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// In the order of a delivery's life; the last one decides.
    pub steps: Vec<ExplainStep>,
    /// The verdict.
    pub verdict: Judgement,
    /// The mistake that explains a refusal, if one of the usual ones does.
    pub mistake: Option<Mistake>,
    /// What is odd about the request, where none of the usual mistakes explains a mismatch.
    pub hints: Vec<String>,
}

/// One judgement on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainStep {
    /// What is judged, in a word.
    pub title: &'static str,
    /// Whether the request passed.
    pub passed: bool,
    /// What was found; the first line says it in short.
    pub lines: Vec<String>,
}

/// The verdict about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It would be forwarded to these, unless it is a duplicate.
    Forwarded(Vec<UpstreamName>),
    /// The proxy would answer it itself, as a handshake.
    Handshake,
    /// It would not be forwarded.
    Refused(Reason),
}

impl Explanation {
    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| json!({ "step": step.title, "passed": step.passed, "lines": step.lines }))
            .collect();
        let mistake = self.mistake.as_ref().map(|m| json!({ "name": m.name, "text": m.text }));
        let (destinations, reason) = match &self.verdict {
            Judgement::Forwarded(to) => (to.iter().map(UpstreamName::as_str).collect(), None),
            Judgement::Handshake => (Vec::new(), Some("handshake")),
            Judgement::Refused(reason) => (Vec::new(), Some(reason.label())),
        };
        json!({
            "forwarded": self.is_forwarded(),
            "destinations": destinations,
            "reason": reason,
            "mistake": mistake,
            "hints": self.hints,
            "steps": steps,
        })
    }

    /// Whether an upstream would see the request.
    #[must_use]
    pub const fn is_forwarded(&self) -> bool {
        matches!(self.verdict, Judgement::Forwarded(_))
    }
}

impl Question<'_> {
    /// Judges the request as the proxy would have.
    #[must_use]
    pub fn explain(self) -> Explanation {
        let Self { source, all, head, body, .. } = self;
        let mut story = Story { question: self, steps: Vec::new(), mistake: None };
        let verdict = match story.tell() {
            Ok(verdict) => verdict,
            Err(refusal) => {
                if story.mistake.is_none()
                    && is_about_the_signature(refusal.reason)
                    && self.verified().is_err()
                {
                    story.mistake = Case { source, all, head, body }.find();
                }
                Judgement::Refused(refusal.reason)
            }
        };
        let is_unexplained =
            story.mistake.is_none() && verdict == Judgement::Refused(Reason::SignatureMismatch);
        let hints = if is_unexplained { hints::of(head, body) } else { Vec::new() };
        Explanation { steps: story.steps, verdict, mistake: story.mistake, hints }
    }
}

/// Whether a signature that does not hold can be the cause.
const fn is_about_the_signature(reason: Reason) -> bool {
    match reason.facets().concern {
        Concern::Signature | Concern::Timestamp | Concern::Event => true,
        Concern::Request
        | Concern::Capacity
        | Concern::Secret
        | Concern::Age
        | Concern::Route
        | Concern::Claim
        | Concern::Destination => false,
    }
}

struct Story<'a> {
    question: Question<'a>,
    steps: Vec<ExplainStep>,
    mistake: Option<Mistake>,
}

impl Story<'_> {
    /// The life of a delivery, as far as it can be told without claims.
    fn tell(&mut self) -> Result<Judgement, Refusal> {
        if self.request()? {
            return Ok(Judgement::Handshake);
        }
        let genuine = self.signature()?;
        let event = self.event(&genuine)?;
        let destinations = self.route(&event)?;
        self.clock(&event, &genuine)?;
        Ok(Judgement::Forwarded(destinations))
    }

    /// Whether the request is a handshake that is answered before its signature matters.
    fn request(&mut self) -> Result<bool, Refusal> {
        let mut lines = self.question.says();
        let judged = self.question.is_handshake();
        if matches!(judged, Ok(true)) {
            lines.push("a handshake of the sender's protocol".to_owned());
        }
        self.note("request", judged, lines)
    }

    fn signature(&mut self) -> Result<Genuine, Refusal> {
        let Question { source, head, .. } = self.question;
        let rule = &source.sender.scheme.signature;
        let mut lines = Vec::new();
        for place in &rule.places {
            if let Place::Header(name) = place {
                for value in head.headers.get_all(name) {
                    let shown = match rule.algorithm {
                        // A token may be the secret itself, or good again until it expires.
                        Algorithm::Token | Algorithm::Jwt => format!("({} bytes)", value.len()),
                        _ => cut(&escape(value), 200),
                    };
                    lines.push(format!("{name}: {shown}"));
                }
            }
        }
        let judged = self.question.verified().map_err(Refusal::from);
        let reason = judged.as_ref().err().map(|refusal| refusal.reason);
        if reason != Some(Reason::SignatureMissing) {
            lines.extend(self.joints());
        }
        if let Ok(genuine) = &judged {
            let (index, label) = (genuine.secret(), genuine.label());
            let age = if index == 0 { "the newest" } else { "an older one" };
            lines.insert(0, format!("made with the secret `{label}`, {age}"));
        }
        if reason == Some(Reason::TimestampMalformed) {
            self.mistake = self.time_mistake();
        }
        if reason == Some(Reason::SignatureMissing) {
            lines.push(self.header_names());
        }
        self.note("signature", judged, lines)
    }

    /// Explains a missing header: it was renamed, or dropped on the way.
    fn header_names(&self) -> String {
        let names = self.question.head.headers.names();
        let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
        match names.as_slice() {
            [] => "the request has no headers at all".to_owned(),
            names => format!("its headers are: {}", cut(&names.join(", "), 500)),
        }
    }

    /// The signed text, with the bytes around its joints.
    fn joints(&self) -> Vec<String> {
        let Question { source, head, body, .. } = self.question;
        let rule = &source.sender.scheme.signature;
        let Ok(text) = SignedText::of(&source.sender, head.view(), body) else {
            return Vec::new();
        };
        if text.pieces().is_empty() {
            return Vec::new();
        }
        let mut lines = vec![format!("the signed text, `{}`:", rule.signed)];
        for (part, piece) in rule.signed.0.iter().zip(text.pieces()) {
            let content = match piece {
                Piece::Bytes(bytes) => quote(bytes),
                Piece::Body => quote(body),
                Piece::Secret => "(the secret)".to_owned(),
            };
            let name = match part {
                Part::Literal(_) => "text".to_owned(),
                hole => format!("{{{hole}}}"),
            };
            lines.push(format!("  {name:<12} {content}"));
        }
        lines
    }

    fn event(&mut self, genuine: &Genuine) -> Result<Event, Refusal> {
        let Question { source, head, body, .. } = self.question;
        let judged = Event::read(&source.sender, head.view(), body, genuine).map_err(Refusal::from);
        let lines = judged.as_ref().map_or_else(
            |_| Vec::new(),
            |event| {
                let (id, kind) =
                    (escape(event.id.as_str().as_bytes()), escape(event.kind.as_bytes()));
                vec![format!("id `{id}`, type `{kind}`")]
            },
        );
        if judged.as_ref().is_err_and(|refusal| refusal.reason == Reason::TimestampMalformed) {
            self.mistake = self.time_mistake();
        }
        self.note("event", judged, lines)
    }

    fn route(&mut self, event: &Event) -> Result<Vec<UpstreamName>, Refusal> {
        let source = self.question.source;
        let judged =
            source.route(&event.kind).map(|(_, route)| route.to.clone()).ok_or_else(|| {
                let answer = match source.unrouted {
                    Unrouted::Accept => {
                        "no route takes this type: the answer is 200, and it is ignored"
                    }
                    Unrouted::Reject => "no route takes this type",
                };
                Refusal::because(Reason::Unrouted, answer)
            });
        let lines = judged.as_ref().map_or_else(|_| Vec::new(), |to| vec![listed(to)]);
        self.note("route", judged, lines)
    }

    fn clock(&mut self, event: &Event, genuine: &Genuine) -> Result<(), Refusal> {
        let Question { source, at, .. } = self.question;
        let sent = event.sent.filter(|_| source.sender.scheme.timestamp.is_some());
        let lifetime = genuine.lifetime();
        if sent.is_none() && lifetime == Lifetime::default() {
            return Ok(());
        }
        let judged = source.sender.check_token_freshness(event.sent, lifetime, at);
        let judged = judged.map_err(Refusal::from);
        let sent = sent.map(|sent| format!("sent {}, ", sent.to_rfc3339())).unwrap_or_default();
        let mut lines = vec![format!("{sent}judged at {}", at.to_rfc3339())];
        if judged.is_err() {
            lines.push("use `--at` to judge it as of its arrival".to_owned());
            self.mistake = self.time_mistake();
        }
        self.note("clock", judged, lines)
    }

    fn time_mistake(&self) -> Option<Mistake> {
        let Question { source, head, body, at, .. } = self.question;
        let rule = source.sender.scheme.timestamp.as_ref()?;
        let text = timestamp_text(&source.sender, head.view(), body)?;
        other_time_format(rule, &text, at)
    }

    fn note<T>(
        &mut self,
        title: &'static str,
        judged: Result<T, Refusal>,
        mut lines: Vec<String>,
    ) -> Result<T, Refusal> {
        if let Err(refusal) = &judged {
            let detail = match &*refusal.detail {
                "" => refusal.reason.facets().title,
                detail => detail,
            };
            lines.insert(0, escape(detail.as_bytes()));
        }
        self.steps.push(ExplainStep { title, passed: judged.is_ok(), lines });
        judged
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mark = if step.passed { "ok" } else { "NO" };
            let mut lines = step.lines.iter();
            writeln!(f, "{mark}  {:<10} {}", step.title, lines.next().map_or("", |line| line))?;
            lines.try_for_each(|line| writeln!(f, "               {line}"))?;
        }
        if let Some(mistake) = &self.mistake {
            writeln!(f, "\nthe mistake: {}\n{}\n", mistake.name, mistake.text)?;
        }
        match &self.verdict {
            Judgement::Forwarded(to) => {
                write!(f, "would be forwarded to {}, unless it is a duplicate", listed(to))
            }
            Judgement::Handshake => f.write_str("reason: handshake"),
            Judgement::Refused(reason) => {
                if self.mistake.is_none() && *reason == Reason::SignatureMismatch {
                    writeln!(
                        f,
                        "\nNone of the common mistakes explains it: the secret is different, or \
                         the signed parts were changed in transit."
                    )?;
                    self.hints.iter().try_for_each(|hint| writeln!(f, "- {hint}"))?;
                    writeln!(f)?;
                }
                write!(f, "reason: {}", reason.label())
            }
        }
    }
}

fn listed(names: &[UpstreamName]) -> String {
    names.iter().map(UpstreamName::as_str).collect::<Vec<_>>().join(", ")
}

/// Both ends of a text, escaped, with its length; enough to see how it joins its neighbours.
fn quote(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let len = bytes.len();
    if len <= 2 * SHOWN {
        return format!("\"{}\"  ({len} bytes)", escape(bytes));
    }
    let (first, _) = bytes.split_at(SHOWN);
    let (_, last) = bytes.split_at(len - SHOWN);
    format!("\"{}\" … \"{}\"  ({len} bytes)", escape(first), escape(last))
}

fn escape(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => readable(text),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
