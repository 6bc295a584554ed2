//! Keys as text, read leniently.
//!
//! Users copy keys from the sender's dashboard, and vendors issue base64 without padding and with
//! spare bits set, so decoding is lenient.

use crate::scheme::KeyForm;
use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

/// Whether a text looks like PEM.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN")
}

/// Why a text is not the public key of Ed25519.
pub(super) const NOT_ED25519: &str = "is no Ed25519 public key: it must be 32 bytes, with `key = \"hex\"` or \
                           \"base64\", or a PEM `PUBLIC KEY`";

/// The bytes of a key; an error is the rest of a sentence that starts with the secret.
pub(super) fn decode_key(form: KeyForm, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match form {
        KeyForm::Text => Ok(Zeroizing::new(text.to_vec())),
        KeyForm::Hex => HEXLOWER_PERMISSIVE
            .decode(text.trim_ascii())
            .map(Zeroizing::new)
            .map_err(|_| "is not hex, although `key = \"hex\"` says so"),
        KeyForm::Base64 => decode_lenient_base64(text)
            .map(Zeroizing::new)
            .ok_or("is not base64, which `key = \"base64\"` says it is"),
    }
}

/// Base64 of either alphabet, padded or not, spare bits ignored, white space skipped.
fn decode_lenient_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut digits = 0_usize;
    let body = text.trim_ascii().trim_ascii_end();
    let unpadded = body.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    for &byte in body.get(..unpadded)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => return None,
        };
        digits += 1;
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (digits % 4 != 1).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_read_as_far_as_it_can_be() {
        for (form, text, expected) in [
            (KeyForm::Text, "whsec_ü", Some("whsec_ü".as_bytes().to_vec())),
            (KeyForm::Hex, "00fF", Some(vec![0, 255])),
            (KeyForm::Hex, "00f", None),
            (KeyForm::Base64, "+/8=", Some(vec![0xfb, 0xff])),
            (KeyForm::Base64, "-_8", Some(vec![0xfb, 0xff])),
            (KeyForm::Base64, "+/9", Some(vec![0xfb, 0xff])),
            (KeyForm::Base64, " +/\n8= ", Some(vec![0xfb, 0xff])),
            (KeyForm::Base64, "+/8==", Some(vec![0xfb, 0xff])),
            (KeyForm::Base64, "A", None),
            (KeyForm::Base64, "a*b=", None),
        ] {
            let key = decode_key(form, text.as_bytes()).ok().map(|key| key.to_vec());
            assert_eq!(key, expected, "{form:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_read_back(bytes in prop::collection::vec(any::<u8>(), 1..70)) {
            let key = decode_key(KeyForm::Base64, BASE64URL_NOPAD.encode(&bytes).as_bytes());
            prop_assert_eq!(key.ok().map(|key| key.to_vec()), Some(bytes));
        }
    }
}
