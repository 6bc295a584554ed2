//! What a genuine request reports: the event's id, its type and its times.
//!
//! Owns contract section 3, step 4. The body is parsed at most once, for all members together, and
//! only if something that is read stands in it. Knows neither secrets nor routes.

use crate::fault::Fault;
use crate::json::{Member, read_members};
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
    /// Reads the event of a request whose signature holds.
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
        Self::read_from(source, head, body, (genuine.sent(), genuine.token()))
    }

    /// As [`Event::read`] for a request that nothing proves genuine, where a source only counts
    /// what it would refuse, or where a request is explained. `signed_timestamp` is the time of
    /// sending where the signature's own reading has found one.
    ///
    /// # Errors
    /// As [`Event::read`].
    pub fn read_unproven(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        signed_timestamp: Option<UnixMillis>,
    ) -> Result<Self, Fault> {
        Self::read_from(source, head, body, (signed_timestamp, None))
    }

    fn read_from(
        source: &Sender,
        head: Request<'_>,
        body: &[u8],
        (signed_timestamp, token): (Option<UnixMillis>, Option<&[u8]>),
    ) -> Result<Self, Fault> {
        let envelope = Envelope::open(source, head, (body, token), signed_timestamp.is_none())?;
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
        Ok(Self { id: EventId::from(&*id), kind, sent, time: envelope.time() })
    }
}

/// A request with the JSON members that its event needs.
struct Envelope<'a> {
    source: &'a Sender,
    head: Request<'a>,
    body: &'a [u8],
    /// The claims of its token that are read.
    claims: Vec<(&'a Pointer, Member<'a>)>,
    members: Vec<(&'a Pointer, Member<'a>)>,
}

impl<'a> Envelope<'a> {
    fn open(
        source: &'a Sender,
        head: Request<'a>,
        (body, token): (&'a [u8], Option<&'a [u8]>),
        reads_timestamp: bool,
    ) -> Result<Self, Fault> {
        let rule = &source.scheme.event;
        let timestamp = source.scheme.timestamp.as_ref().and_then(|rule| match &rule.from {
            TimestampPlace::Json(pointer) if reads_timestamp => Some(pointer),
            _ => None,
        });
        let mut needed: Vec<&Pointer> = timestamp.into_iter().collect();
        needed.extend(needed_pointers(head, &rule.id));
        needed.extend(needed_pointers(head, &rule.kind));
        let needed_count = needed.len();
        needed.extend(needed_pointers(head, &rule.time));
        let members = if needed.is_empty() {
            Vec::new()
        } else {
            match read_members(body, &needed) {
                Ok(members) => needed.into_iter().zip(members).collect(),
                // A time for a histogram is no reason to turn an event away.
                Err(_) if needed_count == 0 => Vec::new(),
                Err(fault) => return Err(fault.into()),
            }
        };
        let event = [&rule.id, &rule.kind, &rule.time].into_iter().flatten();
        let named: Vec<&Pointer> = event
            .flat_map(Place::singles)
            .filter_map(|place| match place {
                Place::Claim(pointer) => Some(pointer),
                _ => None,
            })
            .collect();
        let claims = match token {
            Some(token) if !named.is_empty() => {
                let members = read_members(token, &named)?;
                named.into_iter().zip(members).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { source, head, body, claims, members })
    }

    /// The text at the first of these places that is there and not empty.
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

    /// The text at a place; `None` where it, or one of the places it joins, is absent or empty.
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
            Place::Json(pointer) | Place::Claim(pointer) => match self.found(place, pointer) {
                Some(Member::Text(text)) => text.as_ref().into(),
                Some(Member::Integer(digits)) => (*digits).into(),
                Some(Member::Unusable(what)) => {
                    return Err(malformed(place, &format!("is {what}")));
                }
                Some(Member::Absent) | None => return Ok(None),
            },
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
        // The check of the token has read it, where the source asks for it.
        if matches!(rule.from, TimestampPlace::Claim(_)) {
            return Ok(None);
        }
        let TimestampPlace::Json(pointer) = &rule.from else {
            return read_unsigned_timestamp(self.source, self.head, self.body).map(Some);
        };
        let detail = |what: &str| format!("what stands at `{pointer}` is {what}").into();
        match self.member(pointer) {
            Some(Member::Unusable(what)) => Err(Fault::TimestampMalformed(detail(what))),
            member => match member.and_then(Member::text).filter(|text| !text.is_empty()) {
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

    fn found(&self, place: &Place, pointer: &Pointer) -> Option<&Member<'a>> {
        match place {
            Place::Claim(_) => {
                self.claims.iter().find(|(named, _)| *named == pointer).map(|(_, claim)| claim)
            }
            _ => self.member(pointer),
        }
    }

    fn member(&self, pointer: &Pointer) -> Option<&Member<'a>> {
        self.members.iter().find(|(named, _)| *named == pointer).map(|(_, member)| member)
    }
}

fn malformed(place: &Place, what: &str) -> Fault {
    Fault::PayloadMalformed(format!("what stands at `{place}` {what}").into())
}

/// The JSON members that must be known to tell which of `places` is the first that holds a text:
/// none behind a place that surely does, and none of one that surely does not.
fn needed_pointers<'a>(
    head: Request<'a>,
    places: &'a [Place],
) -> impl Iterator<Item = &'a Pointer> {
    places
        .iter()
        .map(move |place| (place, holds_text(head, place)))
        .take_while(|(_, holds)| *holds != Some(true))
        .filter(|(_, holds)| holds.is_none())
        .flat_map(|(place, _)| place.singles())
        .filter_map(|place| match place {
            Place::Json(pointer) => Some(pointer),
            _ => None,
        })
}

/// Whether a place holds a text, as far as that can be told without reading the body.
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

/// RFC 3339, or seconds since 1970; milliseconds where seconds would lie beyond the year 5000.
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
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use crate::scheme::TimestampPlace;
    use crate::verify::check;
    use crate::verify::fixture::{NOW, head, places, signed_by, source};

    fn read(source: &Sender, lines: &[(&str, &str)], body: &str) -> Result<Event, Fault> {
        Event::read_unproven(source, head(lines).view(), body.as_bytes(), None)
    }

    fn reason(source: &Sender, lines: &[(&str, &str)], body: &str) -> Option<FaultKind> {
        read(source, lines, body).err().map(|fault| fault.kind())
    }

    #[test]
    fn the_first_place_that_holds_a_text_wins() {
        let source = source("X-Sig")
            .with_id(&["header:X-Id", "json:/event_id", "json:/id", "body-sha256"])
            .with_type(&["json:/type"]);
        for (lines, body, id) in [
            (&[("X-Id", "h")][..], r#"{"type":"t","event_id":"e"}"#, "h"),
            (&[("X-Id", "")], r#"{"type":"t","event_id":"e","id":"i"}"#, "e"),
            (&[], r#"{"type":"t","event_id":"","id":7}"#, "7"),
            (&[], r#"{"type":"t","event_id":null,"id":"i"}"#, "i"),
            (&[], "{\"type\":\"t\"}", &body_sha256(b"{\"type\":\"t\"}")),
        ] {
            let event = read(&source, lines, body).expect(body);
            assert_eq!((event.id.as_str(), event.kind.as_str()), (id, "t"), "{body}");
        }
    }

    #[test]
    fn a_joined_place_is_there_if_all_of_its_places_are() {
        let source = source("X-Sig")
            .with_id(&["{header:X-Topic}:{json:/id}", "{json:/kind}-{json:/id}", "body-sha256"])
            .with_type(&[]);
        let topic = &[("X-Topic", "orders/paid")][..];
        let hash = |body: &str| body_sha256(body.as_bytes());
        for (lines, body, id) in [
            (topic, r#"{"id":7,"kind":"order"}"#, "orders/paid:7".to_owned()),
            (&[], r#"{"id":7,"kind":"order"}"#, "order-7".to_owned()),
            (&[("X-Topic", "")], r#"{"id":7,"kind":"order"}"#, "order-7".to_owned()),
            (topic, r#"{"id":null,"kind":"order"}"#, hash(r#"{"id":null,"kind":"order"}"#)),
            (&[], r#"{"id":7,"kind":""}"#, hash(r#"{"id":7,"kind":""}"#)),
        ] {
            assert_eq!(read(&source, lines, body).expect(body).id.as_str(), id, "{body}");
        }
        let by_topic = source.with_id(&["{header:X-Topic}:{body-sha256}", "header:X-Id"]);
        let event = read(&by_topic, topic, "<xml/>").expect("no JSON is read");
        assert_eq!(event.id.as_str(), format!("orders/paid:{}", hash("<xml/>")));
        let event = read(&by_topic, &[("X-Id", "1")], "<xml/>").expect("an event");
        assert_eq!(event.id.as_str(), "1");
    }

    #[test]
    fn a_joined_place_is_no_longer_than_another_and_as_well_formed() {
        let source = source("X-Sig").with_id(&["{json:/a}:{json:/b}", "json:/b"]).with_type(&[]);
        let half = "x".repeat(256);
        for (body, expected) in [
            (format!(r#"{{"a":"{half}","b":"{}"}}"#, &half[1..]), None),
            (format!(r#"{{"a":"{half}","b":"{half}"}}"#), Some(FaultKind::PayloadMalformed)),
            (r#"{"a":{},"b":"1"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"a":"1","b":1.5}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"a":"1"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
        ] {
            assert_eq!(reason(&source, &[], &body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let source = source("X-Sig");
        let long = "x".repeat(513);
        for (body, expected) in [
            (r#"{"id":"1","type":"t"}"#.to_owned(), None),
            (r#"{"id":"","type":"t"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
            (r#"{"type":"t"}"#.to_owned(), Some(FaultKind::EventIdMissing)),
            (r#"{"id":"1"}"#.to_owned(), Some(FaultKind::EventTypeMissing)),
            ("{}".to_owned(), Some(FaultKind::EventIdMissing)),
            (r#"{"id":1.5,"type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"id":{},"type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"id":"1","type":true}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"id":"1","id":"1","type":"t"}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (r#"{"id":"1","type":"t"}}"#.to_owned(), Some(FaultKind::PayloadMalformed)),
            (String::new(), Some(FaultKind::PayloadMalformed)),
            (format!(r#"{{"id":"{}","type":"t"}}"#, &long[1..]), None),
            (format!(r#"{{"id":"{long}","type":"t"}}"#), Some(FaultKind::PayloadMalformed)),
            (
                format!(r#"{{"id":{},"type":"t"}}"#, "1".repeat(513)),
                Some(FaultKind::PayloadMalformed),
            ),
        ] {
            assert_eq!(reason(&source, &[], &body), expected, "{body}");
        }
        let by_header = source.with_id(&["header:X-Id"]).with_type(&["header:X-Type"]);
        for (lines, expected) in [
            (&[("X-Id", "1"), ("X-Type", "t")][..], None),
            (&[("X-Id", "1"), ("X-Id", "1"), ("X-Type", "t")], None),
            (&[("X-Id", "1"), ("X-Id", "2"), ("X-Type", "t")], Some(FaultKind::PayloadMalformed)),
            (&[("X-Id", "1")], Some(FaultKind::EventTypeMissing)),
            (&[("X-Type", "t")], Some(FaultKind::EventIdMissing)),
            (&[("X-Id", long.as_str()), ("X-Type", "t")], Some(FaultKind::PayloadMalformed)),
        ] {
            assert_eq!(reason(&by_header, lines, "not JSON"), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_body_of_which_nothing_is_read_may_be_anything() {
        let source = source("X-Sig").with_id(&["body-sha256", "json:/id"]).with_type(&[]);
        let event = read(&source, &[], "\u{feff}<xml/>").expect("an event");
        assert_eq!(event.kind, "");
        assert_eq!(event.id.as_str(), body_sha256("\u{feff}<xml/>".as_bytes()));
    }

    #[test]
    fn a_time_in_the_body_is_read_in_the_format_of_the_scheme() {
        let source = source("X-Sig").with_timestamp("json:/created_at", TimeFormat::Rfc3339);
        for (member, expected) in [
            (r#","created_at":"2023-11-14T22:13:20Z""#, Ok(Some(NOW))),
            (r#","created_at":"2023-11-14T23:13:20.000+01:00""#, Ok(Some(NOW))),
            (r#","created_at":"yesterday""#, Err(FaultKind::TimestampMalformed)),
            (r#","created_at":1700000000"#, Err(FaultKind::TimestampMalformed)),
            (r#","created_at":1.5"#, Err(FaultKind::TimestampMalformed)),
            (r#","created_at":null"#, Err(FaultKind::TimestampMissing)),
            (r#","created_at":"""#, Err(FaultKind::TimestampMissing)),
            ("", Err(FaultKind::TimestampMissing)),
        ] {
            let body = format!(r#"{{"id":"1","type":"t"{member}}}"#);
            let sent = read(&source, &[], &body).map(|event| event.sent);
            assert_eq!(sent.map_err(|fault| fault.kind()), expected, "{body}");
        }
        let no_id = r#"{"type":"t","created_at":"yesterday"}"#;
        assert_eq!(reason(&source, &[], no_id), Some(FaultKind::EventIdMissing));
    }

    #[test]
    fn a_time_that_is_not_signed_is_read_after_id_and_type() {
        let source = source("X-Sig").with_timestamp("header:X-Time", TimeFormat::Unix);
        let body = r#"{"id":"1","type":"t"}"#;
        for (lines, expected) in [
            (&[("X-Time", "1700000000")][..], Ok(Some(NOW))),
            (&[("X-Time", "soon")], Err(FaultKind::TimestampMalformed)),
            (&[("X-Time", "1700000000"), ("X-Time", "1")], Err(FaultKind::TimestampMalformed)),
            (&[], Err(FaultKind::TimestampMissing)),
        ] {
            let sent = read(&source, lines, body).map(|event| event.sent);
            assert_eq!(sent.map_err(|fault| fault.kind()), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_events_own_time_never_stops_a_delivery() {
        let mut source = source("X-Sig");
        source.scheme.event.time = places(&["json:/at", "header:X-At"]);
        for (member, expected) in [
            (r#","at":"2023-11-14T22:13:20Z""#, Some(NOW)),
            (r#","at":1700000000"#, Some(NOW)),
            (r#","at":1700000000000"#, Some(NOW)),
            (r#","at":"soon""#, None),
            (r#","at":{}"#, Some(UnixMillis(0))),
            ("", Some(UnixMillis(0))),
        ] {
            let body = format!(r#"{{"id":"1","type":"t"{member}}}"#);
            let event = read(&source, &[("X-At", "0")], &body).expect("an event");
            assert_eq!(event.time, expected, "{body}");
        }
        let by_header = source.with_id(&["header:X-Id"]).with_type(&[]);
        assert!(read(&by_header, &[("X-Id", "1")], "no JSON").is_ok());
    }

    #[test]
    fn the_proof_brings_the_time_that_was_signed() {
        let source = source("X-Sig")
            .with_timestamp("header:X-Time", TimeFormat::Unix)
            .with_rule(|rule| rule.signed = crate::verify::fixture::template("{timestamp}.{body}"));
        let (head, body) = signed_by(&source, br#"{"id":"1","type":"t"}"#);
        let genuine = check(&source, &source.new_keys(), head.view(), &body).expect("genuine");
        let event = Event::read(&source, head.view(), &body, &genuine).expect("an event");
        assert_eq!(event.sent, Some(NOW));
        assert!(matches!(source.scheme.timestamp.expect("a rule").from, TimestampPlace::Header(_)));
    }
}
