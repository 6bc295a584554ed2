//! Requests as a sender makes them: fresh events, signed; the same one again; forged ones.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shared secret.
pub const SECRET: &str = "a-secret-for-measuring-0123456789";

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event that was never sent before.
    Fresh,
    /// One and the same event.
    Repeated,
    /// A fresh event whose signature is wrong.
    Forged,
}

impl Kind {
    /// What a checking proxy answers.
    pub const fn status(self) -> u16 {
        match self {
            Self::Fresh | Self::Repeated => 200,
            Self::Forged => 401,
        }
    }
}

/// Numbers for ids; they differ between runs too, for stores that survive one.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Makes requests of one kind, path and size.
#[derive(Clone)]
pub struct Maker {
    kind: Kind,
    path: &'static str,
    filler: String,
    mac: Hmac<Sha256>,
    repeated: Option<Vec<u8>>,
}

impl Maker {
    /// `body_bytes` is exact where it is at least 150 or so.
    pub fn new(kind: Kind, path: &'static str, body_bytes: usize) -> Self {
        let mac = Hmac::new_from_slice(SECRET.as_bytes()).expect("any key is one");
        let mut maker = Self { kind, path, filler: String::new(), mac, repeated: None };
        let bare = maker.body().len();
        maker.filler = "x".repeat(body_bytes.saturating_sub(bare));
        if kind == Kind::Repeated {
            maker.repeated = Some(maker.request());
        }
        maker
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The next request, into `into`.
    pub fn next(&self, into: &mut Vec<u8>) {
        into.clear();
        match &self.repeated {
            Some(request) => into.extend_from_slice(request),
            None => into.append(&mut self.request()),
        }
    }

    fn body(&self) -> String {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let run = std::process::id();
        let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        format!(
            "{{\"event_id\":\"{run:07}-{number:012}\",\"type\":\"order.paid\",\"created_at\":\"{at}\",\"data\":\"{}\"}}",
            self.filler
        )
    }

    fn request(&self) -> Vec<u8> {
        let body = self.body();
        let mut signature = String::with_capacity(64);
        if self.kind == Kind::Forged {
            signature = "0".repeat(64);
        } else {
            let mut mac = self.mac.clone();
            mac.update(body.as_bytes());
            for byte in mac.finalize().into_bytes() {
                write!(signature, "{byte:02x}").expect("a string takes it");
            }
        }
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: Webhooks/1.0\r\n\
             Accept: */*\r\nContent-Type: application/json\r\nX-Signature: sha256={signature}\r\n\
             Content-Length: {}\r\n\r\n",
            self.path,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body.as_bytes());
        request
    }
}
