//! Tokens that bring their certificates along: whole deliveries as Apple's App Store makes them, under
//! a root of the tests.

use super::{P256, token};
use crate::support::{Delivery, Proxy, Sender, Setup, Upstream, hookward, printed, unix_now};
use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use serde_json::json;

/// The certificates of a token, leaf first, and the root that they end at.
struct Chain {
    certificates: Vec<Vec<u8>>,
    root_pem: String,
}

#[derive(Clone, Copy)]
struct Making {
    leaf_until: i32,
    is_marked: bool,
}

const GOOD: Making = Making { leaf_until: 2090, is_marked: true };

impl Chain {
    fn make(making: Making) -> Self {
        Authority::new().chain(making)
    }
}

/// A root and an intermediate, which sign leaves.
struct Authority {
    root: Issuer<'static, KeyPair>,
    root_der: Vec<u8>,
    root_pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params(true, 2090, None);
        let root = params.self_signed(&key).unwrap();
        let (root_der, root_pem) = (root.der().to_vec(), root.pem());
        Self { root: Issuer::new(params, key), root_der, root_pem }
    }

    fn chain(&self, making: Making) -> Chain {
        let mark = |oid: &[u64]| {
            making.is_marked.then(|| CustomExtension::from_oid_content(oid, vec![5, 0]))
        };
        let middle_key = KeyPair::generate().unwrap();
        let middle = params(true, 2090, mark(&[1, 2, 840, 113_635, 100, 6, 2, 1]));
        let middle_der = middle.signed_by(&middle_key, &self.root).unwrap().der().to_vec();
        let issuer = Issuer::new(middle, middle_key);
        let leaf = params(false, making.leaf_until, mark(&[1, 2, 840, 113_635, 100, 6, 11, 1]));
        let leaf = leaf.signed_by(&KeyPair::from_pem(P256).unwrap(), &issuer).unwrap();
        Chain {
            certificates: vec![leaf.der().to_vec(), middle_der, self.root_der.clone()],
            root_pem: self.root_pem.clone(),
        }
    }
}

fn params(is_ca: bool, until: i32, mark: Option<CustomExtension>) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["apple.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.custom_extensions.extend(mark);
    params
}

/// A notification with signed data in it, which are tokens of their own.
fn payload(id: &str, bundle: &str) -> String {
    let header = r#"{"alg":"ES256"}"#;
    json!({
        "notificationType": "DID_RENEW",
        "subtype": "BILLING_RECOVERY",
        "notificationUUID": id,
        "version": "2.0",
        "signedDate": unix_now() * 1000,
        "data": {
            "bundleId": bundle,
            "environment": "Production",
            "signedTransactionInfo": token(header, r#"{"transactionId":"1"}"#),
            "signedRenewalInfo": token(header, r#"{"autoRenewStatus":1}"#),
        },
    })
    .to_string()
}

fn delivery(chain: &[Vec<u8>], algorithm: &str, payload: &str) -> Delivery {
    let chain: Vec<String> = chain.iter().map(|der| BASE64.encode(der)).collect();
    let header = json!({ "alg": algorithm, "x5c": chain }).to_string();
    let body = json!({ "signedPayload": token(&header, payload) }).to_string();
    Delivery::post("/apple", body)
}

fn proxy(erp: &Upstream, root_pem: &str) -> (Proxy, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("root.pem");
    std::fs::write(&root, root_pem).unwrap();
    let proxy = Setup::new()
        .upstream("erp", erp, "")
        .table(&format!(
            "[sources.apple]\npath = \"/apple\"\npreset = \"apple-app-store\"\n\
             signature = {{ x5c_root = \"{}\", claims = {{ \"/data/bundleId\" = \"com.example.app\" }} }}\n\
             [[sources.apple.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
            root.display()
        ))
        .start();
    (proxy, files)
}

#[test]
fn a_notification_of_the_app_store_reaches_the_receiver_as_it_came_and_once() {
    let erp = Upstream::start();
    let chain = Chain::make(GOOD);
    let (proxy, _files) = proxy(&erp, &chain.root_pem);
    let sender = Sender::to(&proxy);
    let genuine = delivery(&chain.certificates, "ES256", &payload("u-1", "com.example.app"));
    assert_eq!(sender.deliver(&genuine).verdict(), (200, "delivered", String::new()));
    assert_eq!(sender.deliver(&genuine).verdict(), (200, "duplicate", String::new()));
    let seen = erp.saw(1);
    assert_eq!(seen[0].header("Hookward-Event-Id"), "u-1");
    assert_eq!(seen[0].header("Hookward-Event-Type"), "DID_RENEW");
    assert_eq!(seen[0].body, genuine.body, "signed data inside included");
}

#[test]
fn a_notification_that_send_makes_with_a_key_and_its_certificates_is_taken() {
    let erp = Upstream::start();
    let chain = Chain::make(GOOD);
    let (proxy, files) = proxy(&erp, &chain.root_pem);
    let pem = |der: &Vec<u8>| {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(der))
    };
    let certificates: String = chain.certificates.iter().map(pem).collect();
    let key = files.path().join("apple.pem");
    std::fs::write(&key, format!("{P256}{certificates}")).unwrap();
    let output = hookward()
        .args(["send", "--source", "apple", "--type", "TEST", "--config"])
        .arg(proxy.file())
        .args(["--url", &format!("http://{}/apple", proxy.address), "--private-key"])
        .arg(&key)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Type"), "TEST");
}

#[test]
fn a_notification_that_apple_did_not_make_for_this_app_is_refused() {
    let erp = Upstream::start();
    let authority = Authority::new();
    let good = authority.chain(GOOD).certificates;
    let (proxy, _files) = proxy(&erp, &authority.root_pem);
    let sender = Sender::to(&proxy);
    let own = payload("u-2", "com.example.app");
    let expired = authority.chain(Making { leaf_until: 2021, ..GOOD }).certificates;
    let unmarked = authority.chain(Making { is_marked: false, ..GOOD }).certificates;
    let strangers = Chain::make(GOOD).certificates;
    // The pinned root at the end of a chain that it did not sign.
    let mixed = vec![strangers[0].clone(), strangers[1].clone(), good[2].clone()];
    let alone = vec![good[0].clone(), good[2].clone()];
    let long =
        vec![good[0].clone(), good[1].clone(), good[1].clone(), good[1].clone(), good[2].clone()];
    let mut altered = delivery(&good, "ES256", &own);
    let text = String::from_utf8(altered.body.clone()).unwrap();
    let (signed, rest) = text.rsplit_once('.').unwrap();
    altered.body = format!("{signed}A.{rest}").into_bytes();
    let mismatch = "signature_mismatch";
    for (what, delivery, reason) in [
        ("another app", delivery(&good, "ES256", &payload("u-3", "com.example.other")), mismatch),
        ("another root", delivery(&strangers, "ES256", &own), mismatch),
        ("a root that did not sign", delivery(&mixed, "ES256", &own), mismatch),
        ("an expired chain", delivery(&expired, "ES256", &own), mismatch),
        ("a chain for another use", delivery(&unmarked, "ES256", &own), mismatch),
        ("a link is missing", delivery(&alone, "ES256", &own), mismatch),
        ("too long a chain", delivery(&long, "ES256", &own), mismatch),
        ("the root alone", delivery(&good[2..], "ES256", &own), mismatch),
        ("no chain", delivery(&[], "ES256", &own), mismatch),
        ("alg none", delivery(&good, "none", &own), mismatch),
        ("another algorithm", delivery(&good, "RS256", &own), mismatch),
        ("an altered payload", altered, "signature_malformed"),
        ("no token", Delivery::post("/apple", r#"{"signedPayload":""}"#), "signature_malformed"),
        ("nothing", Delivery::post("/apple", "{}"), "signature_missing"),
    ] {
        let response = sender.deliver(&delivery);
        assert_eq!(response.verdict(), (401, "rejected", reason.to_owned()), "{what}");
    }
    assert_eq!(erp.count(), 0);
    // A rotation needs nothing of the receiver: the next leaf leads to the same root.
    let next = authority.chain(GOOD).certificates;
    let response = sender.deliver(&delivery(&next, "ES256", &own));
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
}
