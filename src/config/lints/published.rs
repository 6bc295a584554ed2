//! Whose event it may be, and which body: what a token or a published key alone does not say.

use crate::config::source::Draft;
use crate::delivery::source::Source;
use hookward_settings::problem::Severity;
use hookward_settings::reading::TableReader;
use hookward_verify::presets;
use hookward_verify::scheme::{Algorithm, Place, Pointer};
use hookward_verify::sender::KeySiteKind;

/// What a token leaves open.
pub(super) fn tokens(source: &Source, table: &TableReader<'_>) {
    let rule = &source.sender.scheme.signature;
    let is_the_body = rule.places.iter().any(|place| matches!(place, Place::Json(_)));
    if rule.token.body_claim.is_none() && !is_the_body {
        let what = "the token says nothing of the body: whoever has one can send any body with it \
                    until it is too old; `body_claim` names the claim that holds the body's hash";
        table.note(Severity::Warning, "signature", what, None);
    }
    // A key that is asked for by its id is given to the sender's customers, each with credentials.
    let is_shared =
        source.sender.key_sites.iter().any(|site| matches!(site.kind, KeySiteKind::Set));
    if is_shared && rule.token.audience.is_empty() {
        let what = "any `aud` is taken: a token that the sender made for somebody else's receiver is \
                    as good; state `audience`";
        table.note(Severity::Warning, "signature.audience", what, None);
    }
    // Who states a set of their own knows who signs with it; a preset's is everybody's.
    if is_shared && rule.token.issuer.is_empty() && source.sender.preset.is_some() {
        let what = "any `iss` is taken: the sender signs for its other customers with the same keys; \
                    state `issuer`";
        table.note(Severity::Warning, "signature.issuer", what, None);
    }
}

/// Senders that everybody can have an account with need to be told whose events are wanted.
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
