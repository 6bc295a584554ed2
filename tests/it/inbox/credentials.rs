//! The credentials for a receiver: configured headers, and a new signature for each attempt.

use super::{SOON, kept};
use crate::support::{Event, Reply, Sender, Setup, Upstream};
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::time::Duration;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Verifies as the libraries of Standard Webhooks do.
#[track_caller]
fn verify(seen: &crate::support::Seen) -> i64 {
    let (id, timestamp) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
    let key = data_encoding::BASE64.decode(SECRET.as_bytes()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&seen.body);
    let expected = format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()));
    assert!(seen.header("webhook-signature").split(' ').any(|one| one == expected), "{seen:?}");
    timestamp.parse().unwrap()
}

#[test]
fn headers_are_set_and_the_senders_of_these_names_go() {
    let erp = Upstream::start();
    let keys = "headers = { Authorization = { env = \"ERP_TOKEN\", prefix = \"Bearer \" }, \
                X-Tenant = { value = \"42\" } }";
    let proxy = Setup::new()
        .upstream("erp", &erp, keys)
        .shop_to(&["erp"], "")
        .environment("ERP_TOKEN", "erp-token")
        .start();
    let delivery = Event::order("evt-1")
        .signed()
        .with("Authorization", "Basic forged")
        .with("X_Tenant", "1")
        .with("x-tenant", "2");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let seen = erp.saw(1);
    assert_eq!(seen[0].header("Authorization"), "Bearer erp-token");
    assert_eq!(seen[0].header("X-Tenant"), "42");
    assert!(seen[0].all("X_Tenant").is_empty(), "{seen:?}");
    assert!(!proxy.log().contains("erp-token"));
}

#[test]
fn each_attempt_is_signed_anew_also_from_the_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let erp = Upstream::start();
    erp.next(Reply::after(Duration::from_millis(1100), Reply::Status(500)));
    let keys = format!("sign = {{ secrets = [{{ env = \"ERP_WHSEC\" }}] }}\n{SOON}");
    let proxy = kept(&erp, folder.path(), "spill", &keys)
        .environment("ERP_WHSEC", &format!("whsec_{SECRET}"))
        .start();
    let delivery = Event::order("evt-1").signed().with("webhook-signature", "v1,forged");
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "queued");
    let seen = erp.saw(2);
    assert_eq!(seen[0].header("webhook-id"), "shop:evt-1");
    assert_eq!(seen[1].header("webhook-id"), "shop:evt-1");
    assert!(verify(&seen[1]) > verify(&seen[0]), "the time of the attempt");
    let stored = std::fs::read_dir(folder.path().join("data/inbox")).unwrap();
    for file in stored.map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(b"webhook-timestamp"), "credentials are not stored: {}", file.display());
    }
}

#[test]
fn nothing_is_sent_without_a_credential_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let erp = Upstream::start();
    let keys = format!(
        "headers = {{ Authorization = {{ file = {:?} }} }}\n{SOON}",
        token.display().to_string()
    );
    let proxy = kept(&erp, folder.path(), "spill", &keys).start();
    assert!(proxy.log().contains("Hookward sends nothing to the upstream"), "{}", proxy.log());
    let told = Sender::to(&proxy).deliver(&Event::order("evt-1").signed());
    assert_eq!(told.outcome(), "queued");
    erp.saw(0);
    std::fs::write(&token, "Basic abc").unwrap();
    let reloaded = crate::support::request(proxy.admin, "POST", "/reload", &[]);
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    super::drained(&proxy);
    assert_eq!(erp.saw(1)[0].header("Authorization"), "Basic abc");
}
