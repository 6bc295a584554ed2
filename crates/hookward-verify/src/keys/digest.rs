//! Hashes the signed text piece by piece.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::digest::Digest as _;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

/// A hash in progress. A keyed one is cloned from a state that already contains the key, so that
/// the key is not hashed again for each request.
#[derive(Clone)]
pub(crate) enum RunningHash {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Box<Hmac<Sha384>>),
    HmacSha512(Box<Hmac<Sha512>>),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl RunningHash {
    pub(crate) fn hmac_sha1(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self::HmacSha1)
    }

    pub(crate) fn hmac_sha256(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self::HmacSha256)
    }

    pub(crate) fn hmac_sha384(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(|mac| Self::HmacSha384(Box::new(mac)))
    }

    pub(crate) fn hmac_sha512(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(|mac| Self::HmacSha512(Box::new(mac)))
    }

    pub(crate) fn sha1() -> Self {
        Self::Sha1(Sha1::new())
    }

    pub(crate) fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::HmacSha1(mac) => mac.update(bytes),
            Self::HmacSha256(mac) => mac.update(bytes),
            Self::HmacSha384(mac) => mac.update(bytes),
            Self::HmacSha512(mac) => mac.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Tag {
        match self {
            Self::HmacSha1(mac) => Tag::of(mac.finalize().as_bytes()),
            Self::HmacSha256(mac) => Tag::of(mac.finalize().as_bytes()),
            Self::HmacSha384(mac) => Tag::of(mac.finalize().as_bytes()),
            Self::HmacSha512(mac) => Tag::of(mac.finalize().as_bytes()),
            Self::Sha1(hash) => Tag::of(&hash.finalize()),
            Self::Sha256(hash) => Tag::of(&hash.finalize()),
        }
    }
}

/// The SHA-256 of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    let mut hash = RunningHash::sha256();
    hash.update(bytes);
    hash.finish().into_bytes()
}

/// The expected signature. It has no `==` and no `Debug`: the only comparison is [`Tag::is`]. Code
/// that needs the bytes (`sign`) requests them by name.
pub(crate) struct Tag {
    bytes: [u8; LONGEST_TAG_BYTES],
    length: usize,
}

/// Of SHA-512.
const LONGEST_TAG_BYTES: usize = 64;

impl Tag {
    fn of(hash: &[u8]) -> Self {
        let mut bytes = [0; LONGEST_TAG_BYTES];
        for (byte, hashed) in bytes.iter_mut().zip(hash) {
            *byte = *hashed;
        }
        Self { bytes, length: hash.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    /// Whether `signature` equals this tag, in a time that depends only on their lengths.
    pub(crate) fn is(&self, signature: &[u8]) -> bool {
        self.as_bytes().ct_eq(signature).into()
    }

    /// Whether both are equal, in a time that depends only on their lengths.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.is(other.as_bytes())
    }

    /// The bytes, for making a signature or for a hash that is checked elsewhere.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}
