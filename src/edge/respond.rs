//! Answers, before either version of HTTP writes them.
//!
//! Owns which headers an answer has, how its body ends and the problem document of a refusal. Decides
//! nothing: status, title and wait come from [`crate::outcome`].

use crate::delivery::answer::{Answer, Conclusion};
use crate::outcome::{Outcome, Reason, Refusal};
use crate::upstream::ReplyBody;
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

pub(super) static OUTCOME: HeaderName = HeaderName::from_static("hookward-outcome");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What a listener sends back: an [`Answer`] with everything written out.
#[derive(Debug)]
pub(crate) struct HttpReply {
    /// 200 to 599.
    pub(crate) status: u16,
    /// Of an [`Answer`].
    pub(crate) outcome: Option<Outcome>,
    /// All others but framing and `Date`.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: ReplyBody,
}

impl From<Answer> for HttpReply {
    fn from(answer: Answer) -> Self {
        let outcome = Some(answer.outcome());
        let Answer { conclusion, headers, body, is_bare } = answer;
        match conclusion {
            Conclusion::Refused(refusal) if is_bare => {
                let body = ReplyBody::Whole(Bytes::new());
                let mut reply = Self { status: refusal.status(), outcome, headers, body }
                    .with_problem_headers(&refusal);
                reply.headers.remove(CONTENT_TYPE);
                reply
            }
            Conclusion::Refused(refusal) => {
                let body = ReplyBody::Whole(document(&refusal));
                Self { status: refusal.status(), outcome, headers, body }
                    .with_problem_headers(&refusal)
            }
            Conclusion::Good { status, .. } => Self { status, outcome, headers, body },
        }
    }
}

impl HttpReply {
    /// The problem document of a refusal, without an outcome.
    pub(crate) fn problem(refusal: &Refusal) -> Self {
        let body = ReplyBody::Whole(document(refusal));
        Self { status: refusal.status(), outcome: None, headers: HeaderMap::new(), body }
            .with_problem_headers(refusal)
    }

    fn with_problem_headers(mut self, refusal: &Refusal) -> Self {
        self.headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        let facets = refusal.reason.facets();
        let wait = match (&refusal.retry_after, facets.retry_after_seconds) {
            (Some(text), _) => HeaderValue::try_from(text).ok(),
            (None, Some(seconds)) => Some(HeaderValue::from(seconds)),
            (None, None) => None,
        };
        if let Some(wait) = wait {
            self.headers.insert(RETRY_AFTER, wait);
        }
        if refusal.reason == Reason::MethodNotAllowed {
            self.headers.entry(ALLOW).or_insert(HeaderValue::from_static("POST"));
        }
        self
    }
}

/// The problem document of a refusal. One that has the status of its reason, as nearly all have, is
/// made once.
fn document(refusal: &Refusal) -> Bytes {
    static USUAL: LazyLock<[Bytes; Reason::ALL.len()]> =
        LazyLock::new(|| Reason::ALL.map(|reason| serialized(reason, reason.facets().status)));
    let status = refusal.status();
    let is_usual = status == refusal.reason.facets().status;
    match USUAL.get(refusal.reason as usize).filter(|_| is_usual) {
        Some(usual) => usual.clone(),
        None => serialized(refusal.reason, status),
    }
}

fn serialized(reason: Reason, status: u16) -> Bytes {
    let facets = reason.facets();
    let problem =
        ProblemBody { kind: "about:blank", title: facets.title, status, reason: facets.label };
    // Strings and numbers serialise; an empty body would be all that is lost.
    Bytes::from(serde_json::to_vec(&problem).unwrap_or_default())
}

/// RFC 9457, with `reason` as its extension member.
#[derive(Serialize)]
struct ProblemBody {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
}

/// The answer was not written completely; the connection is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsent;

/// How the end of an answer's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnds {
    /// There is none, and nothing says so.
    Never,
    /// After so many bytes.
    After(usize),
    /// Where the version of HTTP says it: with the last chunk, the frame or the connection.
    Itself,
}

impl HttpReply {
    /// How its body ends. `Content-Length` counts only for a body that is streamed.
    pub(super) fn ends(&self) -> BodyEnds {
        match &self.body {
            _ if matches!(self.status, 204 | 304) => BodyEnds::Never,
            ReplyBody::Whole(bytes) => BodyEnds::After(bytes.len()),
            ReplyBody::Streamed { .. } => {
                let declared = self.headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
                declared.and_then(|n| n.parse().ok()).map_or(BodyEnds::Itself, BodyEnds::After)
            }
        }
    }

    /// The headers that go on: framing, date and connection are the listener's.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let others = self.headers.iter().filter(|(name, _)| !is_ours(name) && **name != OUTCOME);
        others.chain(self.outcome.map(|outcome| (&OUTCOME, value_of(outcome))))
    }
}

/// What `Hookward-Outcome` says.
#[expect(clippy::indexing_slicing, reason = "each outcome has its value")]
fn value_of(outcome: Outcome) -> &'static HeaderValue {
    static VALUES: LazyLock<[HeaderValue; Outcome::ALL.len()]> =
        LazyLock::new(|| Outcome::ALL.map(|outcome| HeaderValue::from_static(outcome.label())));
    &VALUES[outcome as usize]
}

fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 7] =
        [CONTENT_LENGTH, DATE, CONNECTION, TRANSFER_ENCODING, UPGRADE, TE, TRAILER];
    OURS.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Writes `write`, which may take `limit`.
pub(super) async fn within<T, E>(
    limit: Duration,
    write: impl Future<Output = Result<T, E>>,
) -> Result<T, Unsent> {
    let mut write = pin!(write);
    // Most writes are done at once, and need neither a timer nor the time.
    let at_once = poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await;
    match at_once {
        Poll::Ready(written) => written.map_err(|_| Unsent),
        Poll::Pending => match timeout(limit, write).await {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(_)) | Err(_) => Err(Unsent),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::answer::Success;

    fn text(reply: &HttpReply) -> String {
        match &reply.body {
            ReplyBody::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            ReplyBody::Streamed { .. } => panic!("streamed"),
        }
    }

    fn outcome_of(reply: &HttpReply) -> Vec<&HeaderValue> {
        reply.kept().filter(|(name, _)| **name == OUTCOME).map(|(_, value)| value).collect()
    }

    #[test]
    fn each_outcome_is_told_by_its_own_label() {
        for outcome in Outcome::ALL {
            assert_eq!(value_of(outcome), outcome.label());
        }
    }

    #[test]
    fn a_refusal_is_a_problem_document_with_its_reason() {
        let reply =
            HttpReply::from(Answer::refused(Refusal::because(Reason::BadRequest, "secret")));
        assert_eq!(reply.status, 400);
        assert_eq!(outcome_of(&reply), ["rejected"]);
        assert_eq!(reply.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            text(&reply),
            r#"{"type":"about:blank","title":"The request is not well-formed HTTP.","status":400,"reason":"bad_request"}"#
        );
    }

    #[test]
    fn the_document_says_the_status_that_the_answer_has() {
        let passed_on = Refusal::passing_on(599, "told");
        let usual = Reason::ALL.map(Refusal::from);
        for refusal in usual.into_iter().chain([passed_on]) {
            let (reason, status) = (refusal.reason, refusal.status());
            let reply = HttpReply::from(Answer::refused(refusal));
            let document: serde_json::Value = serde_json::from_str(&text(&reply)).unwrap();
            assert_eq!((reply.status, &document["status"]), (status, &status.into()));
            assert_eq!(document["reason"], reason.label());
        }
    }

    #[test]
    fn the_wait_is_the_refusals_else_the_reasons() {
        let wait = |refusal: Refusal| {
            let reply = HttpReply::from(Answer::refused(refusal));
            reply.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(wait(Refusal::new(Reason::Overloaded)).as_deref(), Some("1"));
        let longer = Refusal::new(Reason::Uncertain).retry_after(Duration::from_secs(30));
        assert_eq!(wait(longer).as_deref(), Some("30"));
        assert_eq!(wait(Refusal::new(Reason::SignatureMismatch)), None);
    }

    #[test]
    fn who_may_not_use_a_method_is_told_which_one() {
        let reply = HttpReply::from(Answer::refused(Refusal::new(Reason::MethodNotAllowed)));
        assert_eq!(reply.headers[ALLOW], "POST");
        let mut answer = Answer::refused(Refusal::new(Reason::MethodNotAllowed));
        answer.headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        assert_eq!(HttpReply::from(answer).headers[ALLOW], "GET, POST");
    }

    #[test]
    fn a_bare_answer_is_a_status_and_what_a_retry_needs() {
        let mut good = Answer::empty(Success::Delivered, 204);
        good.headers.insert("set-cookie", HeaderValue::from_static("a=b"));
        good.body = ReplyBody::Whole(Bytes::from_static(b"ok"));
        let reply = HttpReply::from(good.bare());
        assert_eq!((reply.status, text(&reply).as_str(), reply.kept().count()), (200, "", 1));
        assert_eq!(outcome_of(&reply), ["delivered"]);
        let reply = HttpReply::from(Answer::refused(Reason::SignatureMismatch.into()).bare());
        assert_eq!((reply.status, text(&reply).as_str(), reply.kept().count()), (401, "", 1));
        let reply = HttpReply::from(Answer::refused(Reason::Overloaded.into()).bare());
        assert_eq!((reply.status, text(&reply).as_str()), (503, ""));
        assert_eq!((&reply.headers[RETRY_AFTER], reply.kept().count()), (&"1".parse().unwrap(), 2));
    }

    #[test]
    fn a_good_end_keeps_status_headers_and_body() {
        let mut answer = Answer::empty(Success::Delivered, 202);
        answer.headers.insert("x-a", HeaderValue::from_static("b"));
        answer.headers.insert(OUTCOME.clone(), HeaderValue::from_static("forged"));
        answer.body = ReplyBody::Whole(Bytes::from_static(b"ok"));
        let reply = HttpReply::from(answer);
        assert_eq!((reply.status, text(&reply).as_str()), (202, "ok"));
        assert_eq!(reply.headers["x-a"], "b");
        assert_eq!(outcome_of(&reply), ["delivered"]);
    }
}
