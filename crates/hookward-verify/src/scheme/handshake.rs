//! Which handshake a sender makes. The [`handshake`](mod@crate::handshake) module answers it.

use hookward_secret::Secret;
use http::{HeaderName, Method};

/// A handshake, with what its answer needs.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Which protocol.
    pub kind: HandshakeKind,
    /// A verify token that the protocol lets the receiver choose (Meta), if one is configured.
    pub verify_token: Option<Secret>,
}

/// Which protocol's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeKind {
    /// Slack: a signed POST of type `url_verification` whose `challenge` is echoed.
    Slack,
    /// Meta: a GET with `hub.mode=subscribe` and our verify token, whose `hub.challenge` is echoed.
    Meta,
    /// Zoom: a signed POST `endpoint.url_validation` whose `plainToken` is answered with its HMAC.
    Zoom,
    /// X: a GET with `crc_token`, answered with its HMAC.
    X,
    /// Okta: a GET whose `X-Okta-Verification-Challenge` is echoed in JSON.
    Okta,
    /// Dropbox: a GET whose `challenge` is echoed.
    Dropbox,
    /// Xero, "intent to receive": a POST without events; 200 if its signature holds, else 401.
    Xero,
    /// Asana, Keap, Rentman: a POST of nothing but `X-Hook-Secret`, which is sent back.
    Asana,
    /// Discord's interactions: a signed POST of type 1 (PING), answered with type 1.
    Discord,
    /// Discord's webhook events: a signed POST of type 0 (PING) that expects 204 without a body.
    DiscordEvents,
    /// Mandrill: a HEAD that expects 200, or a POST without events under a publicly known key.
    Mandrill,
    /// Microsoft Graph, Business Central: a POST of nothing but a `validationToken` in the
    /// query, which is echoed.
    Microsoft,
    /// Notion: an unsigned POST of a `verification_token`, which becomes the secret.
    Notion,
    /// monday.com: a POST that is nothing but a `challenge`, echoed in JSON.
    Monday,
    /// Trello, Intercom: a HEAD that expects 200.
    Trello,
    /// VTEX: a POST `{"hookConfig":"ping"}` that expects 200.
    Vtex,
    /// Salesforce Marketing Cloud: an unsigned POST of `callbackId` and `verificationKey`.
    Salesforce,
    /// eBay: a GET with `challenge_code`, answered with a hash of it, our verify token and our URL.
    Ebay,
    /// `WooCommerce`: an unsigned form `webhook_id=…` when the hook is saved.
    Woocommerce,
    /// LINE: a signed POST without events.
    Line,
    /// Exact Online: an empty POST.
    ExactOnline,
    /// Twitch `EventSub`: a signed POST of nothing but `challenge` and `subscription`.
    Twitch,
    /// Front: a signed POST of type `sync` whose `X-Front-Challenge` is echoed in JSON.
    Front,
    /// `CloudEvents`: an OPTIONS with `WebHook-Request-Origin`, which is allowed.
    CloudEvents,
    /// Azure Event Grid: a POST of one `SubscriptionValidationEvent` whose code is echoed in JSON.
    EventGrid,
    /// Adobe Acrobat Sign: a GET with our client id in `X-AdobeSign-ClientId`, which is returned,
    /// also in the answer to each event.
    AdobeSign,
    /// Amazon SNS: a signed POST `SubscriptionConfirmation` whose `SubscribeURL` is requested.
    AwsSns,
}

impl HandshakeKind {
    /// Every kind with its name in the configuration.
    pub const NAMES: [(&'static str, Self); 27] = [
        ("slack", Self::Slack),
        ("meta", Self::Meta),
        ("zoom", Self::Zoom),
        ("x", Self::X),
        ("okta", Self::Okta),
        ("dropbox", Self::Dropbox),
        ("xero", Self::Xero),
        ("asana", Self::Asana),
        ("discord", Self::Discord),
        ("discord-events", Self::DiscordEvents),
        ("mandrill", Self::Mandrill),
        ("microsoft", Self::Microsoft),
        ("notion", Self::Notion),
        ("monday", Self::Monday),
        ("trello", Self::Trello),
        ("vtex", Self::Vtex),
        ("salesforce", Self::Salesforce),
        ("ebay", Self::Ebay),
        ("woocommerce", Self::Woocommerce),
        ("line", Self::Line),
        ("exact-online", Self::ExactOnline),
        ("twitch", Self::Twitch),
        ("front", Self::Front),
        ("cloudevents", Self::CloudEvents),
        ("event-grid", Self::EventGrid),
        ("adobe-sign", Self::AdobeSign),
        ("aws-sns", Self::AwsSns),
    ];

    /// The methods that it uses beyond `POST`, for `Allow`.
    #[must_use]
    pub const fn methods(self) -> &'static [Method] {
        match self {
            Self::Meta | Self::X | Self::Okta | Self::Dropbox | Self::Ebay | Self::AdobeSign => {
                &[Method::GET]
            }
            Self::CloudEvents => &[Method::OPTIONS],
            Self::Trello | Self::Mandrill => &[Method::HEAD],
            _ => &[],
        }
    }

    /// The header that marks its request, if a header does.
    #[must_use]
    pub fn header(self) -> Option<HeaderName> {
        match self {
            Self::Okta => Some(HeaderName::from_static("x-okta-verification-challenge")),
            Self::Asana => Some(HeaderName::from_static("x-hook-secret")),
            Self::Front => Some(HeaderName::from_static("x-front-challenge")),
            Self::Twitch => Some(HeaderName::from_static("twitch-eventsub-message-type")),
            Self::CloudEvents => Some(HeaderName::from_static("webhook-request-origin")),
            Self::EventGrid => Some(HeaderName::from_static("aeg-event-type")),
            Self::AdobeSign => self.echoes(),
            _ => None,
        }
    }

    /// The header that the answer to an event must repeat: without it the sender treats a success
    /// as a failure.
    #[must_use]
    pub fn echoes(self) -> Option<HeaderName> {
        match self {
            Self::AdobeSign => Some(HeaderName::from_static("x-adobesign-clientid")),
            _ => None,
        }
    }

    /// The key with which the sender signs its request before there is a secret. It is public, so
    /// it verifies nothing else.
    #[must_use]
    pub const fn known_key(self) -> Option<&'static str> {
        match self {
            // https://mandrill.zendesk.com/hc/en-us/articles/360038740014
            Self::Mandrill => Some("test-webhook"),
            _ => None,
        }
    }

    /// Whether it cannot be answered without a `verify_token`.
    #[must_use]
    pub const fn needs_verify_token(self) -> bool {
        matches!(self, Self::Meta | Self::Ebay)
    }

    /// Whether it cannot be answered without the source's `public_url`.
    #[must_use]
    pub const fn needs_public_url(self) -> bool {
        matches!(self, Self::Ebay)
    }
}
