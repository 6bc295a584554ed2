//! Text → bytes: strictly for signatures, leniently for keys.
//!
//! A signature comes from whoever sends; if two texts stood for one signature, a copy could be
//! dressed up as another. A key comes from the sender's dashboard by way of a person, and vendors
//! hand out base64 without padding and with spare bits set, so it is read as far as it can be.

use crate::scheme::{Encoding, KeyForm};
use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE,
};
use zeroize::Zeroizing;

/// The bytes of a signature as written; `None` where the text is not exactly one writing of them.
///
/// Hex is taken in either case; base64 and base64url canonical, with all of its padding or none.
pub(crate) fn decode_signature(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let padded = text.last() == Some(&b'=');
    match (encoding, padded) {
        (Encoding::Hex, _) => HEXLOWER_PERMISSIVE.decode(text),
        (Encoding::Base64, true) => BASE64.decode(text),
        (Encoding::Base64, false) => BASE64_NOPAD.decode(text),
        (Encoding::Base64Url, true) => BASE64URL.decode(text),
        (Encoding::Base64Url, false) => BASE64URL_NOPAD.decode(text),
    }
    .ok()
    .filter(|bytes| !bytes.is_empty())
}

/// A signature as the sender writes it: lower-case hex, padded base64, or unpadded base64url.
pub(crate) fn encode_signature(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => HEXLOWER.encode(bytes),
        Encoding::Base64 => BASE64.encode(bytes),
        Encoding::Base64Url => BASE64URL_NOPAD.encode(bytes),
    }
}

/// The bytes of a key; an error is the rest of a sentence that starts with the secret.
pub(crate) fn decode_key(form: KeyForm, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match form {
        KeyForm::Text => Ok(Zeroizing::new(text.to_vec())),
        KeyForm::Hex => HEXLOWER_PERMISSIVE
            .decode(text.trim_ascii())
            .map(Zeroizing::new)
            .map_err(|_| "is not hex, which `key = \"hex\"` says it is"),
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
    use proptest::prelude::*;

    #[test]
    fn a_signature_has_one_writing_but_for_case_and_padding() {
        for (encoding, text, expected) in [
            (Encoding::Hex, "00fF", Some(vec![0, 255])),
            (Encoding::Hex, "00f", None),
            (Encoding::Hex, "0x00", None),
            (Encoding::Hex, "", None),
            (Encoding::Base64, "+/8=", Some(vec![0xfb, 0xff])),
            (Encoding::Base64, "+/8", Some(vec![0xfb, 0xff])),
            (Encoding::Base64, "+/9=", None), // a spare bit
            (Encoding::Base64, "+/9", None),
            (Encoding::Base64, "-_8", None), // the other alphabet
            (Encoding::Base64, "+w=", None), // half of the padding
            (Encoding::Base64, "+w==", Some(vec![0xfb])),
            (Encoding::Base64, "+/8=\n", None),
            (Encoding::Base64, "+ /8", None),
            (Encoding::Base64Url, "-_8", Some(vec![0xfb, 0xff])),
            (Encoding::Base64Url, "-_8=", Some(vec![0xfb, 0xff])),
            (Encoding::Base64Url, "+/8", None),
            (Encoding::Base64Url, "-_9", None),
            (Encoding::Base64Url, "=", None),
        ] {
            assert_eq!(decode_signature(encoding, text), expected, "{encoding:?} {text}");
        }
    }

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
        fn every_signature_is_read_back(bytes in prop::collection::vec(any::<u8>(), 1..70)) {
            for (_, encoding) in Encoding::NAMES {
                let text = encode_signature(encoding, &bytes);
                prop_assert_eq!(decode_signature(encoding, &text), Some(bytes.clone()));
            }
            let key = decode_key(KeyForm::Base64, BASE64URL_NOPAD.encode(&bytes).as_bytes());
            prop_assert_eq!(key.ok().map(|key| key.to_vec()), Some(bytes));
        }
    }
}
