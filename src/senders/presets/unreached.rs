//! Senders that no preset reaches, each with the reason and what to do instead.

/// A sender whose deliveries Hookward cannot verify.
#[derive(Clone, Copy, Debug)]
pub struct Unreached {
    /// Who.
    pub sender: &'static str,
    /// What stands in the way.
    pub because: &'static str,
    /// What a receiver can do.
    pub instead: &'static str,
}

const VERIFY_IN_RECEIVER: &str = "Verify in the receiver, behind a reverse proxy of the usual kind; or let a small function verify \
     and post the event on, signed after Standard Webhooks.";

const FETCH: &str = "Use a secret, unguessable path with `allow` for the sender's addresses in front, and let the \
     receiver fetch the resource through the API before it acts.";

/// Every sender that was looked at and has no preset.
pub const UNREACHED: &[Unreached] = &[
    Unreached {
        sender: "eBay, Wix",
        because: "eBay gives out its keys to registered applications, one by one; Wix sends the event as a JWT in a body that is no JSON.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "ConnectWise PSA",
        because: "The key is fetched from a URL that stands in the body.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Klarna",
        because: "Public receivers contradict each other (HMAC or ECDSA), and no page of Klarna's that says it was found.",
        instead: "Capture one delivery with `hookward receiver --capture` and let `hookward discover` look at it.",
    },
    Unreached {
        sender: "Contentful",
        because: "The signed headers are listed in a header of the request; a fixed list cannot be known beforehand.",
        instead: "Look at `x-contentful-signed-headers` of one delivery and write the list out: `signed = \"{method}\\n{path}\\nx-contentful-signed-headers:{header:x-contentful-signed-headers};x-contentful-timestamp:{header:x-contentful-timestamp}\\n{body}\"`, hex, with the header's exact text under `require`.",
    },
    Unreached {
        sender: "Mollie (classic webhooks)",
        because: "Nothing is signed: a form with the id of a resource.",
        instead: "Move to next-generation webhooks (preset `mollie`). Until then: let the receiver fetch the payment.",
    },
    Unreached {
        sender: "Salesforce Outbound Messages",
        because: "SOAP without a signature; the answer has to be a SOAP envelope.",
        instead: "Client certificates, or Salesforce's change events instead.",
    },
    Unreached {
        sender: "Keap, Rentman",
        because: "A handshake with `X-Hook-Secret`, then no signature.",
        instead: FETCH,
    },
    Unreached {
        sender: "PrestaShop, Odoo",
        because: "No webhooks of their own; each module has its own scheme.",
        instead: "Look up the module's scheme and write it below `[sources.NAME]`, or let `hookward discover` find it.",
    },
    Unreached {
        sender: "commercetools",
        because: "Events go to queues, not to HTTP endpoints.",
        instead: "Read the queue.",
    },
];
