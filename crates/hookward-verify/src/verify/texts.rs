//! Signed texts for one key: hashed or assembled, and compared with signatures.

use super::inputs::Piece;
use crate::keys::{Key, Material, Method, PublicKey, RunningHash, Tag, hash_token};
use ed25519_dalek::Signature as Ed25519Signature;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use std::borrow::Cow;

/// A text as signed by one key, hashed once for all signatures that are compared with it.
pub(crate) enum HashedText<'k> {
    Tag(Tag),
    Token(&'k Tag),
    Ed25519 {
        public: &'k ed25519_dalek::VerifyingKey,
        text: Cow<'k, [u8]>,
    },
    Ecdsa {
        public: &'k p256::ecdsa::VerifyingKey,
        hash: Vec<u8>,
    },
    Public {
        key: &'k PublicKey,
        method: Option<Method>,
        text: Cow<'k, [u8]>,
    },
    /// No key, so nothing matches.
    Nothing,
}

impl HashedText<'_> {
    /// Whether the key made this signature of the text.
    pub(crate) fn matches(&self, signature: &[u8]) -> bool {
        match self {
            Self::Tag(tag) => tag.is(signature),
            Self::Token(token) => hash_token(signature).is_same(token),
            Self::Ed25519 { public, text } => Ed25519Signature::from_slice(signature)
                .is_ok_and(|signature| public.verify_strict(text, &signature).is_ok()),
            Self::Ecdsa { public, hash } => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| public.verify_prehash(hash, &signature).is_ok()),
            Self::Public { key, method, text } => {
                method.is_some_and(|method| key.verifies(method, text, signature))
            }
            Self::Nothing => false,
        }
    }
}

impl Key {
    /// The hash that this key starts with, if its algorithm hashes.
    pub(crate) fn fresh(&self) -> Option<RunningHash> {
        match &self.material {
            Material::Hash(running) => Some(running.clone()),
            Material::Ecdsa(_) => Some(RunningHash::sha256()),
            Material::Ed25519(_)
            | Material::Token(_)
            | Material::Public { .. }
            | Material::Elsewhere => None,
        }
    }

    /// A hash of everything before the body.
    pub(super) fn begin(&self, pieces: &[Piece<'_>]) -> Option<RunningHash> {
        let mut running = self.fresh()?;
        for piece in pieces.iter().take_while(|piece| **piece != Piece::Body) {
            running.update(self.bytes_of(piece, &[]));
        }
        Some(running)
    }

    /// A hash of the whole text: it adds the rest after the body, or all of it.
    fn finish(&self, fed: Option<RunningHash>, pieces: &[Piece<'_>], body: &[u8]) -> RunningHash {
        let body_at = pieces.iter().position(|piece| *piece == Piece::Body);
        let (mut running, rest) = match (fed, body_at) {
            (Some(fed), Some(at)) => (fed, pieces.get(at + 1..).unwrap_or_default()),
            _ => (self.fresh().unwrap_or_else(RunningHash::sha256), pieces),
        };
        for piece in rest {
            running.update(self.bytes_of(piece, body));
        }
        running
    }

    /// The text as this key has signed it.
    pub(crate) fn signed<'k>(
        &'k self,
        method: Option<Method>,
        fed: Option<RunningHash>,
        pieces: &'k [Piece<'_>],
        body: &'k [u8],
    ) -> HashedText<'k> {
        match &self.material {
            Material::Hash(_) => HashedText::Tag(self.finish(fed, pieces, body).finish()),
            Material::Token(token) => HashedText::Token(token),
            Material::Ed25519(public) => {
                HashedText::Ed25519 { public, text: self.signed_text(pieces, body) }
            }
            Material::Public { key, only } => HashedText::Public {
                key,
                method: method.filter(|method| only.is_none_or(|only| only == *method)),
                text: self.signed_text(pieces, body),
            },
            Material::Elsewhere => HashedText::Nothing,
            Material::Ecdsa(public) => HashedText::Ecdsa {
                public,
                hash: self.finish(fed, pieces, body).finish().into_bytes(),
            },
        }
    }

    /// The hash of the whole text, for the sender's side.
    pub(crate) fn hash(&self, pieces: &[Piece<'_>], body: &[u8]) -> Vec<u8> {
        self.finish(None, pieces, body).finish().into_bytes()
    }

    /// The whole text in one piece, which is the body itself if nothing else is signed.
    fn signed_text<'b>(&'b self, pieces: &'b [Piece<'_>], body: &'b [u8]) -> Cow<'b, [u8]> {
        join(pieces, |piece| self.bytes_of(piece, body))
    }

    fn bytes_of<'b>(&'b self, piece: &'b Piece<'_>, body: &'b [u8]) -> &'b [u8] {
        match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Body => body,
            Piece::Secret => self.text.expose(),
        }
    }
}

fn join<'b, 'p>(
    pieces: &'b [Piece<'p>],
    bytes_of: impl Fn(&'b Piece<'p>) -> &'b [u8],
) -> Cow<'b, [u8]> {
    match pieces {
        [piece] => bytes_of(piece).into(),
        _ => pieces.iter().map(bytes_of).collect::<Vec<_>>().concat().into(),
    }
}

/// The part of the signed text that does not depend on the secret.
pub(crate) fn signed_text<'b>(pieces: &'b [Piece<'_>], body: &'b [u8]) -> Cow<'b, [u8]> {
    join(pieces, |piece| match piece {
        Piece::Bytes(bytes) => bytes,
        Piece::Body => body,
        Piece::Secret => &[],
    })
}
