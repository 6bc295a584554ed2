//! The claims of a token: audience, issuer, body and time.

use crate::fault::Fault;
use crate::json::read_raw;
use crate::scheme::{ClaimRule, Pointer, SignatureRule, TimeFormat, TimestampPlace, TimestampRule};
use crate::verify::decode_signature;
use crate::verify::freshness::parse_time;
use hookward_time::UnixMillis;
use serde_json::{Map, Value};

/// Whether the claims satisfy the rule.
///
/// # Errors
/// [`Fault::SignatureMismatch`], naming the claim; [`Fault::SignatureMalformed`] for a hash of the body
/// that does not decode.
pub(super) fn judge(
    rule: &SignatureRule,
    claims: &Map<String, Value>,
    body: &[u8],
) -> Result<(), Fault> {
    let token = &rule.token;
    if !token.audience.is_empty() {
        let named: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !token.audience.iter().any(|wanted| named.contains(&wanted.as_str())) {
            return Err(Fault::mismatch("the token is for another audience".to_owned()));
        }
    }
    if !token.issuer.is_empty() {
        let issuer = claims.get("iss").and_then(Value::as_str);
        if !token.issuer.iter().any(|wanted| issuer == Some(wanted)) {
            return Err(Fault::mismatch("the token is of another issuer".to_owned()));
        }
    }
    let whole = Value::Object(claims.clone());
    for claim in &rule.claims {
        if !is_one_of(&whole, claim) {
            let detail = format!("`{}` of the token is not what the source wants", claim.pointer);
            return Err(Fault::mismatch(detail));
        }
    }
    if let Some(name) = &token.body_claim {
        let stated = claims.get(name).and_then(Value::as_str);
        let stated = stated.ok_or_else(|| Fault::mismatch(format!("the token has no `{name}`")))?;
        let hash = decode_signature(rule.encoding, stated)
            .ok_or_else(|| Fault::malformed(&format!("`{name}` of the token does not decode")))?;
        if hash != crate::keys::sha256(body) {
            return Err(Fault::mismatch("the token was made for another body".to_owned()));
        }
    }
    Ok(())
}

/// Whether the member that a claim names is one of its values.
pub(crate) fn is_one_of(document: &Value, claim: &ClaimRule) -> bool {
    let mut member = Some(document);
    for name in claim.pointer.tokens() {
        member = member.and_then(|value| match value {
            Value::Object(members) => members.get(name),
            Value::Array(values) => values.get(name.parse::<usize>().ok()?),
            _ => None,
        });
    }
    let text = match member {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => return false,
    };
    claim.values.contains(&text)
}

/// When the token was made, according to itself; `None` if the source does not check it.
///
/// # Errors
/// [`Fault::TimestampMissing`], [`Fault::TimestampMalformed`].
pub(super) fn sent(
    rule: Option<&TimestampRule>,
    payload: &[u8],
) -> Result<Option<UnixMillis>, Fault> {
    let Some(TimestampRule { from: TimestampPlace::Claim(pointer), format, max_age, .. }) = rule
    else {
        return Ok(None);
    };
    let raw = read_raw(payload, &[pointer])?.pop().flatten().filter(|raw| *raw != "null");
    let Some(raw) = raw else {
        let missing = Fault::TimestampMissing(format!("the token has no `{pointer}`").into());
        return if max_age.is_some() { Err(missing) } else { Ok(None) };
    };
    let text = raw.trim_matches('"');
    // RFC 7519 allows fractions of seconds.
    let whole = match format {
        TimeFormat::Unix => text.split('.').next().unwrap_or(text),
        TimeFormat::UnixMs | TimeFormat::Rfc3339 => text,
    };
    parse_time(*format, whole).map(Some).ok_or_else(|| {
        Fault::TimestampMalformed(format!("`{pointer}` of the token is not {format}").into())
    })
}

/// A time claim in seconds.
///
/// # Errors
/// [`Fault::TimestampMalformed`].
pub(super) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<UnixMillis>, Fault> {
    let bad = || Fault::TimestampMalformed(format!("`{name}` of the token is no time").into());
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let text = number.to_string();
            let whole = text.split('.').next().unwrap_or(&text);
            parse_time(TimeFormat::Unix, whole).map(Some).ok_or_else(bad)
        }
        Some(_) => Err(bad()),
    }
}

/// The place of a token's `iat`, if a configuration names no other.
pub(crate) fn issued_at() -> TimestampPlace {
    TimestampPlace::Claim(Pointer::of(&["iat"]))
}
