//! A borrowed request whose headers are looked up by name.

use http::{HeaderMap, HeaderName, Method};
use std::borrow::Cow;

/// The header lines of a request, however the caller keeps them.
///
/// A head that is kept as raw bytes implements this with a scan, and no map is built:
///
/// ```
/// use hookward_verify::Headers;
///
/// struct RawLines<'a>(&'a [u8]);
///
/// impl Headers for RawLines<'_> {
///     fn value(&self, name: &http::HeaderName, index: usize) -> Option<&[u8]> {
///         let lines = self.0.split(|byte| *byte == b'\n');
///         let mut values = lines.filter_map(|line| {
///             let colon = line.iter().position(|byte| *byte == b':')?;
///             let is_it = line[..colon].eq_ignore_ascii_case(name.as_str().as_bytes());
///             is_it.then(|| line[colon + 1..].trim_ascii())
///         });
///         values.nth(index)
///     }
/// }
///
/// let lines = RawLines(b"Host: example.com\r\nX-Signature: abc\r\n");
/// let name = http::HeaderName::from_static("x-signature");
/// assert_eq!(lines.value(&name, 0), Some(&b"abc"[..]));
/// assert_eq!(lines.value(&name, 1), None);
/// ```
pub trait Headers: Sync {
    /// The value of the line with this name and index. Several lines of one name count from 0, in
    /// the order in which they arrived; `None` after the last. The value is what is between the
    /// colon and the line end, without the white space around it.
    ///
    /// Verification asks for index 0, 1 and so on until `None`. Limit the number of lines first:
    /// with many lines of one name, scanning for each of them takes quadratic time.
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]>;
}

impl Headers for HeaderMap {
    fn value(&self, name: &HeaderName, index: usize) -> Option<&[u8]> {
        self.get_all(name).iter().nth(index).map(http::HeaderValue::as_bytes)
    }
}

/// The head of an unverified request: trust nothing in it.
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
    /// The head of a request of the `http` crate, as axum and hyper pass it.
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
    pub(crate) fn first_text(self, name: &HeaderName) -> Option<&'a str> {
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

/// A lower-case name as CGI and PHP read it when they make a variable of it: every character that
/// is not a letter or a digit becomes a `-`.
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
