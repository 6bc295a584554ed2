//! Signatures as text, read strictly.
//!
//! Anyone can send a signature. If two texts meant the same signature, a copy could be disguised as
//! a different delivery.

use crate::scheme::Encoding;
use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE,
};

/// The bytes of an encoded signature; `None` if the text is not exactly one valid encoding.
///
/// Hex may be in either case; base64 and base64url must be canonical, with complete padding or
/// none.
pub fn decode_signature(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
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

/// A signature as senders encode it: lower-case hex, padded base64, or unpadded base64url.
pub(crate) fn encode_signature(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => HEXLOWER.encode(bytes),
        Encoding::Base64 => BASE64.encode(bytes),
        Encoding::Base64Url => BASE64URL_NOPAD.encode(bytes),
    }
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

    proptest! {
        #[test]
        fn every_signature_is_read_back(bytes in prop::collection::vec(any::<u8>(), 1..70)) {
            for (_, encoding) in Encoding::NAMES {
                let text = encode_signature(encoding, &bytes);
                prop_assert_eq!(decode_signature(encoding, &text), Some(bytes.clone()));
            }
        }
    }
}
