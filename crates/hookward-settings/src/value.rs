//! The forms that values have: durations, sizes, addresses, rates, URLs.
//!
//! Each form defines its name, the allowed values, and suggestions for near misses.

use http::HeaderName;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::Url;

/// A kind of value that is written as a string.
pub trait Form: Sized {
    /// With its article: `a duration`.
    const NAME: &'static str;
    /// What is allowed.
    const ALLOWED: &'static str;
    /// The message for a bare integer, if it says more than that a string is required.
    const BARE: &'static str = "";

    /// Reads it.
    fn parse(text: &str) -> Result<Self, FormFault>;

    /// How it was probably meant where a bare integer was written.
    fn from_number(_digits: &str) -> Option<String> {
        None
    }
}

/// Why a text does not have a form.
#[derive(Debug, PartialEq, Eq)]
pub struct FormFault {
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl<T: Into<String>> From<T> for FormFault {
    fn from(what: T) -> Self {
        Self { what: what.into(), suggestion: None }
    }
}

/// The longest duration in a configuration, so that sums of a few of them cannot overflow.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// The largest size in a configuration.
const LARGEST_BYTES: u64 = 1 << 50;

/// A duration that may be zero.
pub struct PossiblyZero(pub Duration);

impl Form for PossiblyZero {
    const NAME: &'static str = "a duration";
    const ALLOWED: &'static str =
        "a duration such as \"5s\", \"4500ms\" or \"24h\", at most 10 years";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let duration = humantime::parse_duration(text).map_err(|_| FormFault {
            what: "not a duration".to_owned(),
            suggestion: text.parse::<u64>().ok().map(|seconds| format!("\"{seconds}s\"")),
        })?;
        if duration > LONGEST {
            return Err("too long".into());
        }
        Ok(Self(duration))
    }

    fn from_number(digits: &str) -> Option<String> {
        digits.parse::<u64>().ok().map(|seconds| format!("\"{seconds}s\""))
    }
}

impl Form for Duration {
    const NAME: &'static str = PossiblyZero::NAME;
    const ALLOWED: &'static str =
        "a duration such as \"5s\", \"4500ms\" or \"24h\", over zero and at most 10 years";

    fn parse(text: &str) -> Result<Self, FormFault> {
        match PossiblyZero::parse(text)?.0 {
            Self::ZERO => Err("must not be zero".into()),
            duration => Ok(duration),
        }
    }

    fn from_number(digits: &str) -> Option<String> {
        PossiblyZero::from_number(digits)
    }
}

/// A number of bytes, at least one.
pub struct Size(pub usize);

impl Form for Size {
    const NAME: &'static str = "a size";
    const BARE: &'static str = "a size is a string with a unit";
    const ALLOWED: &'static str =
        "a size such as \"1MiB\" or \"64KiB\", over zero and at most 1 PiB";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let bytes =
            text.parse::<bytesize::ByteSize>().map_err(|_| FormFault::from("not a size"))?;
        match bytes.as_u64() {
            0 => Err("must not be zero".into()),
            bytes if bytes > LARGEST_BYTES => Err("too large".into()),
            bytes => usize::try_from(bytes).map(Self).map_err(|_| "too large".into()),
        }
    }

    fn from_number(digits: &str) -> Option<String> {
        let bytes = digits.parse::<u64>().ok()?;
        if (1..1024).contains(&bytes) {
            return Some(format!("\"{bytes}MiB\"")); // nobody means so few bytes
        }
        let near = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
        let (unit, factor) =
            near.into_iter().find(|&(_, factor)| bytes > 0 && bytes % factor == 0)?;
        Some(format!("\"{}{unit}\"", bytes / factor))
    }
}

/// A number of bytes per second.
pub struct ByteRate(pub u64);

impl Form for ByteRate {
    const NAME: &'static str = "a byte rate";
    const ALLOWED: &'static str = "a size per second, such as \"1KiB/s\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        let size = text.strip_suffix("/s").ok_or("not a byte rate")?;
        Ok(Self(Size::parse(size)?.0 as u64))
    }
}

impl Form for SocketAddr {
    const NAME: &'static str = "an address";
    const ALLOWED: &'static str =
        "IP:PORT, such as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        text.parse().map_err(|_| {
            let suggestion = match text.parse::<IpAddr>() {
                Ok(IpAddr::V6(_)) => Some(format!("[{text}]:8080")),
                Ok(IpAddr::V4(_)) => Some(format!("{text}:8080")),
                Err(_) => match text.rsplit_once(':') {
                    Some(("", port)) => Some(format!("0.0.0.0:{port}")),
                    Some(("localhost", port)) => Some(format!("127.0.0.1:{port}")),
                    Some(_) => None,
                    None => Some(format!("127.0.0.1:{text}")),
                },
            };
            let suggestion = suggestion.filter(|near| near.parse::<Self>().is_ok());
            FormFault {
                what: "not an IP address with a port".to_owned(),
                suggestion: suggestion.map(|near| format!("\"{near}\"")),
            }
        })
    }

    fn from_number(digits: &str) -> Option<String> {
        digits.parse::<u16>().ok().map(|port| format!("\"127.0.0.1:{port}\""))
    }
}

impl Form for IpNet {
    const NAME: &'static str = "an address range";
    const ALLOWED: &'static str =
        "a CIDR range such as \"203.0.113.0/24\" or \"2001:db8::/32\", or a single address";

    fn parse(text: &str) -> Result<Self, FormFault> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from(address));
        }
        let range = text.parse::<Self>().map_err(|_| FormFault::from("not an address range"))?;
        if range.trunc() == range {
            return Ok(range);
        }
        Err(FormFault {
            what: "bits are set after the prefix".to_owned(),
            suggestion: Some(format!("\"{}\"", range.trunc())),
        })
    }
}

impl Form for HeaderName {
    const NAME: &'static str = "a header name";
    const ALLOWED: &'static str = "a header name such as \"X-Signature\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        text.parse().map_err(|_| "not a header name".into())
    }
}

/// The URL that a sender was given, as text, because senders sign exactly that text and not a
/// normalised form.
pub struct PublicUrl(pub String);

impl Form for PublicUrl {
    const NAME: &'static str = "a URL";
    const ALLOWED: &'static str = "the whole http:// or https:// URL that you gave to the sender, \
                                   such as \"https://hooks.example.com/webhooks/shop\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        plain_url(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// A URL with nothing but scheme, host, port and path.
pub fn plain_url(text: &str) -> Result<Url, FormFault> {
    let url = Url::parse(text).map_err(|fault| {
        let without_scheme = !text.contains("://");
        let suggestion = without_scheme
            .then(|| format!("http://{text}"))
            .filter(|near| plain_url(near).is_ok())
            .map(|near| format!("\"{near}\""));
        FormFault { what: format!("not a URL ({fault})"), suggestion }
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let without_scheme = format!("http://{text}");
        let suggestion = (!text.contains("://") && plain_url(&without_scheme).is_ok())
            .then(|| format!("\"{without_scheme}\""));
        return Err(FormFault { what: "neither http nor https".to_owned(), suggestion });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("this URL must not contain credentials".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("this URL must not have a query or fragment".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a space or a non-ASCII character must be percent-encoded".into());
    }
    Ok(url)
}

/// A request path: exact bytes, without a query.
pub struct RequestPath(pub String);

impl Form for RequestPath {
    const NAME: &'static str = "a path";
    const ALLOWED: &'static str = "visible ASCII that starts with `/`, without `?`, `#`, `\"`, \
                                   `<` and `>`, such as \"/webhooks/shop\"";

    fn parse(text: &str) -> Result<Self, FormFault> {
        if !text.starts_with('/') {
            return Err(FormFault {
                what: "does not start with `/`".to_owned(),
                suggestion: Self::parse(&format!("/{text}"))
                    .ok()
                    .filter(|_| !text.is_empty() && !text.contains("://"))
                    .map(|near| format!("\"{}\"", near.0)),
            });
        }
        if text.contains(['?', '#']) {
            return Err("a path has no query or fragment".into());
        }
        // The listener refuses a target with any of these, and so do receivers.
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>".contains(&byte)) {
            let what =
                "a space, a quote, `<`, `>` and non-ASCII characters must be percent-encoded";
            return Err(what.into());
        }
        Ok(Self(text.to_owned()))
    }
}
