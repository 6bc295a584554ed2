//! What computes a signature, and how signatures and keys are written.

/// What computes a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-1, for senders that offer nothing better.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Plain SHA-256 of a signed text that contains `{secret}`.
    Sha256,
    /// Plain SHA-1 of a signed text that contains `{secret}`.
    Sha1,
    /// Ed25519; the secrets are public keys of 32 bytes.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, DER signatures; the secrets are public keys (SPKI).
    EcdsaP256Sha256,
    /// A fixed token that is compared with the secret itself; nothing is signed.
    Token,
    /// RSA, PKCS #1 v1.5 with SHA-1, for senders that offer nothing better.
    RsaSha1,
    /// RSA, PKCS #1 v1.5 with SHA-256.
    RsaSha256,
    /// A JSON Web Token (RFC 7519) in compact form.
    Jwt,
    /// HTTP Message Signatures (RFC 9421).
    HttpMessageSignatures,
}

impl Algorithm {
    /// Every algorithm with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 13] = [
        ("hmac-sha1", Self::HmacSha1),
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
        ("sha256", Self::Sha256),
        ("sha1", Self::Sha1),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256-sha256", Self::EcdsaP256Sha256),
        ("token", Self::Token),
        ("rsa-sha1", Self::RsaSha1),
        ("rsa-sha256", Self::RsaSha256),
        ("jwt", Self::Jwt),
        ("http-message-signatures", Self::HttpMessageSignatures),
    ];

    /// Whether signatures are checked with a public key, so that a check costs more than a hash.
    #[must_use]
    pub const fn is_public_key(self) -> bool {
        match self {
            Self::Ed25519
            | Self::EcdsaP256Sha256
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::Jwt
            | Self::HttpMessageSignatures => true,
            Self::HmacSha1
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512
            | Self::Sha256
            | Self::Sha1
            | Self::Token => false,
        }
    }

    /// How many bytes a signature has; `None` if it varies.
    #[must_use]
    pub const fn signature_len(self) -> Option<usize> {
        match self {
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 | Self::Ed25519 => Some(64),
            Self::EcdsaP256Sha256
            | Self::Token
            | Self::RsaSha1
            | Self::RsaSha256
            | Self::Jwt
            | Self::HttpMessageSignatures => None,
        }
    }
}

/// How bytes are written as text in a signature header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Either case, right length.
    Hex,
    /// RFC 4648 section 4; canonical, with or without padding.
    Base64,
    /// RFC 4648 section 5; canonical, with or without padding.
    Base64Url,
}

impl Encoding {
    /// Every encoding with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];
}

/// How the text of a secret becomes the bytes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The text is the key.
    Text,
    /// Hex, either case.
    Hex,
    /// Base64 or base64url, leniently: padding may be missing and spare bits may be set.
    Base64,
}

impl KeyForm {
    /// Every form with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 3] =
        [("text", Self::Text), ("hex", Self::Hex), ("base64", Self::Base64)];
}
