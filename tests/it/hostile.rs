//! Attacks from outside; `docs/hardening.md` lists all of them.

mod destinations;
mod exhaustion;
mod framing;
mod injection;
mod payloads;
mod secrets;
mod signatures;

use crate::support::{Delivery, hmac_sha256_hex};

const SECRET: &str = "a-secret-of-the-shop-for-tests";

fn signed(body: &str) -> Delivery {
    let signature = hmac_sha256_hex(SECRET, body.as_bytes());
    Delivery::post("/webhooks/shop", body).with("X-Signature", &format!("sha256={signature}"))
}
