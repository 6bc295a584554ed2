//! What is stored of an event, as bytes that only the holder of a key can read where there is one.

use bytes::Bytes;
use hookward_inbox::{CipherKeys, Locked};

/// The kinds of what is sealed.
const NAME: u8 = 64;
const CONTENT: u8 = 65;

/// The first byte says whether the rest is encrypted.
const PLAIN: u8 = 0;
const ENCRYPTED: u8 = 1;

/// The id and the type of an event. `None` if the system has no randomness.
pub(crate) fn seal_name(keys: Option<&CipherKeys>, id: &str, kind: &str) -> Option<Vec<u8>> {
    seal(keys, NAME, id.as_bytes(), kind.as_bytes())
}

/// The head and the body of a request.
pub(crate) fn seal_content(keys: Option<&CipherKeys>, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    seal(keys, CONTENT, head, body)
}

/// The id and the type again.
pub(crate) fn open_name(
    keys: Option<&CipherKeys>,
    sealed: &[u8],
) -> Result<(String, String), Locked> {
    let (opened, at) = open(keys, NAME, sealed)?;
    let (id, kind) = opened.split_at_checked(at).ok_or(Locked::Changed)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Locked::Changed);
    Ok((text(id)?, text(kind)?))
}

/// The head and the body again.
pub(crate) fn open_content(
    keys: Option<&CipherKeys>,
    sealed: &[u8],
) -> Result<(Bytes, Bytes), Locked> {
    let (opened, at) = open(keys, CONTENT, sealed)?;
    let opened = Bytes::from(opened);
    if at > opened.len() {
        return Err(Locked::Changed);
    }
    Ok((opened.slice(..at), opened.slice(at..)))
}

fn seal(keys: Option<&CipherKeys>, kind: u8, first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(first.len() + second.len() + 64);
    bytes.push(if keys.is_some() { ENCRYPTED } else { PLAIN });
    bytes.extend_from_slice(&u32::try_from(first.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    if let Some(keys) = keys {
        keys.seal(&mut bytes, 1, kind)?;
    }
    Some(bytes)
}

/// Both parts, and the length of the first.
fn open(keys: Option<&CipherKeys>, kind: u8, sealed: &[u8]) -> Result<(Vec<u8>, usize), Locked> {
    let (how, rest) = sealed.split_first().ok_or(Locked::Changed)?;
    let opened = match *how {
        PLAIN => rest.to_vec(),
        ENCRYPTED => keys.ok_or(Locked::NoSuchKey)?.open(rest, kind)?,
        _ => return Err(Locked::Changed),
    };
    let (length, both) = opened.split_first_chunk().ok_or(Locked::Changed)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Locked::Changed)?;
    Ok((both.to_vec(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_as_what_it_is() {
        let keys = CipherKeys::new(&[[7; 32]]).unwrap();
        for keys in [None, Some(&keys)] {
            let name = seal_name(keys, "evt-1", "order.created").unwrap();
            assert_eq!(open_name(keys, &name), Ok(("evt-1".into(), "order.created".into())));
            let content = seal_content(keys, b"head", b"body").unwrap();
            let (head, body) = open_content(keys, &content).unwrap();
            assert_eq!((&head[..], &body[..]), (&b"head"[..], &b"body"[..]));
            let shows = |text: &[u8]| content.windows(text.len()).any(|window| window == text);
            assert_eq!(shows(b"body"), keys.is_none());
        }
        let name = seal_name(Some(&keys), "evt-1", "").unwrap();
        assert_eq!(open_name(None, &name), Err(Locked::NoSuchKey));
        let other = CipherKeys::new(&[[8; 32]]).unwrap();
        assert_eq!(open_name(Some(&other), &name), Err(Locked::NoSuchKey));
        assert_eq!(open_content(Some(&keys), &name), Err(Locked::Changed), "as something else");
        for cut in 0..name.len() {
            assert!(open_name(Some(&keys), &name[..cut]).is_err());
        }
    }
}
