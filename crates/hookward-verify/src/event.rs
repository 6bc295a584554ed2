//! What a genuine request reports: the event's id, its type and its times.
//!
//! The body is parsed at most once, for all members together, and only if the scheme reads a member
//! of it.

use crate::fault::Fault;
use crate::json::{Member, PayloadFault, read_raw};
use crate::request::Request;
use crate::scheme::{Place, Pointer, Segment, TimeFormat, TimestampPlace};
use crate::sender::Sender;
use crate::verify::freshness::parse_time;
use crate::verify::{Genuine, OneHeader, body_sha256, one_header, read_unsigned_timestamp};
use hookward_names::EventId;
use hookward_time::UnixMillis;
use std::borrow::Cow;

/// The longest id or type, in bytes: they become claim keys, headers and log fields.
const MAX_NAME_BYTES: usize = 512;

/// A genuine event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id; the same on every retry.
    pub id: EventId,
    /// Its type; empty for a source whose scheme has none.
    pub kind: String,
    /// When the sender says this delivery was sent, if the scheme has a timestamp.
    pub sent: Option<UnixMillis>,
    /// When the sender says the event happened; for the delivery lag only.
    pub time: Option<UnixMillis>,
}

impl Event {
    /// Reads the event of a genuine request. The front page of the crate has an example.
    ///
    /// # Errors
    /// In this order: [`Fault::PayloadMalformed`], [`Fault::EventIdMissing`],
    /// [`Fault::EventTypeMissing`], [`Fault::TimestampMissing`], [`Fault::TimestampMalformed`].
    pub fn read(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        genuine: &Genuine,
    ) -> Result<Self, Fault> {
        let known = (genuine.sent(), genuine.token());
        Self::read_from(source, head, body, known, &[]).map(|(event, _)| event)
    }

    /// The same, and what [`read_place`] finds at each of these places, with one pass over the body.
    ///
    /// # Errors
    /// As [`Event::read`]; none because of these places.
    pub fn read_with(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        genuine: &Genuine,
        places: &[Place],
    ) -> Result<(Self, Vec<Option<String>>), Fault> {
        Self::read_from(source, head, body, (genuine.sent(), genuine.token()), places)
    }

    /// Reads the event of a request that is not proven genuine: to explain it, or to count it. Never
    /// act on such an event. `signed_timestamp` is the time of sending, if it was read together with
    /// the signature.
    ///
    /// # Errors
    /// As [`Event::read`].
    pub fn read_unproven(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        signed_timestamp: Option<UnixMillis>,
    ) -> Result<Self, Fault> {
        Self::read_from(source, head, body, (signed_timestamp, None), &[]).map(|(event, _)| event)
    }

    fn read_from(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        (signed_timestamp, token): (Option<UnixMillis>, Option<&[u8]>),
        places: &[Place],
    ) -> Result<(Self, Vec<Option<String>>), Fault> {
        let open =
            |also| Envelope::open(source, head, (body, token), signed_timestamp.is_none(), also);
        let (envelope, texts) = match open(places) {
            Ok(envelope) => {
                let text = |place| text_of(head, body, &envelope.members, place);
                let texts = places.iter().map(text).collect();
                (envelope, texts)
            }
            Err(fault) if places.is_empty() => return Err(fault),
            // It may be because of these places, which the event does not need.
            Err(_) => {
                let texts = places.iter().map(|place| read_place(head, body, place)).collect();
                (open(&[])?, texts)
            }
        };
        let rule = &source.scheme.event;
        let Some(id) = envelope.first(&rule.id)? else {
            let detail = format!("there is none at {}", list(&rule.id));
            return Err(Fault::EventIdMissing(detail.into()));
        };
        let kind = match envelope.first(&rule.kind)? {
            Some(kind) => kind.into_owned(),
            None if rule.kind.is_empty() => String::new(),
            None => {
                let detail = format!("there is none at {}", list(&rule.kind));
                return Err(Fault::EventTypeMissing(detail.into()));
            }
        };
        let sent = match signed_timestamp {
            None => envelope.timestamp()?,
            known => known,
        };
        Ok((Self { id: EventId::from(&*id), kind, sent, time: envelope.time() }, texts))
    }
}

/// The text at one place of a genuine request. `None` if there is nothing, or it is neither a
/// string nor an integer. Claims of a token are not read.
#[must_use]
pub fn read_place(head: Request<'_>, body: &[u8], place: &Place) -> Option<String> {
    let pointers = pointers_of(std::slice::from_ref(place)).collect();
    let members = EventMembers::read(body, pointers).unwrap_or_default();
    text_of(head, body, &members, place)
}

/// As [`read_place`], where these members of the body have been read.
fn text_of(
    head: Request<'_>,
    body: &[u8],
    members: &EventMembers<'_>,
    place: &Place,
) -> Option<String> {
    match place {
        Place::Json(pointer) => {
            members.get(pointer).text().filter(|text| !text.is_empty()).map(str::to_owned)
        }
        Place::Header(name) => match one_header(head, name) {
            OneHeader::Value(value) => std::str::from_utf8(value).ok().map(str::to_owned),
            OneHeader::Absent | OneHeader::Ambiguous => None,
        },
        Place::BodySha256 => Some(body_sha256(body)),
        Place::Claim(_) => None,
        Place::Joined(segments) => {
            let parts = segments.iter().map(|segment| match segment {
                Segment::Literal(text) => Some(text.clone()),
                Segment::Place(place) => text_of(head, body, members, place),
            });
            parts.collect()
        }
    }
}

/// The JSON members that these places are read from.
fn pointers_of(places: &[Place]) -> impl Iterator<Item = &Pointer> {
    places.iter().flat_map(Place::singles).filter_map(|place| match place {
        Place::Json(pointer) => Some(pointer),
        _ => None,
    })
}

/// A request with the JSON members that its event needs.
struct Envelope<'a> {
    source: &'a Sender,
    head: Request<'a>,
    body: &'a [u8],
    /// Of the body.
    members: EventMembers<'a>,
    /// Of the claims of its token.
    claims: EventMembers<'a>,
}

/// The members of a JSON text that an event needs.
#[derive(Default)]
struct EventMembers<'a> {
    pointers: Vec<&'a Pointer>,
    /// The text of each as it is written.
    raw: Vec<Option<&'a str>>,
}

impl<'a> EventMembers<'a> {
    fn read(text: &'a [u8], pointers: Vec<&'a Pointer>) -> Result<Self, PayloadFault> {
        let raw = if pointers.is_empty() { Vec::new() } else { read_raw(text, &pointers)? };
        Ok(Self { pointers, raw })
    }

    fn get(&self, pointer: &Pointer) -> Member<'a> {
        let found = self.pointers.iter().zip(&self.raw).find(|(named, _)| **named == pointer);
        found.and_then(|(_, raw)| *raw).map_or(Member::Absent, Member::of)
    }
}

impl<'a> Envelope<'a> {
    fn open(
        source: &'a Sender,
        head: Request<'a>,
        (body, token): (&'a [u8], Option<&'a [u8]>),
        reads_timestamp: bool,
        also: &'a [Place],
    ) -> Result<Self, Fault> {
        let rule = &source.scheme.event;
        let timestamp = source.scheme.timestamp.as_ref().and_then(|rule| match &rule.from {
            TimestampPlace::Json(pointer) if reads_timestamp => Some(pointer),
            _ => None,
        });
        let most = 1 + rule.id.len() + rule.kind.len() + rule.time.len();
        let mut needed = Vec::with_capacity(most);
        needed.extend(timestamp);
        needed.extend(needed_pointers(head, &rule.id));
        needed.extend(needed_pointers(head, &rule.kind));
        let needed_count = needed.len();
        needed.extend(needed_pointers(head, &rule.time));
        needed.extend(pointers_of(also));
        let members = match EventMembers::read(body, needed) {
            // The time is used only for measuring, so an event is never refused because of it.
            Err(_) if needed_count == 0 && also.is_empty() => EventMembers::default(),
            read => read?,
        };
        let event = [&rule.id, &rule.kind, &rule.time].into_iter().flatten();
        let named = event.flat_map(Place::singles).filter_map(|place| match place {
            Place::Claim(pointer) => Some(pointer),
            _ => None,
        });
        let claims = match token {
            Some(token) => EventMembers::read(token, named.collect())?,
            None => EventMembers::default(),
        };
        Ok(Self { source, head, body, members, claims })
    }

    /// The text at the first of these places that exists and is not empty.
    fn first(&self, places: &'a [Place]) -> Result<Option<Cow<'_, str>>, Fault> {
        for place in places {
            let Some(text) = self.text_at(place)? else { continue };
            if text.len() > MAX_NAME_BYTES {
                return Err(malformed(place, "is longer than 512 bytes"));
            }
            return Ok(Some(text));
        }
        Ok(None)
    }

    /// The text at a place; `None` if it, or one of the places that it joins, is absent or empty.
    fn text_at(&self, place: &'a Place) -> Result<Option<Cow<'_, str>>, Fault> {
        let text: Cow<'_, str> = match place {
            Place::BodySha256 => body_sha256(self.body).into(),
            Place::Header(name) => match one_header(self.head, name) {
                OneHeader::Absent => return Ok(None),
                OneHeader::Ambiguous => return Err(malformed(place, "has several values")),
                OneHeader::Value(value) => {
                    std::str::from_utf8(value).map_err(|_| malformed(place, "is not UTF-8"))?.into()
                }
            },
            Place::Json(pointer) => return readable(place, self.members.get(pointer)),
            Place::Claim(pointer) => return readable(place, self.claims.get(pointer)),
            Place::Joined(segments) => {
                let mut joined = String::new();
                for segment in segments {
                    match segment {
                        Segment::Literal(text) => joined.push_str(text),
                        Segment::Place(place) => match self.text_at(place)? {
                            Some(text) => joined.push_str(&text),
                            None => return Ok(None),
                        },
                    }
                }
                joined.into()
            }
        };
        Ok((!text.is_empty()).then_some(text))
    }

    /// The time of sending that is not part of the signed text.
    fn timestamp(&self) -> Result<Option<UnixMillis>, Fault> {
        let Some(rule) = &self.source.scheme.timestamp else { return Ok(None) };
        // The check of the token has read it, if the source needs it.
        if matches!(rule.from, TimestampPlace::Claim(_)) {
            return Ok(None);
        }
        let TimestampPlace::Json(pointer) = &rule.from else {
            return read_unsigned_timestamp(self.source, self.head, self.body).map(Some);
        };
        let detail = |what: &str| format!("what stands at `{pointer}` is {what}").into();
        match self.members.get(pointer) {
            Member::Unusable(what) => Err(Fault::TimestampMalformed(detail(what))),
            member => match member.text().filter(|text| !text.is_empty()) {
                None => Err(Fault::TimestampMissing(detail("nothing"))),
                Some(text) => parse_time(rule.format, text).map(Some).ok_or_else(|| {
                    Fault::TimestampMalformed(detail(&format!("not {}", rule.format)))
                }),
            },
        }
    }

    /// The event's own time, as far as it can be read.
    fn time(&self) -> Option<UnixMillis> {
        let places = &self.source.scheme.event.time;
        let text =
            places.iter().find_map(|place| self.first(std::slice::from_ref(place)).ok()?)?;
        read_any_time(&text)
    }
}

/// The text of a member; `None` if it is absent or empty.
fn readable<'a>(place: &Place, member: Member<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let text: Cow<'_, str> = match member {
        Member::Text(text) => text,
        Member::Integer(digits) => digits.into(),
        Member::Unusable(what) => return Err(malformed(place, &format!("is {what}"))),
        Member::Absent => return Ok(None),
    };
    Ok((!text.is_empty()).then_some(text))
}

fn malformed(place: &Place, what: &str) -> Fault {
    Fault::PayloadMalformed(format!("what stands at `{place}` {what}").into())
}

/// The JSON members that are needed to determine the first of `places` with a text: none after a
/// place that certainly has one, and none of a place that certainly has none.
fn needed_pointers<'a>(
    head: Request<'a>,
    places: &'a [Place],
) -> impl Iterator<Item = &'a Pointer> {
    places
        .iter()
        .map(move |place| (place, holds_text(head, place)))
        .take_while(|(_, holds)| *holds != Some(true))
        .filter(|(_, holds)| holds.is_none())
        .flat_map(|(place, _)| pointers_of(std::slice::from_ref(place)))
}

/// Whether a place has a text, as far as that is known without reading the body.
fn holds_text(head: Request<'_>, place: &Place) -> Option<bool> {
    match place {
        Place::Json(_) | Place::Claim(_) => None,
        Place::BodySha256 => Some(true),
        Place::Header(name) => Some(head.first(name).is_some_and(|value| !value.is_empty())),
        Place::Joined(_) => {
            let mut all = Some(true);
            for single in place.singles() {
                match holds_text(head, single) {
                    Some(true) => {}
                    Some(false) => return Some(false),
                    None => all = None,
                }
            }
            all
        }
    }
}

/// RFC 3339, or seconds since 1970; milliseconds if seconds would be beyond the year 5000.
fn read_any_time(text: &str) -> Option<UnixMillis> {
    const YEAR_5000: i64 = 95_617_584_000_000;
    let seconds = parse_time(TimeFormat::Unix, text);
    seconds
        .filter(|time| time.0 < YEAR_5000)
        .or_else(|| parse_time(TimeFormat::UnixMs, text))
        .or_else(|| parse_time(TimeFormat::Rfc3339, text))
}

fn list(places: &[Place]) -> String {
    let places: Vec<_> = places.iter().map(|place| format!("`{place}`")).collect();
    places.join(", ")
}

#[cfg(test)]
mod tests;
