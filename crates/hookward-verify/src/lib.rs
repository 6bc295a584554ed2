//! Verifies the signatures of webhooks.
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
//! assert_eq!(genuine.secret(), 0);
//! # Ok(())
//! # }
//! ```

pub mod certificates;
pub mod confirmation;
pub mod demand;
pub mod event;
pub mod fault;
pub mod handshake;
pub mod json;
pub mod jwt;
pub mod keys;
mod message_signatures;
pub mod presets;
pub mod reading;
pub mod request;
pub mod scheme;
pub mod sender;
pub mod sign;
pub mod verify;
