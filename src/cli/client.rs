//! Posting a delivery as a sender would, for `send` and the demo.

use std::fmt;
use std::time::Duration;

/// How long an answer is waited for: longer than an upstream's default timeout.
const PATIENCE: Duration = Duration::from_mins(1);

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

/// Status, outcome and reason, as far as they are there, in one line.
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

/// Posts `body` with these headers and waits for the answer; no redirect is followed.
///
/// # Errors
/// Why there was no answer.
pub fn post(url: &str, headers: &[(String, String)], body: &[u8]) -> Result<Told, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut request = agent.post(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send(body)?;
    let outcome = response.headers().get("hookward-outcome").and_then(|value| value.to_str().ok());
    let outcome = outcome.unwrap_or_default().to_owned();
    let status = response.status().as_u16();
    // The body of a good end is the upstream's, whatever it is.
    let problem = response.body_mut().read_json::<serde_json::Value>().unwrap_or_default();
    let reason = problem.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default();
    Ok(Told { status, outcome, reason: reason.to_owned() })
}
