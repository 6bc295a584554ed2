//! Encrypts payloads: AES-256-GCM, with a random nonce each.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;

const ID: usize = 4;
const TAG: usize = 16;

/// Keys for the log, newest first: the first encrypts, all of them decrypt.
pub struct CipherKeys {
    keys: Vec<(u32, LessSafeKey)>,
    random: SystemRandom,
}

/// Why a payload does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// It was encrypted with a key that is not there.
    NoSuchKey,
    /// It is not as it was encrypted.
    Changed,
}

impl CipherKeys {
    /// Keys of 32 random bytes each. `None` if there is none.
    #[must_use]
    pub fn new(keys: &[[u8; 32]]) -> Option<Self> {
        let ready: Option<Vec<_>> = keys
            .iter()
            .map(|key| {
                Some((id_of(key)?, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?)))
            })
            .collect();
        let keys = ready.filter(|keys| !keys.is_empty())?;
        Some(Self { keys, random: SystemRandom::new() })
    }

    /// Encrypts the buffer from `start` on. `kind` says what it is: it is opened as nothing else.
    /// `None` if the system has no randomness.
    #[must_use]
    pub fn seal(&self, buffer: &mut Vec<u8>, start: usize, kind: u8) -> Option<()> {
        let (id, key) = self.keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let open = buffer.get_mut(start..)?;
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([kind]),
                open,
            )
            .ok()?;
        buffer.extend_from_slice(tag.as_ref());
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(&id.to_le_bytes());
        Some(())
    }

    /// Decrypts a payload.
    ///
    /// # Errors
    /// If no key here fits, or it was changed.
    pub fn open(&self, sealed: &[u8], kind: u8) -> Result<Vec<u8>, Locked> {
        let (rest, id) = sealed.split_last_chunk::<ID>().ok_or(Locked::Changed)?;
        let (rest, nonce) = rest.split_last_chunk::<NONCE_LEN>().ok_or(Locked::Changed)?;
        let id = u32::from_le_bytes(*id);
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id).ok_or(Locked::NoSuchKey)?;
        let mut payload = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        key.open_in_place(nonce, Aad::from([kind]), &mut payload).map_err(|_| Locked::Changed)?;
        payload.truncate(rest.len().saturating_sub(TAG));
        Ok(payload)
    }
}

/// Names a key without telling it.
fn id_of(key: &[u8; 32]) -> Option<u32> {
    let hash = digest(&SHA256, &[b"hookward inbox key ".as_slice(), key].concat());
    Some(u32::from_le_bytes(*hash.as_ref().first_chunk()?))
}

impl fmt::Debug for CipherKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_key_encrypts_and_all_of_them_decrypt() {
        let old = CipherKeys::new(&[[1; 32]]).unwrap();
        let rotated = CipherKeys::new(&[[2; 32], [1; 32]]).unwrap();
        let mut buffer = b"ab secret".to_vec();
        old.seal(&mut buffer, 3, 7).unwrap();
        assert!(!buffer.windows(6).any(|window| window == b"secret"));
        let sealed = &buffer[3..];
        assert_eq!(rotated.open(sealed, 7).unwrap(), b"secret");
        assert_eq!(rotated.open(sealed, 8), Err(Locked::Changed));
        assert_eq!(CipherKeys::new(&[[2; 32]]).unwrap().open(sealed, 7), Err(Locked::NoSuchKey));
        let mut newer = b"secret".to_vec();
        rotated.seal(&mut newer, 0, 7).unwrap();
        assert_eq!(old.open(&newer, 7), Err(Locked::NoSuchKey));
    }
}
