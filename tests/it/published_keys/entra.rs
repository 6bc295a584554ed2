//! Azure Event Grid with tokens of Microsoft Entra ID.

use super::{RSA, pem_bytes, rsa_signature};
use crate::support::{Delivery, KeyServer, Page, Sender, Setup, Upstream, unix_now};
use data_encoding::{BASE64, BASE64URL_NOPAD};

const TENANT: &str = "9c5b1c1e-0000-4000-8000-000000000000";
const EVENT_GRID: &str = "4962773b-9cdb-44cf-a8bf-237846a00ab7";
const EVENT: &str = r#"[{"id":"1","eventType":"Microsoft.Storage.BlobCreated","eventTime":"2026-03-16T10:20:30Z","data":{}}]"#;

fn key_set() -> String {
    let pair = ring::signature::RsaKeyPair::from_pkcs8(&pem_bytes(RSA)).unwrap();
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let (n, e) = (BASE64URL_NOPAD.encode(&public.n), BASE64URL_NOPAD.encode(&public.e));
    // Microsoft's keys have no `alg`, and an `issuer` with a place for the tenant.
    format!(
        r#"{{"keys":[{{"kty":"RSA","use":"sig","kid":"m1","x5t":"m1","n":"{n}","e":"{e}","issuer":"https://login.microsoftonline.com/{{tenantid}}/v2.0"}}]}}"#
    )
}

fn token(payload: &str) -> String {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!(
        "{}.{}",
        encode(r#"{"typ":"JWT","alg":"RS256","x5t":"m1","kid":"m1"}"#),
        encode(payload)
    );
    let signature = BASE64.decode(rsa_signature(&signed).as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn claims(tenant: &str, audience: &str, application: &str) -> String {
    let now = unix_now();
    format!(
        r#"{{"aud":"{audience}","iss":"https://sts.windows.net/{tenant}/","iat":{now},"nbf":{now},"exp":{},"appid":"{application}","appidacr":"2","tid":"{tenant}","ver":"1.0"}}"#,
        now + 3600
    )
}

#[test]
fn event_grid_is_let_in_by_tokens_of_its_own_application_in_the_tenant_for_this_receiver() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/keys", Page::of(key_set()));
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&format!(
            "[sources.grid]\npath = \"/grid\"\npreset = \"azure-event-grid-entra\"\n\
             secrets = [{{ jwks = {:?} }}]\n\
             signature = {{ issuer = \"https://sts.windows.net/{TENANT}/\", audience = \"api://hooks\", claims = {{ appid = \"{EVENT_GRID}\" }} }}\n\
             [[sources.grid.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
            site.url("/keys")
        ))
        .start();
    let sender = Sender::to(&proxy);
    let with = |body: &str, payload: &str| {
        Delivery::post("/grid", body).with("Authorization", &format!("Bearer {}", token(payload)))
    };
    let question = r#"[{"id":"2","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512D38B6"}}]"#;
    let own = claims(TENANT, "api://hooks", EVENT_GRID);
    let asked =
        sender.deliver(&with(question, &own).with("aeg-event-type", "SubscriptionValidation"));
    assert_eq!((asked.status, asked.outcome()), (200, "handshake"));
    assert_eq!(asked.body, br#"{"validationResponse":"512D38B6"}"#);
    let refused = (401, "rejected", "signature_mismatch".to_owned());
    for (what, payload) in [
        (
            "another tenant",
            claims("00000000-0000-4000-8000-000000000000", "api://hooks", EVENT_GRID),
        ),
        ("another receiver", claims(TENANT, "api://other", EVENT_GRID)),
        (
            "another application",
            claims(TENANT, "api://hooks", "00000000-0000-4000-8000-000000000001"),
        ),
    ] {
        assert_eq!(sender.deliver(&with(EVENT, &payload)).verdict(), refused, "{what}");
    }
    let bare = Delivery::post("/grid", EVENT);
    assert_eq!(sender.deliver(&bare).verdict(), (401, "rejected", "signature_missing".to_owned()));
    let validated = bare.with("aeg-event-type", "SubscriptionValidation");
    assert_eq!(sender.deliver(&validated).status, 401, "an event under the header of a question");
    assert_eq!(erp.count(), 0);
    assert_eq!(sender.deliver(&with(EVENT, &own)).verdict(), (200, "delivered", String::new()));
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Type"), "Microsoft.Storage.BlobCreated");
    assert_eq!(site.all_asked(), ["/keys"]);
}
