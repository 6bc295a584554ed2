//! One question to a sender's site: https only, no redirects, little and soon.

use crate::config::FetchSettings;
use async_trait::async_trait;
use hookward_secret::Secret;
use hookward_verify::sender::{KeySite, KeySiteKind};
use serde_json::json;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};
use url::Url;

/// The largest answer that is taken, in bytes.
const LARGEST_BYTES: u64 = 256 * 1024;

/// How long an answer may take, all in all.
const WITHIN: Duration = Duration::from_secs(5);

/// For how long keys are good if their site does not say.
const FRESH_FOR: Duration = Duration::from_hours(1);

/// The shortest and the longest time that a site may say.
const FRESH_BOUNDS: (Duration, Duration) = (Duration::from_mins(2), Duration::from_hours(24));

/// What is asked, and where.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The place, https.
    pub url: Url,
    /// What the answer holds.
    pub wants: Wants,
}

/// What an answer holds.
#[derive(Clone, Debug)]
pub enum Wants {
    /// A JSON Web Key Set.
    Set,
    /// One JSON Web Key, asked for by its id.
    Key {
        /// The id.
        id: String,
        /// The caller's name.
        client_id: Secret,
        /// The caller's password.
        secret: Secret,
    },
    /// A certificate.
    Certificate,
    /// Nothing: it is asked to confirm a subscription.
    Nothing,
}

impl Ask {
    /// What asks for the whole set of a place; `None` where keys are asked for one by one.
    #[must_use]
    pub fn of_set(place: &KeySite) -> Option<Self> {
        match place.kind {
            KeySiteKind::Set => Some(Self { url: place.url.clone(), wants: Wants::Set }),
            KeySiteKind::ById { .. } => None,
        }
    }

    fn key_id(&self) -> Option<&str> {
        match &self.wants {
            Wants::Key { id, .. } => Some(id),
            Wants::Set | Wants::Certificate | Wants::Nothing => None,
        }
    }

    fn credentials(&self) -> Option<(&[u8], &[u8])> {
        match &self.wants {
            Wants::Key { client_id, secret, .. } => Some((client_id.expose(), secret.expose())),
            Wants::Set | Wants::Certificate | Wants::Nothing => None,
        }
    }
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
            && self.key_id() == other.key_id()
            && self.credentials() == other.credentials()
    }
}

impl Eq for Ask {}

impl Hash for Ask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.url.hash(state);
        self.key_id().hash(state);
    }
}

/// What a site answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAnswer {
    /// Its body.
    pub body: Vec<u8>,
    /// For how long it is good.
    pub fresh_for: Duration,
}

/// Who asks; a parameter so that no test of limits needs a network.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Asks once.
    ///
    /// # Errors
    /// A sentence for the log and for `/status`; it names no credential.
    async fn fetch(&self, ask: &Ask) -> Result<SiteAnswer, String>;
}

/// Asks over the network.
#[derive(Clone)]
pub struct HttpsClient {
    settings: FetchSettings,
    /// Made by the first question: it reads the system's authorities, which nobody needs whose
    /// senders publish no keys.
    agent: Arc<OnceLock<Result<Agent, String>>>,
}

impl HttpsClient {
    /// A client that trusts the system's authorities and those of the settings.
    #[must_use]
    pub fn new(settings: &FetchSettings) -> Self {
        Self { settings: settings.clone(), agent: Arc::default() }
    }

    /// Asks once, and waits for the answer on this thread.
    ///
    /// # Errors
    /// As [`Fetch::fetch`].
    pub fn ask(&self, ask: &Ask) -> Result<SiteAnswer, String> {
        let agent = self.agent.get_or_init(|| agent(&self.settings));
        let agent = agent.as_ref().map_err(Clone::clone)?;
        let url = ask.url.as_str();
        let answer = match &ask.wants {
            Wants::Set | Wants::Certificate | Wants::Nothing => agent.get(url).call(),
            Wants::Key { id, client_id, secret } => {
                let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
                let body = json!({
                    "client_id": text(client_id),
                    "secret": text(secret),
                    "key_id": id,
                });
                agent.post(url).send_json(&body)
            }
        };
        let mut answer = answer.map_err(|fault| plain(&fault))?;
        let status = answer.status().as_u16();
        if status != 200 {
            let redirect = (300..400).contains(&status);
            let more = if redirect { ", and redirects are not followed" } else { "" };
            return Err(format!("it answered {status}{more}"));
        }
        let fresh_for = fresh_for(
            answer.headers().get(http::header::CACHE_CONTROL).and_then(|value| value.to_str().ok()),
        );
        let limited = answer.body_mut().with_config().limit(LARGEST_BYTES);
        let body = limited.read_to_vec().map_err(|fault| plain(&fault))?;
        Ok(SiteAnswer { body, fresh_for })
    }
}

#[async_trait]
impl Fetch for HttpsClient {
    async fn fetch(&self, ask: &Ask) -> Result<SiteAnswer, String> {
        let (client, ask) = (self.clone(), ask.clone());
        let asked = tokio::task::spawn_blocking(move || client.ask(&ask));
        asked.await.unwrap_or_else(|_| Err("the question broke off".to_owned()))
    }
}

fn agent(settings: &FetchSettings) -> Result<Agent, String> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<Certificate<'static>> =
        system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if let Some(path) = &settings.ca {
        let pem = std::fs::read(path).map_err(|fault| format!("fetch.ca: {fault}"))?;
        let own = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        roots.extend(own);
    }
    let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
    let proxy = match &settings.proxy {
        None => None,
        Some(proxy) => Some(Proxy::new(proxy).map_err(|fault| format!("fetch.proxy: {fault}"))?),
    };
    Ok(Agent::config_builder()
        .https_only(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(WITHIN))
        .max_response_header_size(32 * 1024)
        .user_agent(concat!("hookward/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .tls_config(tls)
        .build()
        .new_agent())
}

fn plain(fault: &ureq::Error) -> String {
    match fault {
        ureq::Error::BodyExceedsLimit(_) => "its answer is larger than 256 KiB".to_owned(),
        ureq::Error::Timeout(_) => "it did not answer within 5 s".to_owned(),
        ureq::Error::HostNotFound => "its host is not found".to_owned(),
        other => other.to_string(),
    }
}

/// For how long an answer is good, as its `Cache-Control` says, within bounds.
pub(super) fn fresh_for(cache_control: Option<&str>) -> Duration {
    let directives = cache_control.unwrap_or_default().split(',').map(str::trim);
    let mut stated = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => stated = Some(Duration::ZERO),
            "max-age" if stated.is_none() => {
                stated = value.trim_matches('"').parse().ok().map(Duration::from_secs);
            }
            _ => {}
        }
    }
    let (least, most) = FRESH_BOUNDS;
    stated.map_or(FRESH_FOR, |stated| stated.clamp(least, most))
}
