//! HTTP requests of commands: to a proxy's public listener like a sender, for `send` and the demo,
//! or to its admin listener.

use super::exit::{CommandStop, Exit};
use super::trust::Trust;
use std::fmt;
use std::time::Duration;
use ureq::http;

/// How long to wait for an answer: longer than an upstream's default timeout.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The largest answer that is read, in bytes: a captured request, whatever `max_body` is.
const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// Makes requests. It follows no redirects, and every status is an answer.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
}

/// What the sender was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The `Hookward-Outcome` header; empty where there is none.
    pub outcome: String,
    /// The problem document's reason; empty where there is none.
    pub reason: String,
}

/// Status, outcome and reason in one line, as far as they are present.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.outcome.is_empty() { "(no outcome)" } else { &self.outcome };
        write!(f, "{} {outcome}", self.status)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        Ok(())
    }
}

impl Client {
    /// A client that trusts these certificates over `https` and has this timeout. It ignores
    /// `HTTP_PROXY`, because a token for a listener on this machine must not go to a proxy.
    #[must_use]
    pub fn new(trust: Trust, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(patience))
            .build();
        Self { agent: trust.agent(config) }
    }

    /// Posts `body` with these headers and waits for the answer.
    ///
    /// # Errors
    /// Why there was no answer.
    pub fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Told, ureq::Error> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.send(body)?;
        let outcome =
            response.headers().get("hookward-outcome").and_then(|value| value.to_str().ok());
        let outcome = outcome.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        // The body of a success is the upstream's and can be anything.
        let problem = response.body_mut().read_json::<serde_json::Value>().unwrap_or_default();
        let reason = problem.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default();
        Ok(Told { status, outcome, reason: reason.to_owned() })
    }

    /// Status and body of the answer to a request.
    ///
    /// # Errors
    /// Why there was no answer.
    pub fn ask(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut response = self.agent.run(request)?;
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok((response.status().as_u16(), body))
    }
}

/// Reads a URL argument.
///
/// # Errors
/// A message, if it is not an HTTP URL with a host.
pub fn url(text: &str) -> Result<String, String> {
    let is_usable = text.parse::<http::Uri>().is_ok()
        && url::Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    if is_usable {
        Ok(text.to_owned())
    } else {
        Err("not a URL such as http://127.0.0.1:8080/webhooks/shop".to_owned())
    }
}

/// The end of a command that got no answer, with a hint.
#[must_use]
pub fn no_answer(url: &str, fault: &ureq::Error) -> CommandStop {
    if let ureq::Error::Http(_) | ureq::Error::BadUri(_) = fault {
        return CommandStop::new(Exit::Usage, format!("cannot request {url}: {fault}"));
    }
    let hint = match fault {
        ureq::Error::Io(fault) if is_of_the_certificate(fault) => {
            "; --ca FILE names a certificate to trust"
        }
        ureq::Error::Io(fault) if fault.kind() == std::io::ErrorKind::ConnectionRefused => {
            "; is the proxy running?"
        }
        _ => "",
    };
    CommandStop::new(Exit::CannotServe, format!("no answer from {url}: {fault}{hint}"))
}

fn is_of_the_certificate(fault: &std::io::Error) -> bool {
    let inner = fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_or_https_with_a_host_and_is_left_as_it_is() {
        for text in ["http://127.0.0.1:8080/a/../b?c=%41", "https://[::1]/", "http://localhost"] {
            assert_eq!(url(text).as_deref(), Ok(text));
        }
        for text in ["", "nonsense", "127.0.0.1:8080", "ftp://a/", "http://", "http://a b/", "/a"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
