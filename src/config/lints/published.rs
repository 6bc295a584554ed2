//! Checks for what a token or a published key alone does not prove: whose event it is, and which
//! body.

use crate::config::source::Draft;
use crate::delivery::source::Source;
use hookward_settings::problem::Severity;
use hookward_settings::reading::TableReader;
use hookward_verify::presets;
use hookward_verify::scheme::{Algorithm, Place, Pointer};
use hookward_verify::sender::KeySiteKind;

/// What a token does not cover.
pub(super) fn tokens(source: &Source, table: &TableReader<'_>) {
    let rule = &source.sender.scheme.signature;
    let is_the_body = rule.places.iter().any(|place| matches!(place, Place::Json(_)));
    if rule.token.body_claim.is_none() && !is_the_body {
        let what = "the token does not cover the body: anyone who has one can send any body with \
                    it until it is too old; `body_claim` names the claim with the body's hash";
        table.note(Severity::Warning, "signature", what, None);
    }
    // A key that is requested by its id is given only to the sender's customers, with their
    // credentials.
    let is_shared =
        source.sender.key_sites.iter().any(|site| matches!(site.kind, KeySiteKind::Set));
    if is_shared && rule.token.audience.is_empty() {
        let what = "any `aud` is accepted, even a token that the sender made for another \
                    receiver; set `audience`";
        table.note(Severity::Warning, "signature.audience", what, None);
    }
    // Who states a set of their own knows who signs with it; a preset's is everybody's.
    if is_shared && rule.token.issuer.is_empty() && source.sender.preset.is_some() {
        let what = "any `iss` is accepted: the sender signs for its other customers with the same keys; \
                    state `issuer`";
        table.note(Severity::Warning, "signature.issuer", what, None);
    }
}

/// If anyone can have an account at a sender, the configuration must say whose events to accept.
pub(super) fn owners(source: &Source, draft: &Draft<'_>, table: &TableReader<'_>) {
    let rule = &source.sender.scheme.signature;
    let preset = draft.preset.as_ref().and_then(|preset| presets::named(preset.name));
    let wanted = preset.map_or(&[][..], |preset| &preset.about.whose);
    let Some(first) = wanted.first() else { return };
    let is_stated = wanted.iter().any(|wanted| {
        let pointer = Pointer::parse(&format!("/{}", wanted.trim_start_matches('/')));
        rule.claims.iter().any(|claim| Ok(&claim.pointer) == pointer.as_ref())
    });
    if !is_stated && (rule.algorithm == Algorithm::Jwt || rule.certificate.is_some()) {
        let what = format!(
            "`{first}` is not stated: a genuine event of anybody's account with the sender passes"
        );
        table.note(Severity::Warning, "signature.claims", &what, None);
    }
}
