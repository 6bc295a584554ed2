//! A fragment in the `:path` of an HTTP/2 request, found in its header block.
//!
//! A path must not have one (RFC 9113 section 8.3.1), but the library behind `h2` silently removes
//! it. So the block is parsed here as far as necessary: representations are distinguished, and the
//! value of a literal `:path` is checked (RFC 7541 sections 5 and 6). Nothing is kept from one
//! block to the next. A path whose *name* is in the sender's dynamic table is not recognised; its
//! fragment is removed, and the path without it is checked and forwarded.

/// Bytes of a header block that are looked at. Paths come first, and are shorter.
const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// Flags of a `HEADERS` frame, RFC 9113 section 6.2.
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The index of `:path` in the static table, RFC 7541 appendix A.
const PATHS: [usize; 2] = [4, 5];

/// `:path` as a literal name, plain and in Huffman's code.
const NAMES: [&[u8]; 2] = [b":path", &[0xb9, 0x58, 0xd3, 0x3f]];

/// The codes of RFC 7541 appendix B, which are consecutive for each length: length in bits, first
/// code, how many. Longer ones encode nothing that is allowed in a path.
const CODES: [(u8, u32, u32); 11] = [
    (5, 0x0, 10),
    (6, 0x14, 26),
    (7, 0x5c, 32),
    (8, 0xf8, 6),
    (10, 0x3f8, 5),
    (11, 0x7fa, 3),
    (12, 0xffa, 2),
    (13, 0x1ff8, 6),
    (14, 0x3ffc, 2),
    (15, 0x7ffc, 3),
    (19, 0x7fff0, 3),
];

/// The code of `#`.
const NUMBER_SIGN: (u8, u32) = (12, 0xffa);

/// A header block as it arrives.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Flags of its `HEADERS` frame.
    flags: u8,
}

impl Block {
    /// A `HEADERS` frame begins.
    pub(super) fn begin(&mut self, flags: u8) {
        self.bytes.clear();
        self.flags = flags;
    }

    /// Takes some of the payload of `HEADERS` or of a `CONTINUATION` behind it.
    pub(super) fn take(&mut self, payload: &[u8]) {
        let room = MAX_BLOCK_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(payload.get(..room).unwrap_or(payload));
    }

    /// Whether the block that is whole now has a `:path` with a fragment. Forgets it.
    pub(super) fn has_fragment(&mut self) -> bool {
        let bytes = std::mem::take(&mut self.bytes);
        let behind =
            usize::from(self.flags & PADDED != 0) + 5 * usize::from(self.flags & PRIORITY != 0);
        // Padding behind the block reads as an index of 0, which ends the walk.
        bytes.get(behind..).and_then(walk).unwrap_or(false)
    }
}

/// Whether a literal `:path` has a `#`; `None` where the block ends in the middle of something.
fn walk(mut block: &[u8]) -> Option<bool> {
    while let Some(&first) = block.first() {
        let (name_bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40..=0x7f => (6, true),
            0x20..=0x3f => (5, false),
            0..=0x1f => (4, true),
        };
        let index = integer(&mut block, name_bits)?;
        if !is_literal {
            if first == 0x80 {
                return None;
            }
            continue;
        }
        let is_path = match index {
            0 => {
                let (name, is_coded) = text(&mut block)?;
                NAMES.get(usize::from(is_coded)).is_some_and(|path| *path == name)
            }
            index => PATHS.contains(&index),
        };
        let (value, is_coded) = text(&mut block)?;
        let found = if is_coded { has_code_of_number_sign(value) } else { value.contains(&b'#') };
        if is_path && found {
            return Some(true);
        }
    }
    Some(false)
}

/// RFC 7541 section 5.1.
fn integer(block: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (&first, mut rest) = block.split_first()?;
    let most = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(first) & most;
    let mut shift = 0;
    if value == most {
        loop {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
            value = value.checked_add(usize::from(byte & 0x7f) << shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
    }
    *block = rest;
    Some(value)
}

/// RFC 7541 section 5.2: the bytes, and whether they are in Huffman's code.
fn text<'b>(block: &mut &'b [u8]) -> Option<(&'b [u8], bool)> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((text, is_coded))
}

fn has_code_of_number_sign(coded: &[u8]) -> bool {
    let (mut code, mut length) = (0_u32, 0_u8);
    for byte in coded {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            if (length, code) == NUMBER_SIGN {
                return true;
            }
            let is_whole = CODES.iter().any(|&(of_length, first, count)| {
                length == of_length && (first..first + count).contains(&code)
            });
            if is_whole {
                (code, length) = (0, 0);
            } else if length > 19 {
                return false;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(block: &[u8]) -> bool {
        let mut whole = Block::default();
        whole.begin(0);
        for byte in block {
            whole.take(&[*byte]);
        }
        whole.has_fragment()
    }

    /// `:path: /in#x` and `/in` in every form that a literal has.
    #[test]
    fn a_fragment_is_found_however_the_path_is_written() {
        // "/in#x" and "/in-x" in Huffman's code.
        let with = [0x60, 0xd5, 0x7f, 0xd7, 0x9f];
        let without = [0x60, 0xd5, 0x2d, 0xe7];
        for first in [0x44, 0x45, 0x04, 0x05, 0x14, 0x15] {
            assert!(found(&[&[first, 5], &b"/in#x"[..]].concat()), "{first:x}");
            assert!(!found(&[&[first, 5], &b"/in-x"[..]].concat()), "{first:x}");
            assert!(found(&[&[first, 0x85], &with[..]].concat()), "{first:x}");
            assert!(!found(&[&[first, 0x84], &without[..]].concat()), "{first:x}");
        }
        for name in [&b"\x05:path"[..], b"\x84\xb9\x58\xd3\x3f"] {
            for first in [0x40, 0x00, 0x10] {
                assert!(found(&[&[first], name, b"\x05/in#x"].concat()), "{name:x?}");
            }
        }
    }

    #[test]
    fn only_a_path_has_no_fragment_and_what_is_no_block_is_not_judged_here() {
        let path = b"\x04\x05/in#x";
        for before in [&b"\x83\x87"[..], b"\x3f\xe1\x1f", b"\x41\x04test", b"\x00\x01x\x03a#b"] {
            assert!(found(&[before, path].concat()), "{before:x?}");
            assert!(!found(before), "{before:x?}");
        }
        for odd in [&b"\x04\x7f\xff\xff\xff\xff\xff\xff"[..], b"\x80", b"\xff", b"\x04\x20#", b""] {
            assert!(!found(odd), "{odd:x?}");
        }
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_block() {
        for (flags, before) in [(PADDED, 1), (PRIORITY, 5), (PADDED | PRIORITY, 6)] {
            let mut block = Block::default();
            block.begin(flags);
            block.take(&vec![0; before]);
            block.take(b"\x04\x05/in#x");
            assert!(block.has_fragment());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = found(&bytes);
        }
    }
}
