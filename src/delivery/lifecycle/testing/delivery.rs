//! What a sender sends, and its result.

use crate::delivery::answer::Answer;
use crate::field_lines::FieldLines;
use crate::request::{Body, BodyError, BodySource, RequestHead};
use crate::upstream::ReplyBody;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

/// A request that has not been sent yet.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) head: RequestHead,
    pub(crate) body: SentBody,
}

impl Delivery {
    pub(crate) fn to(path: &str, body: &str) -> Self {
        let head = RequestHead {
            method: Method::POST,
            path: path.to_owned(),
            query: None,
            headers: FieldLines::default(),
            client: "203.0.113.7".parse().unwrap(),
            via: None,
            ignored_forwarding: false,
            host: "hooks.example.com".to_owned(),
            secure: true,
        };
        let body = Ok(Bytes::copy_from_slice(body.as_bytes()));
        Self { head, body: SentBody { body, was_read: false } }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).unwrap();
        self.head.headers.set(&name, &HeaderValue::try_from(value).unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.head.headers.remove(name);
        self
    }

    pub(crate) fn by(mut self, method: Method) -> Self {
        self.head.method = method;
        self
    }

    pub(crate) fn from(mut self, client: &str) -> Self {
        self.head.client = client.parse().unwrap();
        self
    }

    pub(crate) fn asking(mut self, query: &str) -> Self {
        self.head.query = Some(query.to_owned());
        self
    }

    pub(crate) fn breaking_off(mut self, fault: BodyError) -> Self {
        self.body.body = Err(fault);
        self
    }
}

/// A body on its way.
#[derive(Clone)]
pub(crate) struct SentBody {
    body: Result<Bytes, BodyError>,
    pub(crate) was_read: bool,
}

#[async_trait]
impl BodySource for SentBody {
    async fn read(
        &mut self,
        seen: &mut (dyn for<'chunk> FnMut(&'chunk [u8]) + Send),
    ) -> Result<Body, BodyError> {
        self.was_read = true;
        let bytes = self.body.clone()?;
        bytes.chunks(7).for_each(seen);
        Ok(Body { bytes, held: None })
    }
}

/// The result of a delivery.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) answer: Answer,
    pub(crate) body_was_read: bool,
}

impl Met {
    /// Status, outcome and reason at once, as tables of expectations write them.
    pub(crate) fn verdict(&self) -> (u16, &'static str, &'static str) {
        let reason = self.answer.refusal().map_or("", |refusal| refusal.reason.label());
        (self.answer.status(), self.answer.outcome().label(), reason)
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.verdict().2
    }

    /// When to come again, if the refusal says it more exactly than its reason.
    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.answer.refusal()?.retry_after.as_deref()
    }

    pub(crate) fn text(&self) -> String {
        match &self.answer.body {
            ReplyBody::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            ReplyBody::Streamed { .. } => panic!("a streamed body"),
        }
    }
}
