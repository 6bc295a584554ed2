//! An answer as the bytes of HTTP/1, written to its connection.

use super::respond::{BodyEnds, HttpReply, OUTCOME, Unsent, within};
use crate::outgoing_lines::write_decimal;
use crate::upstream::{BrokenOff, ReplyBody};
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName};
use pingora::protocols::Stream;
use pingora::protocols::http::date::get_cached_date;
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, Result};
use tokio::sync::mpsc::Receiver;

/// Bodies up to this are put behind their head and written with it.
const TOGETHER_BYTES: usize = 16 * 1024;

/// Room for the lines of most heads.
const HEAD_BYTES: usize = 512;

/// What of a request decides how its answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerTerms {
    /// It is a `HEAD`, whose answer has no body.
    pub(super) is_head: bool,
    /// HTTP/1.0, which knows no chunks.
    pub(super) is_http_10: bool,
    /// Another request may follow on the connection.
    pub(super) stays: bool,
}

impl AnswerTerms {
    /// Of a request that could not be read.
    pub(super) const UNREADABLE: Self = Self { is_head: false, is_http_10: false, stays: false };
}

/// Writes an answer whole; each single write may take `limit`.
pub(super) async fn write(
    stream: &mut Stream,
    reply: HttpReply,
    asked: AnswerTerms,
    limit: Duration,
) -> std::result::Result<(), Unsent> {
    let ends = reply.ends();
    let mut out = head(&reply, ends, asked).ok_or(Unsent)?;
    let has_body = ends != BodyEnds::Never && !asked.is_head;
    match reply.body {
        ReplyBody::Whole(bytes) if has_body && bytes.len() > TOGETHER_BYTES => {
            within(limit, send(stream, &out, &bytes)).await
        }
        ReplyBody::Whole(bytes) => {
            out.extend_from_slice(if has_body { &bytes } else { &[] });
            within(limit, send(stream, &out, &[])).await
        }
        ReplyBody::Streamed { first, rest } if has_body => {
            within(limit, send(stream, &out, &[])).await?;
            let mut streamed = Streamed { stream, ends, is_chunked: !asked.is_http_10, limit };
            streamed.piece(&first).await?;
            streamed.relay(rest).await
        }
        ReplyBody::Streamed { .. } => within(limit, send(stream, &out, &[])).await,
    }
}

/// Status line and header lines; nothing if the status is none.
fn head(reply: &HttpReply, ends: BodyEnds, asked: AnswerTerms) -> Option<Vec<u8>> {
    let status = StatusCode::from_u16(reply.status).ok()?;
    let mut out = Vec::with_capacity(match &reply.body {
        ReplyBody::Whole(bytes) if bytes.len() <= TOGETHER_BYTES => HEAD_BYTES + bytes.len(),
        ReplyBody::Whole(_) | ReplyBody::Streamed { .. } => HEAD_BYTES,
    });
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or(""), "\r\n"]
    {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in reply.kept() {
        line(&mut out, shown(name), value.as_bytes());
    }
    match ends {
        BodyEnds::After(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(length, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        BodyEnds::Itself if !asked.is_http_10 => line(&mut out, "Transfer-Encoding", b"chunked"),
        BodyEnds::Itself | BodyEnds::Never => {}
    }
    line(&mut out, "Date", get_cached_date().as_bytes());
    line(&mut out, "Connection", if asked.stays { b"keep-alive" } else { b"close" });
    out.extend_from_slice(b"\r\n");
    Some(out)
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A name as people write it. HTTP/1 does not mind the case, but people who read along do.
fn shown(name: &HeaderName) -> &str {
    match *name {
        _ if *name == OUTCOME => "Hookward-Outcome",
        header::RETRY_AFTER => "Retry-After",
        header::CONTENT_TYPE => "Content-Type",
        header::CONTENT_ENCODING => "Content-Encoding",
        header::ACCEPT_RANGES => "Accept-Ranges",
        header::AGE => "Age",
        header::CACHE_CONTROL => "Cache-Control",
        header::HOST => "Host",
        header::SERVER => "Server",
        header::SET_COOKIE => "Set-Cookie",
        _ => name.as_str(),
    }
}

async fn send(stream: &mut Stream, first: &[u8], second: &[u8]) -> Result<()> {
    stream.write_all(first).await?;
    if !second.is_empty() {
        stream.write_all(second).await?;
    }
    stream.flush().await
}

/// A body that is written as it comes.
struct Streamed<'a> {
    stream: &'a mut Stream,
    ends: BodyEnds,
    is_chunked: bool,
    limit: Duration,
}

impl Streamed<'_> {
    async fn relay(
        &mut self,
        mut rest: Receiver<std::result::Result<Bytes, BrokenOff>>,
    ) -> std::result::Result<(), Unsent> {
        while let Some(piece) = rest.recv().await {
            // An upstream that breaks off must not look like one that was finished.
            self.piece(&piece.map_err(|_| Unsent)?).await?;
        }
        match self.ends {
            // Fewer bytes than declared: the sender would take the next answer for the rest.
            BodyEnds::After(1..) => Err(Unsent),
            BodyEnds::Itself if self.is_chunked => {
                within(self.limit, send(self.stream, b"0\r\n\r\n", &[])).await
            }
            BodyEnds::After(0) | BodyEnds::Itself | BodyEnds::Never => Ok(()),
        }
    }

    async fn piece(&mut self, piece: &[u8]) -> std::result::Result<(), Unsent> {
        if piece.is_empty() {
            return Ok(());
        }
        match &mut self.ends {
            BodyEnds::After(left) => {
                let here = piece.get(..*left).unwrap_or(piece);
                *left -= here.len();
                within(self.limit, send(self.stream, here, &[])).await
            }
            BodyEnds::Itself if self.is_chunked => {
                let chunk = [format!("{:X}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                within(self.limit, send(self.stream, &chunk, &[])).await
            }
            BodyEnds::Itself | BodyEnds::Never => {
                within(self.limit, send(self.stream, piece, &[])).await
            }
        }
    }
}
