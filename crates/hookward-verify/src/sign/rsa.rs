//! Signatures with an RSA key, for senders that use one.

use super::SignError;
use p256::pkcs8::der::SecretDocument;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};

/// How the hash is wrapped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Padding {
    /// PKCS #1 v1.5.
    Pkcs1,
    /// PSS.
    Pss,
}

/// Signs with a PKCS #8 PEM, by SHA-256.
pub(super) fn sign(pem: &[u8], padding: Padding, text: &[u8]) -> Result<Vec<u8>, SignError> {
    let unfit = || SignError::PrivateKey("a PKCS #8 PEM of an RSA key");
    let pem = std::str::from_utf8(pem).map_err(|_| unfit())?;
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| unfit())?;
    let key = RsaKeyPair::from_pkcs8(document.as_bytes()).map_err(|_| unfit())?;
    let padding: &'static dyn RsaEncoding = match padding {
        Padding::Pkcs1 => &RSA_PKCS1_SHA256,
        Padding::Pss => &RSA_PSS_SHA256,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), text, &mut signature).map_err(|_| unfit())?;
    Ok(signature)
}
