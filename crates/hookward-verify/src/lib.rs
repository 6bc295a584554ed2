//! Verifies the signatures of webhooks, for more than a hundred senders and for schemes of your
//! own.
//!
//! A [`Sender`] describes how a sender signs, with its secrets. [`verify()`] checks one request:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hookward_verify::{Request, Sender, verify};
//!
//! let sender = Sender::preset("github", ["It's a Secret to Everybody"])?;
//! let request = http::Request::post("/webhooks/github")
//!     .header(
//!         "X-Hub-Signature-256",
//!         "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
//!     )
//!     .body("Hello, World!")?;
//! let genuine = verify(&sender, Request::of(&request), request.body().as_bytes())?;
//! assert_eq!(genuine.secret(), 0); // the newest of the sender's secrets
//! # Ok(())
//! # }
//! ```
//!
//! A genuine request can still be an old one that an attacker sends again. [`Event::read`] reads
//! what was reported and when it was sent, and [`Sender::check_freshness`] compares that with the
//! time that you pass:
//!
//! ```
//! # use hookward_verify::sign::{SignRequest, SigningKey, sign};
//! use hookward_verify::{Event, FaultKind, Request, Sender, UnixMillis, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let now = UnixMillis::from_seconds(1_773_656_430);
//! # let body = br#"{"id":"evt_1","type":"invoice.paid"}"#;
//! # let stripe = Sender::preset("stripe", ["whsec_0123456789abcdef"])?;
//! # let headers = {
//! #     let key = SigningKey::Shared(&stripe.secrets[0]);
//! #     let (id, event_type, query) = (None, None, None);
//! #     let request = SignRequest { id, event_type, path: "/", at: now, query, body };
//! #     let mut headers = http::HeaderMap::new();
//! #     for (name, value) in sign(&stripe, &key, &request)?.headers {
//! #         headers.insert(http::HeaderName::try_from(name)?, value.parse()?);
//! #     }
//! #     headers
//! # };
//! # let request = Request { method: &http::Method::POST, path: "/", query: None, headers: &headers };
//! let genuine = verify(&stripe, request, body)?;
//! let event = Event::read(&stripe, request, body, &genuine)?;
//! stripe.check_freshness(event.sent, now)?;
//! assert_eq!((event.id.as_str(), &*event.kind), ("evt_1", "invoice.paid"));
//!
//! let later = UnixMillis(now.0 + 301_000);
//! let fault = stripe.check_freshness(event.sent, later).unwrap_err();
//! assert_eq!(fault.kind(), FaultKind::TimestampTooOld);
//! # Ok(())
//! # }
//! ```
//!
//! # What you can do
//!
//! | to | use |
//! | --- | --- |
//! | verify a sender that is known | [`Sender::preset`]; [`presets::all`] lists them |
//! | verify any other sender | [`Scheme::from_toml`], then [`Sender::new`] |
//! | verify a body while it arrives | [`SignatureCheck`] |
//! | keep headers in a form of your own | [`Headers`] |
//! | answer the request that a sender makes before its first event | [`handshake`] |
//! | verify with keys that the sender publishes | [`demand`], then [`verify::verify_with`] and [`Sender::check_token_freshness`] |
//! | make a delivery, for a test | [`sign`] |
//! | show why a signature does not match | [`Fault`], [`verify::SignedText`] |
//!
//! `examples/axum.rs` is a whole server.
//!
//! # What it promises
//!
//! - A [`Genuine`] exists only for a request with a signature that one of the sender's secrets made,
//!   over the bytes that the scheme names, as they arrived. The request never chooses the algorithm.
//! - Every secret is tried on every signature, and compared in constant time. How long that takes
//!   does not tell which of them matched.
//! - Ambiguous input is refused: a signed header with two values, a member of a JSON object that
//!   occurs twice, a signed query parameter with two values.
//! - A [`Fault`] contains nothing of a secret, of a computed signature or of a body, so it can be
//!   logged.
//! - No input makes it panic, and memory stays proportional to the request.
//!
//! # What it leaves to you
//!
//! - **Time.** The crate reads no clock. Pass `now` to [`Sender::check_freshness`].
//! - **Duplicates.** A genuine and fresh event can arrive twice. Remember [`Event::id`], or, if the
//!   sender does not sign its id, [`Genuine::signed_fingerprint`].
//! - **Limits.** Bound the size of heads and bodies before you pass them.
//! - **The body as it was sent.** Pass its raw bytes: not parsed and printed again, and not
//!   decompressed.
//! - **Answers.** Which status a sender gets for a fault is your decision; so is what it is told.

pub use event::Event;
pub use fault::{Fault, FaultKind};
pub use hookward_names::EventId;
pub use hookward_secret::{NamedSecret, Secret};
pub use hookward_time::UnixMillis;
pub use reading::SchemeError;
pub use request::{Headers, Request};
pub use scheme::Scheme;
pub use sender::{Sender, SenderError};
pub use verify::{Genuine, SignatureCheck, verify};

pub mod certificates;
pub mod confirmation;
pub mod demand;
pub mod event;
pub mod fault;
pub mod handshake;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod message_signatures;
pub mod presets;
pub mod reading;
pub mod request;
pub mod scheme;
pub mod sender;
pub mod sign;
pub mod verify;
