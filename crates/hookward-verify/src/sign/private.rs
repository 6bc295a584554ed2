//! Private keys of senders, as a file holds them, and the certificates that may lie beside one.

use super::SignError;
use crate::keys::{Method, sha256};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{Decode as _, Reader as _, SecretDocument, SliceReader};
use p256::pkcs8::{DecodePrivateKey as _, ObjectIdentifier, PrivateKeyInfoRef};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair};
use sha1::Digest as _;
use zeroize::Zeroizing;

/// A private key that signs as a sender would.
pub(super) enum SenderKey {
    Rsa {
        pair: Box<RsaKeyPair>,
        numbers: RsaNumbers,
        /// The key says that it is for PSS alone.
        pss_only: bool,
    },
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

/// What an RSA signature is computed from.
pub(super) struct RsaNumbers {
    modulus: Vec<u8>,
    private_exponent: Zeroizing<Vec<u8>>,
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const NOT_PRIVATE: SignError =
    SignError::PrivateKey("a PKCS #8 PEM of an RSA, P-256 or Ed25519 key");

impl SenderKey {
    /// Reads the first `PRIVATE KEY` of a PEM text, or the 32 bytes of an Ed25519 key.
    ///
    /// # Errors
    /// [`SignError::PrivateKey`].
    pub(super) fn read(text: &[u8]) -> Result<Self, SignError> {
        if let Ok(seed) = <&[u8; 32]>::try_from(text) {
            return Ok(Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))));
        }
        let text = std::str::from_utf8(text).map_err(|_| NOT_PRIVATE)?;
        let pem = block(text, "PRIVATE KEY").ok_or(NOT_PRIVATE)?;
        let (_, document) = SecretDocument::from_pem(pem).map_err(|_| NOT_PRIVATE)?;
        let info: PrivateKeyInfoRef<'_> = document.decode_msg().map_err(|_| NOT_PRIVATE)?;
        let inner = info.private_key.as_bytes();
        match info.algorithm.oid {
            RSA => Self::from_pkcs1(inner, false),
            RSA_PSS => Self::from_pkcs1(inner, true),
            EC => p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
                .map(|key| Self::P256(Box::new(key)))
                .map_err(|_| SignError::PrivateKey("of the curve P-256")),
            ED25519 => {
                // RFC 8410: within the document the key is wrapped once more, as an OCTET STRING.
                const WRAPPED: [u8; 2] = [0x04, 32];
                let seed = inner.strip_prefix(&WRAPPED).ok_or(NOT_PRIVATE)?;
                let seed: &[u8; 32] = seed.try_into().map_err(|_| NOT_PRIVATE)?;
                Ok(Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))))
            }
            _ => Err(NOT_PRIVATE),
        }
    }

    fn from_pkcs1(der: &[u8], pss_only: bool) -> Result<Self, SignError> {
        let pair = RsaKeyPair::from_der(der).map_err(|_| {
            SignError::PrivateKey("an RSA key of 2,048 to 4,096 bits that can be used")
        })?;
        let numbers = || -> p256::pkcs8::der::Result<RsaNumbers> {
            let mut reader = SliceReader::new(der)?;
            reader.sequence(|inner| {
                UintRef::decode(inner)?; // the version
                let modulus = UintRef::decode(inner)?.as_bytes().to_vec();
                UintRef::decode(inner)?; // the public exponent
                let private_exponent = UintRef::decode(inner)?.as_bytes().to_vec().into();
                while !inner.is_finished() {
                    UintRef::decode(inner)?; // what only speeds up the computation
                }
                Ok::<_, p256::pkcs8::der::Error>(RsaNumbers { modulus, private_exponent })
            })
        };
        let numbers = numbers().map_err(|_| NOT_PRIVATE)?;
        Ok(Self::Rsa { pair: Box::new(pair), numbers, pss_only })
    }

    /// The one method of RFC 9421 that the key is for, as its receiver decides it.
    pub(super) const fn message_method(&self) -> Method {
        match self {
            Self::Rsa { pss_only: true, .. } => Method::PssSha512,
            Self::Rsa { .. } => Method::RsaSha256,
            Self::P256(_) => Method::EcdsaP256,
            Self::Ed25519(_) => Method::Ed25519,
        }
    }

    /// A signature of `text` as `method` makes it.
    ///
    /// # Errors
    /// [`SignError::PrivateKey`]: the key is of another kind.
    pub(super) fn sign(&self, method: Method, text: &[u8]) -> Result<Vec<u8>, SignError> {
        match (self, method) {
            (Self::P256(key), Method::EcdsaP256) => {
                let signature: p256::ecdsa::Signature = key
                    .sign_prehash(&sha256(text))
                    .map_err(|_| SignError::PrivateKey("able to sign"))?;
                Ok(signature.to_bytes().to_vec())
            }
            (Self::Ed25519(key), Method::Ed25519) => Ok(key.sign(text).to_bytes().to_vec()),
            (Self::Rsa { numbers, pss_only: false, .. }, Method::RsaSha1) => {
                numbers.sign_sha1(text)
            }
            (Self::Rsa { pair, pss_only, .. }, method) => {
                let encoding: &'static dyn RsaEncoding = match method {
                    Method::RsaSha256 if !pss_only => &RSA_PKCS1_SHA256,
                    Method::PssSha256 => &RSA_PSS_SHA256,
                    Method::PssSha512 => &RSA_PSS_SHA512,
                    _ => return Err(Self::unfit(method)),
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), text, &mut signature)
                    .map_err(|_| SignError::PrivateKey("able to sign"))?;
                Ok(signature)
            }
            _ => Err(Self::unfit(method)),
        }
    }

    const fn unfit(method: Method) -> SignError {
        SignError::PrivateKey(match method {
            Method::RsaSha1 | Method::RsaSha256 => "a PKCS #8 PEM of an RSA key",
            Method::PssSha256 | Method::PssSha512 => "a PKCS #8 PEM of an RSA key for PSS",
            Method::EcdsaP256 => "a PKCS #8 PEM of a P-256 key",
            Method::Ed25519 => {
                "a PKCS #8 PEM of an Ed25519 key, or the 32 bytes of one in hex or base64"
            }
        })
    }
}

impl RsaNumbers {
    /// PKCS #1 v1.5 with SHA-1 (RFC 8017, section 8.2.1), which the library does not make.
    fn sign_sha1(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        const SHA1_INFO: [u8; 15] =
            [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0, 0x04, 20];
        let unfit = || SignError::PrivateKey("able to sign");
        let len = self.modulus.len();
        let hashed = [&SHA1_INFO[..], &sha1::Sha1::digest(text)].concat();
        let filling = len.checked_sub(hashed.len() + 3).ok_or_else(unfit)?;
        let padded = [&[0, 1][..], &vec![0xff; filling], &[0], &hashed].concat();
        let bits = u32::try_from(len * 8).map_err(|_| unfit())?;
        let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).map_err(|_| unfit());
        let modulus: Option<Odd<BoxedUint>> = Odd::new(number(&self.modulus)?).into();
        let parameters = BoxedMontyParams::new(modulus.ok_or_else(unfit)?);
        let power = BoxedMontyForm::new(number(&padded)?, &parameters)
            .pow(&number(&self.private_exponent)?);
        let signature = power.retrieve().to_be_bytes();
        signature.get(signature.len().saturating_sub(len)..).map(<[u8]>::to_vec).ok_or_else(unfit)
    }
}

/// The certificates of a PEM text as DER, in their order: of the key first, then those above it.
pub(super) fn certificates(text: &[u8]) -> Vec<Vec<u8>> {
    let all = x509_parser::pem::Pem::iter_from_buffer(text).map_while(Result::ok);
    all.filter(|pem| pem.label == "CERTIFICATE").map(|pem| pem.contents).collect()
}

/// The first block with this label, its lines around it included.
fn block<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let end = format!("-----END {label}-----");
    let start = text.find(&format!("-----BEGIN {label}-----"))?;
    let rest = text.get(start..)?;
    rest.get(..rest.find(&end)? + end.len())
}
