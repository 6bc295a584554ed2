//! Key pairs that are made for trying a scheme out.

use super::SignError;
use crate::scheme::{Algorithm, JwtAlgorithm, SignatureRule};
use hookward_secret::Secret;
use p256::pkcs8::der::pem;
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};

/// Both sides of a key pair, as PEM.
#[derive(Debug)]
pub struct NewKeyPair {
    /// PKCS #8: what [`sign`](super::sign()) takes.
    pub private: Secret,
    /// A `PUBLIC KEY`: what a source takes as its secret.
    pub public: String,
}

/// Makes a key pair of a kind that a rule takes: P-256 or Ed25519.
///
/// # Errors
/// [`SignError::KeyPair`]: the rule takes a shared secret or RSA keys only.
pub fn new_key_pair(rule: &SignatureRule) -> Result<NewKeyPair, SignError> {
    let takes = |algorithm| rule.token.algorithms.contains(&algorithm);
    let no_pair = || SignError::KeyPair("the source signs with a shared secret");
    match rule.algorithm {
        Algorithm::Ed25519 | Algorithm::HttpMessageSignatures => ed25519(),
        Algorithm::EcdsaP256Sha256 => p256(),
        Algorithm::Jwt if rule.token.root.is_some() => Err(SignError::KeyPair(
            "its tokens bring a chain of certificates along: make one with openssl, and put the key \
             and the certificates into one file",
        )),
        Algorithm::Jwt if takes(JwtAlgorithm::Es256) => p256(),
        Algorithm::Jwt if takes(JwtAlgorithm::EdDsa) => ed25519(),
        Algorithm::Jwt if takes(JwtAlgorithm::Hs256) => Err(no_pair()),
        Algorithm::RsaSha1 | Algorithm::RsaSha256 | Algorithm::Jwt => Err(SignError::KeyPair(
            "it takes RSA keys: make one with `openssl genpkey -algorithm RSA -pkeyopt \
             rsa_keygen_bits:2048`, and its public side with `openssl pkey -pubout`",
        )),
        _ => Err(no_pair()),
    }
}

const FAILED: SignError = SignError::KeyPair("this machine gives no random numbers");

fn p256() -> Result<NewKeyPair, SignError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| FAILED)?;
    let key = p256::SecretKey::from_pkcs8_der(document.as_ref()).map_err(|_| FAILED)?;
    let public = key.public_key().to_public_key_pem(LineEnding::LF).map_err(|_| FAILED)?;
    Ok(NewKeyPair { private: private_pem(document.as_ref())?, public })
}

fn ed25519() -> Result<NewKeyPair, SignError> {
    // RFC 8410: the SubjectPublicKeyInfo before the 32 bytes of the key.
    const INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| FAILED)?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| FAILED)?;
    let der = [&INFO[..], pair.public_key().as_ref()].concat();
    let public = pem("PUBLIC KEY", &der)?;
    Ok(NewKeyPair { private: private_pem(document.as_ref())?, public })
}

fn private_pem(der: &[u8]) -> Result<Secret, SignError> {
    pem("PRIVATE KEY", der).map(Secret::from)
}

fn pem(label: &'static str, der: &[u8]) -> Result<String, SignError> {
    pem::encode_string(label, LineEnding::LF, der).map_err(|_| FAILED)
}
