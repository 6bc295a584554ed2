//! Tables for signatures of RFC 9421.

use super::super::table::quote;
use super::super::urls::public_urls;
use super::super::{combinations, envelope};
use super::proposal::{Proposal, list};
use super::question::PublishedQuestion;
use super::tokens::under_each_form;
use crate::request::RequestHead;
use crate::senders::discover::found::FoundScheme;
use crate::senders::discover::trial::source_of;
use hookward_verify::fault::FaultKind;
use hookward_verify::message_signatures::{Covered, covered};
use hookward_verify::scheme::{EventRule, Part, Place, Template};

/// The table for a signature of RFC 9421 that the key at hand made.
pub(super) fn find(question: &PublishedQuestion<'_>, why: &mut Vec<String>) -> Option<FoundScheme> {
    if question.key.is_certificate() {
        return None;
    }
    let mut base = Proposal { secrets: Some(question.names.secrets()), ..Proposal::default() };
    if question.key.set().is_some() {
        base.secrets =
            Some("[{ jwks = \"https://sender.example/.well-known/jwks.json\" }]".to_owned());
        base.remarks.push(
            "The URL in `jwks` is a guess: state the one that the key set comes from.".to_owned(),
        );
    }
    match proposals(question.head, question.body, &base) {
        Ok(proposals) => {
            under_each_form(question, proposals.into_iter()).iter().find_map(|proposal| {
                match question.proven(proposal) {
                    Ok(found) => Some(found),
                    Err(what) => {
                        why.push(format!("the signature of RFC 9421: {what}"));
                        None
                    }
                }
            })
        }
        Err(reasons) => {
            why.extend(reasons);
            None
        }
    }
}

/// Tables for each signature of a delivery, with whatever signs left to `base`.
///
/// # Errors
/// Why there is none; nothing, where the delivery has no such signature.
fn proposals(
    head: &RequestHead,
    body: &[u8],
    base: &Proposal,
) -> Result<Vec<Proposal>, Vec<String>> {
    let blank = source_of(combinations::unsigned(), &head.path, None);
    let signatures = covered(&blank.sender, head.view()).map_err(|fault| match fault.kind() {
        FaultKind::SignatureMissing if !has_either(head) => Vec::new(),
        _ => vec![format!("the signature of RFC 9421: {fault}")],
    })?;
    let mut all = Vec::new();
    for signature in signatures {
        all.extend(of_signature(head, body, base, &signature));
    }
    Ok(all)
}

fn has_either(head: &RequestHead) -> bool {
    head.headers.contains("signature-input")
}

fn of_signature(
    head: &RequestHead,
    body: &[u8],
    base: &Proposal,
    signature: &Covered,
) -> Vec<Proposal> {
    let mut proposal = base.clone();
    let wanted =
        signature.components.iter().map(String::as_str).filter(|name| *name != "@query-param");
    let wanted: Vec<&str> = wanted.collect();
    proposal.state("algorithm", "http-message-signatures");
    proposal.signature.push(("components", list(wanted.iter().copied())));
    let covers_body = wanted.contains(&"content-digest");
    if !covers_body {
        proposal.remarks.push(
            "The signature does not cover the body (no `content-digest`): anyone who has one delivery \
             can send any body with it until it is too old."
                .to_owned(),
        );
    }
    if !signature.is_dated {
        proposal.remarks.push("The signature does not say when it was made.".to_owned());
        proposal.timestamp.push(("max_age", quote("off")));
    }
    let signed = Template(if covers_body { vec![Part::Body] } else { Vec::new() });
    let rules = [
        envelope::guess(head, body, &signed),
        EventRule { id: vec![Place::BodySha256], ..EventRule::default() },
    ];
    let needs_url =
        wanted.iter().any(|name| matches!(*name, "@authority" | "@target-uri" | "@scheme"));
    let urls = std::iter::once(None)
        .chain(needs_url.then(|| public_urls(head, None)).into_iter().flatten().map(Some));
    let mut all = Vec::new();
    for public_url in urls {
        for event in &rules {
            all.push(Proposal {
                public_url: public_url.clone(),
                event: Some(event.clone()),
                ..proposal.clone()
            });
        }
    }
    all
}
