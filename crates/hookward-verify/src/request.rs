//! A request as a verifier needs it: borrowed, and reached by look-up.

use http::{HeaderMap, HeaderName, Method};
use std::borrow::Cow;

/// The header lines of a request, however the caller keeps them.
///
/// Several lines of one name are several values, in the order in which they arrived. A value is the
/// bytes between the colon and the line end, without the white space around them.
pub trait Headers: Sync {
    /// The value of the line of this name with this index, counted from 0; `None` behind the last.
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]>;
}

impl Headers for HeaderMap {
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        self.get_all(name).iter().nth(index).map(http::HeaderValue::as_bytes)
    }
}

/// The head of a request that nobody has judged yet: nothing in it is to be believed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as received, without the query; begins with `/`.
    pub path: &'a str,
    /// The query as received, without its `?`; `None` if there was no `?`.
    pub query: Option<&'a str>,
    /// The header lines.
    pub headers: &'a dyn Headers,
}

impl<'a> Request<'a> {
    /// The head of a request of the `http` crate, as axum, hyper or actix hand it over.
    #[must_use]
    pub fn of<B>(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query(),
            headers: request.headers(),
        }
    }

    /// The values of all lines of this name, in order.
    pub fn values(self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        (0..).map_while(move |index| self.headers.value(name, index))
    }

    /// The value of the first line of this name.
    #[must_use]
    pub fn first(self, name: &HeaderName) -> Option<&'a [u8]> {
        self.headers.value(name, 0)
    }

    /// The value of the first line of this name, if it is visible ASCII.
    #[must_use]
    pub fn first_text(self, name: &HeaderName) -> Option<&'a str> {
        let value = self.first(name)?;
        let plain = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        std::str::from_utf8(value).ok().filter(|_| plain)
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header values may be credentials.
        f.debug_struct("Request")
            .field("method", self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A name, in lower case already, as those read it who make a variable of it: every character that is
/// no letter or digit is a `-`.
#[must_use]
pub fn folded(name: &str) -> Cow<'_, str> {
    if is_plain(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect())
}

/// Whether folding changes nothing.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
