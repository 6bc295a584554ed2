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
        sender: "eBay",
        because: "The signature is ECDSA over SHA-1, inside JSON inside base64, and its key is given out one by one, to applications that log in with OAuth first. The question of a new endpoint has a handshake, `ebay`.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Wix",
        because: "The whole body is a JWT and no JSON, so nothing in it can be named.",
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
        sender: "Strava",
        because: "Events are not signed and carry no shared word. The verify token guards the subscription alone: it stands in Strava's first question and in no event, and `subscription_id` is a small number that anybody can try.",
        instead: FETCH,
    },
    Unreached {
        sender: "Mailchimp (audience webhooks)",
        because: "Forms without a signature. Only Mailchimp Transactional signs (preset `mandrill`).",
        instead: FETCH,
    },
    Unreached {
        sender: "monday.com (webhooks made with a personal token)",
        because: "Nothing is signed; only webhooks that an app creates carry a JWT (preset `monday`).",
        instead: FETCH,
    },
    Unreached {
        sender: "Braintree",
        because: "The key is the SHA-1 of the private key, and the signature stands in one form field beside the payload that it covers.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "PandaDoc",
        because: "The signature stands in the query of the URL, in a parameter that you name.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Dropbox Sign",
        because: "The hash covers a time and a type inside one field of a multipart form, and the answer has to be a text of Dropbox Sign's choice.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Lithic (transaction webhooks of the dashboard)",
        because: "The HMAC covers the body written anew, so the bytes that arrive do not fix it.",
        instead: "Subscribe through the Events API (preset `lithic`).",
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
