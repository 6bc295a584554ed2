//! Tables for RSA signatures that a public key or a certificate checks, of senders that no preset
//! knows.

use super::proposal::Proposal;
use super::question::PublishedQuestion;
use crate::senders::discover::candidates::{strings_in, telling_headers};
use crate::senders::discover::combinations::{Hit, hits};
use crate::senders::discover::envelope;
use crate::senders::discover::found::FoundScheme;
use crate::senders::discover::search::with_public_key;
use crate::senders::discover::table::{quote, signature_keys};
use data_encoding::BASE64;
use hookward_secret::{NamedSecret, Secret};
use hookward_verify::scheme::{EventRule, Place};
use url::Url;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The longest URL that a body is searched for.
const LONGEST_URL: usize = 2048;

/// The table for a signature that the key at hand made over some text of the delivery.
pub(super) fn find(question: &PublishedQuestion<'_>, why: &mut Vec<String>) -> Option<FoundScheme> {
    if question.key.is_public_key() {
        return with_public_key(question.head, question.body, question.key.bytes(), question.names);
    }
    question.key.certificate()?;
    let key = Secret::from(BASE64.encode(&public_key_of(question.key.bytes())?));
    let key = NamedSecret { label: "0".to_owned(), text: key };
    let hits = hits(question.head, question.body, &key);
    if hits.is_empty() {
        return None;
    }
    let urls = urls_of_certificates(question);
    if urls.is_empty() {
        why.insert(0, format!(
            "the certificate's key made the signature, and the delivery does not say where the \
             certificate is, so nothing would be fetched: take the key out of it with `openssl x509 \
             -in {} -noout -pubkey`, and run this again with that",
            question.names.file
        ));
        return None;
    }
    hits.iter().find_map(|hit| {
        urls.iter().find_map(|(place, url)| {
            proposals(question, hit, place, url)
                .iter()
                .find_map(|proposal| question.proven(proposal).map_err(|what| why.push(what)).ok())
        })
    })
}

/// The DER of the public key in a certificate.
fn public_key_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let der = match x509_parser::pem::parse_x509_pem(certificate) {
        Ok((_, pem)) => pem.contents,
        Err(_) => certificate.to_vec(),
    };
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// The places of the delivery that hold a URL with a path.
fn urls_of_certificates(question: &PublishedQuestion<'_>) -> Vec<(Place, Url)> {
    let headers = telling_headers(question.head)
        .map(|(name, value)| (Place::Header(name.clone()), value.to_owned()));
    let members = strings_in(question.body, LONGEST_URL)
        .into_iter()
        .map(|(pointer, text)| (Place::Json(pointer), text));
    let is_one = |(place, text): (Place, String)| {
        let url = Url::parse(&text).ok()?;
        let fits = url.scheme() == "https" && url.domain().is_some() && url.path().len() > 1;
        (fits && url.query().is_none()).then_some((place, url))
    };
    let mut found: Vec<(Place, Url)> = headers.chain(members).filter_map(is_one).collect();
    let says_so = |url: &Url| {
        let path = url.path().to_ascii_lowercase();
        ["cert", ".pem", ".crt", ".cer"].iter().any(|word| path.contains(word))
    };
    found.sort_by_key(|(_, url)| !says_so(url));
    found
}

fn proposals(
    question: &PublishedQuestion<'_>,
    hit: &Hit,
    place: &Place,
    url: &Url,
) -> Vec<Proposal> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut proposal = Proposal { public_url: hit.public_url.clone(), ..Proposal::default() };
    proposal.signature = signature_keys(&hit.signature);
    proposal.state("key_url", &place.to_string());
    proposal.signature.push(("key_hosts", format!("[{}]", quote(&host))));
    proposal.state("key_path", url.path());
    proposal.remarks.push(
        "Only this one certificate is pinned: let a `*` in `key_path` stand for what changes with \
         the next."
            .to_owned(),
    );
    if let Some(rule) = &hit.timestamp {
        proposal.timestamp.push(("from", quote(&rule.from.to_string())));
        proposal.timestamp.push(("format", quote(&rule.format.to_string())));
    }
    let guess = envelope::guess(question.head, question.body, &hit.signature.signed);
    let bare = EventRule { id: vec![Place::BodySha256], ..EventRule::default() };
    [guess, bare].map(|event| Proposal { event: Some(event), ..proposal.clone() }).to_vec()
}
