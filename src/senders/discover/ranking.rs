//! Decides which of several answers is better.

use hookward_verify::presets::{self, Preset};
use hookward_verify::scheme::{Algorithm, Part, SignatureRule};
use std::cmp::Reverse;

/// The strength of a signature; more is better. If a sender signs in several ways at once, a
/// receiver that accepts a weaker one lets an attacker choose it.
pub(super) fn worth(rule: &SignatureRule) -> impl Ord + use<> {
    let signs_time = rule.signed.any(|part| *part == Part::Timestamp);
    (is_strong(rule), signs_time, strength(rule.algorithm))
}

/// Whether nothing speaks against the algorithm.
pub(super) const fn is_strong(rule: &SignatureRule) -> bool {
    strength(rule.algorithm) >= strength(Algorithm::HmacSha256)
}

const fn strength(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Token => 0,
        Algorithm::Sha1 => 1,
        Algorithm::HmacSha1 => 2,
        Algorithm::Sha256 => 3,
        Algorithm::HmacSha256 => 4,
        Algorithm::HmacSha384 => 5,
        Algorithm::HmacSha512 => 6,
        Algorithm::Ed25519
        | Algorithm::EcdsaP256Sha256
        | Algorithm::RsaSha1
        | Algorithm::RsaSha256
        | Algorithm::Jwt
        | Algorithm::HttpMessageSignatures => 7,
    }
}

/// Every preset, in the order in which those that fit alike are named: the scheme's own name before
/// those of senders who use it, then what is better confirmed.
pub(crate) fn presets() -> Vec<&'static Preset> {
    let mut all: Vec<_> = presets::all().collect();
    all.sort_by_key(|preset| (Reverse(preset.about.generic), preset.about.confidence));
    all
}
