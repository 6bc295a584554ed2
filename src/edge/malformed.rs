//! The refusals of what is not well-formed HTTP, and what a token is.

use crate::outcome::{Malformed, Reason, Refusal};

pub(super) fn bad(detail: &'static str) -> Refusal {
    Refusal::because(Reason::BadRequest, detail)
}

pub(super) fn unexpected() -> Refusal {
    Refusal::malformed(Malformed::Expectation, "an Expect that is not 100-continue")
}

pub(super) fn too_large(detail: &'static str) -> Refusal {
    Refusal::malformed(Malformed::HeadTooLarge, detail)
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    static TOKENS: [bool; 256] = tokens();
    TOKENS.get(usize::from(byte)).is_some_and(|is_one| *is_one)
}

const fn tokens() -> [bool; 256] {
    let mut all = [false; 256];
    let mut rest: &mut [bool] = &mut all;
    let mut byte = 0_u8;
    while let Some((first, behind)) = rest.split_first_mut() {
        *first = is_token_byte(byte);
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    all
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
