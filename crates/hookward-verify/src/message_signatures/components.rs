//! The signature base: one line per covered component, with its value.

use super::fields::{Component, Input, signatures_of};
use crate::fault::Fault;
use crate::verify::Inputs;
use http::HeaderName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Digest as _;
use url::Url;

/// The characters of a query parameter that RFC 9421, section 2.2.8, does not encode.
const PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The text that was signed.
///
/// # Errors
/// [`Fault::SignatureMissing`] if a covered header is absent; [`Fault::SignatureMalformed`] if a
/// component does not exist in requests.
pub(super) fn base(inputs: &Inputs<'_>, input: &Input) -> Result<Vec<u8>, Fault> {
    let mut text = Vec::new();
    for component in &input.components {
        text.extend_from_slice(component.text.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(&value(inputs, component)?);
        text.push(b'\n');
    }
    text.extend_from_slice(b"\"@signature-params\": ");
    text.extend_from_slice(input.text.as_bytes());
    Ok(text)
}

fn value(inputs: &Inputs<'_>, component: &Component) -> Result<Vec<u8>, Fault> {
    let head = inputs.head;
    let query = || head.query.map_or_else(String::new, |query| format!("?{query}"));
    let text = match component.name.as_str() {
        "@method" => head.method.as_str().to_owned(),
        "@path" => head.path.to_owned(),
        "@query" => format!("?{}", head.query.unwrap_or_default()),
        "@request-target" => format!("{}{}", head.path, query()),
        "@target-uri" => match &inputs.source.public_url {
            Some(url) => format!("{url}{}", query()),
            None => format!("https://{}{}{}", authority(inputs)?, head.path, query()),
        },
        "@authority" => authority(inputs)?,
        "@scheme" => match &inputs.source.public_url {
            Some(url) if url.starts_with("http://") => "http".to_owned(),
            _ => "https".to_owned(),
        },
        "@query-param" => query_parameter(inputs, component)?,
        name if name.starts_with('@') => {
            return Err(Fault::malformed("the signature covers what no request has"));
        }
        name => return header(inputs, name),
    };
    Ok(text.into_bytes())
}

/// The lines of a header, each without the space around it, as one value.
fn header(inputs: &Inputs<'_>, name: &str) -> Result<Vec<u8>, Fault> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .ok()
        .filter(|parsed| parsed.as_str() == name)
        .ok_or_else(|| {
            Fault::malformed("the signature covers what is no header's name in lower case")
        })?;
    let lines: Vec<&[u8]> = inputs.head.values(&parsed).map(<[u8]>::trim_ascii).collect();
    if lines.is_empty() {
        return Err(Fault::SignatureMissing(
            format!("the signature covers the header `{parsed}`, which is absent").into(),
        ));
    }
    Ok(lines.join(&b", "[..]))
}

/// Host and port as given to the sender, without the default port of https.
fn authority(inputs: &Inputs<'_>) -> Result<String, Fault> {
    if let Some(url) = inputs.source.public_url.as_deref().and_then(|url| Url::parse(url).ok()) {
        let host = url.host_str().unwrap_or_default();
        return Ok(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
    }
    let host = header(inputs, "host")?;
    let host = String::from_utf8_lossy(&host).to_ascii_lowercase();
    Ok(host.strip_suffix(":443").map_or_else(|| host.clone(), str::to_owned))
}

fn query_parameter(inputs: &Inputs<'_>, component: &Component) -> Result<String, Fault> {
    let name = component.parameter.as_deref().unwrap_or_default();
    let query = inputs.head.query.unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter(|(own, _)| utf8_percent_encode(own, PARAMETER).to_string() == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(utf8_percent_encode(&value, PARAMETER).to_string()),
        _ => Err(Fault::mismatch(
            "a query parameter that is covered is absent, or there twice".to_owned(),
        )),
    }
}

/// Checks that every known digest in `Content-Digest` matches the body, and that there is at least
/// one.
///
/// # Errors
/// [`Fault::SignatureMalformed`], [`Fault::SignatureMismatch`].
pub(super) fn body_is_digested(inputs: &Inputs<'_>, body: &[u8]) -> Result<(), Fault> {
    let text = header(inputs, "content-digest")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let digests =
        signatures_of(&text).ok_or_else(|| Fault::malformed("`Content-Digest` does not parse"))?;
    let mut known = 0;
    for (algorithm, stated) in &digests {
        let digest = match algorithm.as_str() {
            "sha-256" => sha2::Sha256::digest(body).to_vec(),
            "sha-512" => sha2::Sha512::digest(body).to_vec(),
            _ => continue,
        };
        known += 1;
        if digest != *stated {
            return Err(Fault::mismatch("`Content-Digest` is not that of the body".to_owned()));
        }
    }
    if known == 0 {
        return Err(Fault::mismatch("`Content-Digest` has neither sha-256 nor sha-512".to_owned()));
    }
    Ok(())
}
