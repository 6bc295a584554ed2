//! What is stored of an event, as bytes that only the holder of a key can read where there is one.

use bytes::Bytes;
use hookward_inbox::{CipherKeys, Locked};

/// The kinds of what is sealed.
const NAME: u8 = 64;
const CONTENT: u8 = 65;

/// The first byte says whether the rest is encrypted.
const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

/// Set in the length of an id that has all parts of an [`EventName`] behind it. Without it, as before
/// version 3 of the schema, there is the type alone.
const HAS_KEYS: u32 = 1 << 31;

/// What an event is called, and by what it is ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventName {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// Its key in the order, as in the event.
    pub(crate) order_key: Option<String>,
    /// Another name under which it must not be accepted again.
    pub(crate) alias: Option<String>,
}

/// Seals a name. `None` if the system has no randomness.
pub(crate) fn seal_name(keys: Option<&CipherKeys>, name: &EventName) -> Option<Vec<u8>> {
    let mut rest = Vec::with_capacity(64);
    put(&mut rest, &name.kind)?;
    for text in [&name.order_key, &name.alias] {
        rest.push(u8::from(text.is_some()));
        put(&mut rest, text.as_deref().unwrap_or_default())?;
    }
    seal(keys, NAME, HAS_KEYS, name.id.as_bytes(), &rest)
}

fn put(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Some(())
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

/// The head and the body of a request.
pub(crate) fn seal_content(keys: Option<&CipherKeys>, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    seal(keys, CONTENT, 0, head, body)
}

/// The name again.
pub(crate) fn open_name(keys: Option<&CipherKeys>, sealed: &[u8]) -> Result<EventName, Locked> {
    let (opened, length) = open(keys, NAME, sealed)?;
    let read = || {
        let (id, mut rest) = opened.split_at_checked((length & !HAS_KEYS) as usize)?;
        let id = String::from_utf8(id.to_vec()).ok()?;
        if length & HAS_KEYS == 0 {
            let kind = String::from_utf8(rest.to_vec()).ok()?;
            return Some(EventName { id, kind, ..EventName::default() });
        }
        let kind = text(&mut rest)?;
        let mut optional = || {
            let (is_there, after) = rest.split_first()?;
            rest = after;
            let found = text(&mut rest)?;
            Some((*is_there == 1).then_some(found))
        };
        Some(EventName { id, kind, order_key: optional()?, alias: optional()? })
    };
    read().ok_or(Locked::Changed)
}

/// The head and the body again.
pub(crate) fn open_content(
    keys: Option<&CipherKeys>,
    sealed: &[u8],
) -> Result<(Bytes, Bytes), Locked> {
    let (opened, length) = open(keys, CONTENT, sealed)?;
    let (opened, at) = (Bytes::from(opened), length as usize);
    if at > opened.len() {
        return Err(Locked::Changed);
    }
    Ok((opened.slice(..at), opened.slice(at..)))
}

fn seal(
    keys: Option<&CipherKeys>,
    kind: u8,
    flag: u32,
    first: &[u8],
    second: &[u8],
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(first.len() + second.len() + 64);
    bytes.push(if keys.is_some() { ENCRYPTED } else { PLAIN });
    let length = u32::try_from(first.len()).ok()?;
    bytes.extend_from_slice(&(length | flag).to_le_bytes());
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    if let Some(keys) = keys {
        keys.seal(&mut bytes, 1, kind)?;
    }
    Some(bytes)
}

/// Both parts, and the length of the first with its flag.
fn open(keys: Option<&CipherKeys>, kind: u8, sealed: &[u8]) -> Result<(Vec<u8>, u32), Locked> {
    let (how, rest) = sealed.split_first().ok_or(Locked::Changed)?;
    let opened = match *how {
        PLAIN => rest.to_vec(),
        ENCRYPTED => keys.ok_or(Locked::NoSuchKey)?.open(rest, kind)?,
        _ => return Err(Locked::Changed),
    };
    let (length, both) = opened.split_first_chunk().ok_or(Locked::Changed)?;
    Ok((both.to_vec(), u32::from_le_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> EventName {
        EventName {
            id: "evt-1".to_owned(),
            kind: "order.created".to_owned(),
            order_key: Some("7".to_owned()),
            alias: None,
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_as_what_it_is() {
        let keys = CipherKeys::new(&[[7; 32]]).unwrap();
        for keys in [None, Some(&keys)] {
            for name in
                [name(), EventName { alias: Some("sig".to_owned()), ..EventName::default() }]
            {
                assert_eq!(open_name(keys, &seal_name(keys, &name).unwrap()), Ok(name));
            }
            let content = seal_content(keys, b"head", b"body").unwrap();
            let (head, body) = open_content(keys, &content).unwrap();
            assert_eq!((&head[..], &body[..]), (&b"head"[..], &b"body"[..]));
            let shows = |text: &[u8]| content.windows(text.len()).any(|window| window == text);
            assert_eq!(shows(b"body"), keys.is_none());
        }
        let sealed = seal_name(Some(&keys), &name()).unwrap();
        assert_eq!(open_name(None, &sealed), Err(Locked::NoSuchKey));
        let other = CipherKeys::new(&[[8; 32]]).unwrap();
        assert_eq!(open_name(Some(&other), &sealed), Err(Locked::NoSuchKey));
        assert_eq!(open_content(Some(&keys), &sealed), Err(Locked::Changed), "as something else");
        for cut in 0..sealed.len() {
            assert!(open_name(Some(&keys), &sealed[..cut]).is_err());
        }
        let plain = seal_name(None, &name()).unwrap();
        for cut in 0..plain.len() {
            assert!(open_name(None, &plain[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_name_of_version_2_reads_without_its_keys() {
        let sealed = seal(None, NAME, 0, b"evt-1", b"order.created").unwrap();
        let expected = EventName { order_key: None, ..name() };
        assert_eq!(open_name(None, &sealed), Ok(expected));
    }
}
