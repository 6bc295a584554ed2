//! Public keys of senders: read from PEM, from a JSON Web Key or from a certificate, and used to
//! check signatures.
//!
//! The key's kind and the caller's [`Method`] decide which signatures a key may check. Both come
//! from the configuration; nothing in a request chooses them.

use super::decoding::{NOT_ED25519, is_pem};
use crate::scheme::KeyForm;
use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{Decode as _, Document, Reader as _, SliceReader};
use p256::pkcs8::{DecodePublicKey as _, ObjectIdentifier, SubjectPublicKeyInfoRef};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use sha2::Digest as _;
use std::fmt;

/// How a signature is made and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RSA, PKCS #1 v1.5 with SHA-1.
    RsaSha1,
    /// RSA, PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA, PSS with SHA-256.
    PssSha256,
    /// RSA, PSS with SHA-512.
    PssSha512,
    /// ECDSA over P-256 with SHA-256; 64 bytes, `r` and `s`.
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

/// A public key.
#[derive(Clone)]
pub struct PublicKey(Kind);

#[derive(Clone)]
enum Kind {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8>, pss_only: bool },
    P256(Box<p256::ecdsa::VerifyingKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The smallest accepted modulus, in bytes: 2,048 bits.
const LEAST_MODULUS_BYTES: usize = 256;

const NOT_PUBLIC: &str =
    "is no public key: it must be the PEM of one (`PUBLIC KEY`), or base64 of its DER";

impl PublicKey {
    /// Reads a PEM text `PUBLIC KEY`, or the base64 of the DER of a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence that starts with the secret.
    pub fn from_text(text: &[u8]) -> Result<Self, &'static str> {
        if is_pem(text) {
            let pem = std::str::from_utf8(text.trim_ascii()).map_err(|_| NOT_PUBLIC)?;
            let (label, document) = Document::from_pem(pem).map_err(|_| NOT_PUBLIC)?;
            return match label {
                "PUBLIC KEY" => Self::from_spki(document.as_bytes()),
                _ => Err(NOT_PUBLIC),
            };
        }
        let der = super::decoding::decode_key(KeyForm::Base64, text).map_err(|_| NOT_PUBLIC)?;
        Self::from_spki(&der)
    }

    /// Reads the DER of a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// As [`PublicKey::from_text`].
    pub fn from_spki(der: &[u8]) -> Result<Self, &'static str> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| NOT_PUBLIC)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(NOT_PUBLIC)?;
        match info.algorithm.oid {
            RSA => Self::from_pkcs1(bytes, false),
            RSA_PSS => Self::from_pkcs1(bytes, true),
            EC => p256::ecdsa::VerifyingKey::from_public_key_der(der)
                .map(|key| Self(Kind::P256(Box::new(key))))
                .map_err(|_| "is a public key of a curve other than P-256"),
            ED25519 => Self::from_ed25519(bytes),
            _ => Err("is a public key of a kind that is not supported: RSA, P-256 or Ed25519"),
        }
    }

    fn from_pkcs1(der: &[u8], pss_only: bool) -> Result<Self, &'static str> {
        let numbers = || -> p256::pkcs8::der::Result<_> {
            let mut reader = SliceReader::new(der)?;
            let numbers = reader.sequence(|inner| {
                let modulus = UintRef::decode(inner)?;
                let exponent = UintRef::decode(inner)?;
                Ok::<_, p256::pkcs8::der::Error>((
                    modulus.as_bytes().to_vec(),
                    exponent.as_bytes().to_vec(),
                ))
            })?;
            reader.finish()?;
            Ok(numbers)
        };
        let (modulus, exponent) = numbers().map_err(|_| NOT_PUBLIC)?;
        Self::from_rsa(modulus, exponent, pss_only)
    }

    /// An RSA key from its numbers, big-endian.
    ///
    /// # Errors
    /// It is shorter than 2,048 bits, or longer than 8,192.
    pub(super) fn from_rsa(
        modulus: Vec<u8>,
        exponent: Vec<u8>,
        pss_only: bool,
    ) -> Result<Self, &'static str> {
        if !(LEAST_MODULUS_BYTES..=1024).contains(&modulus.len()) || exponent.is_empty() {
            return Err("is an RSA key of fewer than 2,048 or more than 8,192 bits");
        }
        if modulus.first() == Some(&0) || exponent.first() == Some(&0) {
            return Err("is an RSA key whose numbers begin with a zero byte");
        }
        Ok(Self(Kind::Rsa { modulus, exponent, pss_only }))
    }

    /// A P-256 key from its coordinates.
    ///
    /// # Errors
    /// They are not a point of the curve.
    pub(super) fn from_p256(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        let point = [&[4], x, y].concat();
        if x.len() != 32 || y.len() != 32 {
            return Err("is no key of the curve P-256");
        }
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
            .map(|key| Self(Kind::P256(Box::new(key))))
            .map_err(|_| "is no key of the curve P-256")
    }

    /// An Ed25519 key from its 32 bytes.
    ///
    /// # Errors
    /// They are not a usable point.
    pub(super) fn from_ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| NOT_ED25519)?;
        match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(Kind::Ed25519(Box::new(key)))),
            _ => Err("is no Ed25519 public key: its 32 bytes are no point that may be used"),
        }
    }

    /// Whether this key can make a signature by `method`.
    #[must_use]
    pub const fn fits(&self, method: Method) -> bool {
        match (&self.0, method) {
            (Kind::Rsa { pss_only, .. }, Method::RsaSha1 | Method::RsaSha256) => !*pss_only,
            (Kind::Rsa { .. }, Method::PssSha256 | Method::PssSha512)
            | (Kind::P256(_), Method::EcdsaP256)
            | (Kind::Ed25519(_), Method::Ed25519) => true,
            _ => false,
        }
    }

    /// Whether this key made `signature` of `text` by `method`.
    #[must_use]
    pub fn verifies(&self, method: Method, text: &[u8], signature: &[u8]) -> bool {
        if !self.fits(method) {
            return false;
        }
        match &self.0 {
            Kind::Rsa { modulus, exponent, .. } => {
                let parameters: &RsaParameters = match method {
                    Method::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                    Method::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
                    Method::PssSha256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PSS_2048_8192_SHA512,
                };
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, text, signature).is_ok()
            }
            Kind::P256(key) => {
                use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
                p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                    key.verify_prehash(&sha2::Sha256::digest(text), &signature).is_ok()
                })
            }
            Kind::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(text, &signature).is_ok()),
        }
    }

    /// The method of RFC 9421 for a key of this kind. RSA keys sign with PKCS #1 v1.5 unless they
    /// are marked for PSS.
    #[must_use]
    pub const fn message_method(&self) -> Method {
        match &self.0 {
            Kind::Rsa { pss_only: true, .. } => Method::PssSha512,
            Kind::Rsa { .. } => Method::RsaSha256,
            Kind::P256(_) => Method::EcdsaP256,
            Kind::Ed25519(_) => Method::Ed25519,
        }
    }

    /// What kind of key it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.0 {
            Kind::Rsa { .. } => "RSA",
            Kind::P256(_) => "P-256",
            Kind::Ed25519(_) => "Ed25519",
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
