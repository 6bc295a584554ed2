//! Senders that no preset reaches, each with the reason and what to do instead.

/// A sender whose deliveries Hookward cannot verify.
#[derive(Clone, Copy, Debug)]
pub struct Unreached {
    /// Who.
    pub sender: &'static str,
    /// Why Hookward cannot verify them.
    pub because: &'static str,
    /// What a receiver can do.
    pub instead: &'static str,
}

const VERIFY_IN_RECEIVER: &str = "Verify in the receiver, behind an ordinary reverse proxy; or \
                                  let a small function verify the event and post it on with a \
                                  Standard Webhooks signature.";

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
        because: "The key comes from a URL in the body.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Klarna",
        because: "Public receivers contradict each other (HMAC or ECDSA), and no Klarna page with \
                  the answer was found.",
        instead: "Capture one delivery with `hookward receiver --capture` and run `hookward \
                  discover` on it.",
    },
    Unreached {
        sender: "Mollie (classic webhooks)",
        because: "Nothing is signed; the body is a form with the id of a resource.",
        instead: "Move to next-generation webhooks (preset `mollie`). Until then: let the receiver fetch the payment.",
    },
    Unreached {
        sender: "Salesforce Outbound Messages",
        because: "SOAP without a signature; the answer must be a SOAP envelope.",
        instead: "Use client certificates, or Salesforce's change events.",
    },
    Unreached {
        sender: "Keap, Rentman",
        because: "There is a handshake with `X-Hook-Secret`, but no signature after that.",
        instead: FETCH,
    },
    Unreached {
        sender: "Strava",
        because: "Events are not signed and contain no shared secret. The verify token protects \
                  only the subscription: it is in Strava's first request and in no event, and \
                  `subscription_id` is a small number that anyone can guess.",
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
        because: "The key is the SHA-1 of the private key, and the signature is in a form field \
                  next to the payload that it covers.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "PandaDoc",
        because: "The signature is in the query of the URL, in a parameter that you choose.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Dropbox Sign",
        because: "The hash covers a time and a type inside one field of a multipart form, and the \
                  answer must be a text that Dropbox Sign prescribes.",
        instead: VERIFY_IN_RECEIVER,
    },
    Unreached {
        sender: "Lithic (transaction webhooks of the dashboard)",
        because: "The HMAC covers a re-serialised body, so the received bytes do not determine it.",
        instead: "Subscribe through the Events API (preset `lithic`).",
    },
    Unreached {
        sender: "PrestaShop, Odoo",
        because: "There are no built-in webhooks; each module has its own scheme.",
        instead: "Look up the module's scheme and write it below `[sources.NAME]`, or let `hookward discover` find it.",
    },
    Unreached {
        sender: "commercetools",
        because: "Events go to queues, not to HTTP endpoints.",
        instead: "Read the queue.",
    },
];
