//! The framing of a chunked body, checked on its raw bytes as they pass.
//!
//! Parsers differ about line feeds in chunk extensions, chunks without a size and what may follow a
//! chunk; a request could hide in the difference. What passes here is read alike by all; the fuzz target
//! holds it against a second decoder. A function of bytes: no socket, no time.
//!
//! Specification: RFC 9112 section 7.1, without its leniencies; of an answer, a size may be padded.

use super::head::MAX_HEADER_LINES;
use super::malformed::is_token;

/// How much more framing than data is allowed. One-byte chunks, as some senders make them, stay
/// below it, because every chunk and every byte of data earn an allowance; framing alone does not.
const EXCESS_BYTES: usize = 16 * 1024;
const EARNED_BY_CHUNK: usize = 16;
const EARNED_BY_BYTE: usize = 2;

/// Digits of a chunk's size; more do not fit 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// The largest size of a chunk, which readers with signed numbers take as well.
const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// The body's framing is not what RFC 9112 says, and the place where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunks: {0}")]
pub struct MalformedChunk(&'static str);

/// Follows the framing of one body. It looks at every framing byte once, and not at data.
#[derive(Debug)]
pub struct ChunkScanner {
    at: At,
    excess: usize,
    trailer_lines: usize,
    /// Old servers write a size before they know it, in a field of spaces.
    may_pad_size: bool,
}

/// Where in a body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { digits: u8, size: u64 },
    SpaceBehindSize { size: u64 },
    Extension { size: u64 },
    SizeLineFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    End,
}

const CHUNK_START: At = At::Size { digits: 0, size: 0 };

impl Default for ChunkScanner {
    fn default() -> Self {
        Self { at: CHUNK_START, excess: 0, trailer_lines: 0, may_pad_size: false }
    }
}

impl ChunkScanner {
    /// For the body of an answer.
    pub fn of_answer() -> Self {
        Self { may_pad_size: true, ..Self::default() }
    }

    /// Looks at the next bytes; how many of them belong to this body, which is fewer than there are
    /// only where it ends.
    ///
    /// # Errors
    /// At the first byte that a stricter or a laxer reader could take for something else.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, MalformedChunk> {
        let mut seen = 0;
        while seen < bytes.len() && !self.is_at_end() {
            let (looked_at, _) = self.decode(bytes.get(seen..).unwrap_or_default())?;
            seen += looked_at;
        }
        Ok(seen)
    }

    /// Looks at the next bytes up to the end of the next data: how many those were, and the data.
    /// Without data it has looked at all of them, or at the last of this body.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<(usize, &'b [u8]), MalformedChunk> {
        let mut rest = bytes;
        while self.at != At::End {
            if let At::Data { left } = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, behind) = rest.split_at(here);
                self.excess = self.excess.saturating_sub(EARNED_BY_BYTE.saturating_mul(here));
                let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                self.at = if left == 0 { At::DataReturn } else { At::Data { left } };
                return Ok((bytes.len() - behind.len(), data));
            }
            let Some((byte, behind)) = rest.split_first() else { break };
            rest = behind;
            self.at = self.step(*byte)?;
            self.excess += 1;
            if self.excess > EXCESS_BYTES {
                return Err(MalformedChunk("more framing than data"));
            }
        }
        Ok((bytes.len() - rest.len(), &[]))
    }

    /// Whether the body was seen to its end.
    pub fn is_at_end(&self) -> bool {
        self.at == At::End
    }

    /// Where the byte after this one is.
    fn step(&mut self, byte: u8) -> Result<At, MalformedChunk> {
        let is_text = !byte.is_ascii_control() || byte == b'\t';
        let next = match (self.at, byte) {
            (At::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                if digits == MAX_SIZE_DIGITS || size > MAX_SIZE >> 4 {
                    return Err(MalformedChunk("a size that nothing has"));
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                At::Size { digits: digits + 1, size: size << 4 | digit }
            }
            (At::Size { digits: 0, .. }, _) => {
                return Err(MalformedChunk("a chunk without a size"));
            }
            (
                At::Size { size, .. } | At::SpaceBehindSize { size } | At::Extension { size },
                b';',
            ) => At::Extension { size },
            (At::Size { size, .. } | At::SpaceBehindSize { size }, b' ' | b'\t') => {
                At::SpaceBehindSize { size }
            }
            (At::Size { size, .. } | At::Extension { size }, b'\r') => At::SizeLineFeed { size },
            (At::SpaceBehindSize { size }, b'\r') if self.may_pad_size => At::SizeLineFeed { size },
            (At::Extension { size }, _) if is_text => At::Extension { size },
            (At::SizeLineFeed { size: 0 }, b'\n') => At::TrailerStart,
            (At::SizeLineFeed { size }, b'\n') => At::Data { left: size },
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => {
                self.excess = self.excess.saturating_sub(EARNED_BY_CHUNK);
                CHUNK_START
            }
            (At::DataReturn | At::DataLineFeed, _) => {
                return Err(MalformedChunk("a chunk that is longer than its size"));
            }
            (At::TrailerStart, b'\r') => At::LastLineFeed,
            (At::TrailerStart | At::TrailerName, _) if is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLineFeed,
            (At::TrailerValue, _) if is_text => At::TrailerValue,
            (At::TrailerLineFeed, b'\n') => {
                self.trailer_lines += 1;
                if self.trailer_lines > MAX_HEADER_LINES {
                    return Err(MalformedChunk("more than 100 trailer lines"));
                }
                At::TrailerStart
            }
            (At::LastLineFeed, b'\n') => At::End,
            (At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLineFeed, _) => {
                return Err(MalformedChunk("a trailer that is not a header line"));
            }
            _ => return Err(MalformedChunk("a size line that is not a size and extensions")),
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many bytes are the body's, or `None` while it goes on.
    fn end_of(body: &[u8]) -> Result<Option<usize>, MalformedChunk> {
        let mut scanner = ChunkScanner::default();
        let seen = scanner.feed(body)?;
        Ok(scanner.is_at_end().then_some(seen))
    }

    #[test]
    fn only_what_every_reader_takes_for_the_same_body_passes() {
        for (body, expected) in [
            ("0\r\n\r\n", Ok(Some(5))),
            ("5\r\nhello\r\n0\r\n\r\nPOST", Ok(Some(15))),
            ("00005\r\nhello\r\n000\r\n\r\n", Ok(Some(21))),
            ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", Ok(Some(35))),
            ("2;name=value;other=\"quoted; text\"\r\nhi\r\n0;last\r\n\r\n", Ok(Some(49))),
            ("2 \t ;name\r\nhi\r\n0\r\n\r\n", Ok(Some(20))),
            ("0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n", Ok(Some(25))),
            ("", Ok(None)),
            ("5\r\nhel", Ok(None)),
            ("0\r\n\r", Ok(None)),
            ("\r\nhello", Err("a chunk without a size")),
            (";x\r\nhello", Err("a chunk without a size")),
            ("+5\r\nhello", Err("a chunk without a size")),
            ("-5\r\nhello", Err("a chunk without a size")),
            (" 5\r\nhello", Err("a chunk without a size")),
            ("0x5\r\nhello", Err("a size line that is not a size and extensions")),
            ("5 \r\nhello", Err("a size line that is not a size and extensions")),
            ("5_0\r\nhello", Err("a size line that is not a size and extensions")),
            ("5\nhello", Err("a size line that is not a size and extensions")),
            ("5\rhello", Err("a size line that is not a size and extensions")),
            ("5;a\nb\r\nhello", Err("a size line that is not a size and extensions")),
            ("5;a\rb\r\nhello", Err("a size line that is not a size and extensions")),
            ("5;a\0\r\nhello", Err("a size line that is not a size and extensions")),
            ("00000000000000005\r\nhello", Err("a size that nothing has")),
            ("fffffffffffffffff\r\nhello", Err("a size that nothing has")),
            ("ffffffffffffffff\r\nhello", Err("a size that nothing has")),
            ("8000000000000000\r\nhello", Err("a size that nothing has")),
            ("7fffffffffffffff\r\nhello", Ok(None)),
            ("5\r\nhello0\r\n\r\n", Err("a chunk that is longer than its size")),
            ("5\r\nhello\n0\r\n\r\n", Err("a chunk that is longer than its size")),
            ("5\r\nhello\r0\r\n\r\n", Err("a chunk that is longer than its size")),
            ("0\r\n folded\r\n\r\n", Err("a trailer that is not a header line")),
            ("0\r\nX : 1\r\n\r\n", Err("a trailer that is not a header line")),
            ("0\r\nno colon\r\n\r\n", Err("a trailer that is not a header line")),
            ("0\r\nX: 1\n\r\n", Err("a trailer that is not a header line")),
            ("0\r\nX: a\rb\r\n\r\n", Err("a trailer that is not a header line")),
            ("0\r\n\n", Err("a trailer that is not a header line")),
        ] {
            assert_eq!(end_of(body.as_bytes()), expected.map_err(MalformedChunk), "{body:?}");
        }
    }

    #[test]
    fn the_size_of_an_answers_chunk_may_be_padded() {
        let body = b"5  \r\nhello\r\n0\t\r\n\r\nHTTP";
        let mut scanner = ChunkScanner::of_answer();
        assert_eq!((scanner.feed(body), scanner.is_at_end()), (Ok(18), true));
        assert!(ChunkScanner::of_answer().feed(b"5 5\r\nhello").is_err());
    }

    #[test]
    fn framing_may_not_outgrow_data() {
        let one_byte_each = "1\r\nx\r\n".repeat(100_000) + "0\r\n\r\n";
        assert_eq!(end_of(one_byte_each.as_bytes()), Ok(Some(one_byte_each.len())));
        let large = format!("{:x}\r\n{}\r\n", 1_000_000, "x".repeat(1_000_000));
        assert_eq!(end_of(large.as_bytes()), Ok(None));
        let too_much = Err(MalformedChunk("more framing than data"));
        let extension = |length| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length));
        assert_eq!(end_of(extension(16_000).as_bytes()).map(|end| end.is_some()), Ok(true));
        assert_eq!(end_of(extension(17_000).as_bytes()), too_much);
        assert_eq!(
            end_of(extension(60).repeat(1000).as_bytes()).map(|end| end.is_some()),
            Ok(true)
        );
        let many = "1;eeeeeeeeeeeeeeeeeeeeeeeeeeeeee\r\nx\r\n".repeat(2000);
        assert_eq!(end_of(many.as_bytes()), too_much);
        let trailers = |lines| format!("0\r\n{}\r\n", "X: 1\r\n".repeat(lines));
        assert_eq!(end_of(trailers(100).as_bytes()).map(|end| end.is_some()), Ok(true));
        assert_eq!(
            end_of(trailers(101).as_bytes()),
            Err(MalformedChunk("more than 100 trailer lines"))
        );
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_its_end_is_the_same(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
            behind in proptest::collection::vec(any::<u8>(), 0..10),
            broken in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in 1..9_usize,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let length = body.len();
            body.extend_from_slice(&behind);
            if let Some((at, byte)) = &broken {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let whole = end_of(&body);
            if broken.is_none() {
                prop_assert_eq!(whole, Ok(Some(length)));
            }
            let mut scanner = ChunkScanner::default();
            let mut seen = 0;
            let mut in_pieces = Ok(None);
            for piece in body.chunks(cut) {
                match scanner.feed(piece) {
                    Ok(here) => seen += here,
                    Err(fault) => { in_pieces = Err(fault); break }
                }
                if scanner.is_at_end() { in_pieces = Ok(Some(seen)); break }
            }
            prop_assert_eq!(in_pieces, whole);
        }
    }
}
