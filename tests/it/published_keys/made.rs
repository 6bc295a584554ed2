//! Deliveries that `sign` and `send` make with key pairs, taken by the proxy, and found out again by
//! `discover`.

use super::{RSA, key_set};
use crate::support::{Sender, Setup, Upstream, hookward, printed, stdout, unix_now};
use std::path::{Path, PathBuf};
use std::process::Output;

fn run(arguments: &[&str], more: &[&Path]) -> Output {
    hookward().args(arguments).args(more).output().unwrap()
}

/// A source that takes signatures of RFC 9421 by the public key in a file.
fn message_source(public: &Path) -> String {
    format!(
        "[sources.msg]\npath = \"/msg\"\nsecrets = [{{ file = \"{}\" }}]\n\
         signature = {{ algorithm = \"http-message-signatures\", components = [\"@method\", \"@target-uri\", \"content-digest\", \"x-id\"] }}\n\
         event = {{ id = [\"json:/id\"], type = [\"json:/type\"] }}\n\
         [[sources.msg.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
        public.display()
    )
}

#[test]
fn what_send_signs_by_rfc_9421_with_a_key_pair_made_for_it_is_taken() {
    let erp = Upstream::start();
    let files = tempfile::tempdir().unwrap();
    let (private, public) = (files.path().join("msg.key"), files.path().join("msg.key.pub"));
    let source = message_source(&public);
    let setup = Setup::new().upstream("erp", &erp, "").table(&source);
    let draft = files.path().join("draft.toml");
    let stated = source.replace(
        "path = \"/msg\"",
        "path = \"/msg\"\npublic_url = \"https://hooks.example.com/msg\"",
    );
    std::fs::write(&draft, format!("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n{stated}"))
        .unwrap();
    // The source names a file that is not there yet.
    let first =
        run(&["sign", "--source", "msg", "--config"], &[&draft, Path::new("--new-key"), &private]);
    assert_eq!(first.status.code(), Some(0), "{}", printed(&first));
    assert!(stdout(&first).contains("Signature-Input: sig1=("), "{}", printed(&first));
    assert!(std::fs::read_to_string(&public).unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&private).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again =
        run(&["sign", "--source", "msg", "--config"], &[&draft, Path::new("--new-key"), &private]);
    assert_eq!(again.status.code(), Some(2), "a key is never overwritten: {}", printed(&again));

    let proxy = setup.start();
    let url = format!("http://{}/msg", proxy.address);
    let send = |key: &Path| {
        run(
            &["send", "--source", "msg", "--url", &url, "--config"],
            &[proxy.file(), Path::new("--private-key"), key],
        )
    };
    let taken = send(&private);
    assert_eq!(taken.status.code(), Some(0), "{}", printed(&taken));
    assert_eq!(erp.saw(1)[0].target, "/msg");
    let other = files.path().join("rsa.pem");
    std::fs::write(&other, RSA).unwrap();
    let refused = send(&other);
    assert_eq!(refused.status.code(), Some(1), "{}", printed(&refused));
    assert!(printed(&refused).contains("signature_mismatch"), "{}", printed(&refused));
    let without = run(&["send", "--source", "msg", "--url", &url, "--config"], &[proxy.file()]);
    assert_eq!(without.status.code(), Some(2), "{}", printed(&without));
    assert!(printed(&without).contains("--private-key"), "{}", printed(&without));
    assert_eq!(erp.count(), 1);
}

#[test]
fn discover_prints_the_table_for_a_token_and_the_proxy_takes_the_delivery_with_it() {
    let erp = Upstream::start();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    let body = r#"{"event_id":"e-1","event_type":"order.paid"}"#;
    let (now, until) = (unix_now(), unix_now() + 600);
    let payload = format!(r#"{{"iat":{now},"exp":{until},"aud":"me","iss":"https://s.example"}}"#);
    let token = super::token(r#"{"alg":"ES256","kid":"k1"}"#, &payload);
    std::fs::write(file("head"), format!("POST /hook HTTP/1.1\nAuthorization: Bearer {token}\n"))
        .unwrap();
    std::fs::write(file("body"), body).unwrap();
    std::fs::write(file("set.json"), key_set("k1")).unwrap();
    std::fs::write(file("other.json"), key_set("k2")).unwrap();
    let discover = |key: &str| {
        hookward()
            .arg("discover")
            .arg("--headers")
            .arg(file("head"))
            .arg("--body")
            .arg(file("body"))
            .arg("--key")
            .arg(file(key))
            .output()
            .unwrap()
    };
    let found = discover("set.json");
    assert_eq!(found.status.code(), Some(0), "{}", printed(&found));
    let table = stdout(&found);
    for part in
        ["jwt_algorithms = [\"ES256\"]", "audience = \"me\"", "issuer = \"https://s.example\""]
    {
        assert!(table.contains(part), "{part} in {table}");
    }
    let unknown = discover("other.json");
    assert_eq!(unknown.status.code(), Some(1), "{}", printed(&unknown));
    assert!(printed(&unknown).contains("names the key `k1`"), "{}", printed(&unknown));
    let mut neither = hookward();
    neither.arg("discover").arg("--headers").arg(file("head")).arg("--body").arg(file("body"));
    let neither = neither.output().unwrap();
    assert_eq!(neither.status.code(), Some(2), "{}", printed(&neither));
    assert!(printed(&neither).contains("--secret-env <VAR>|--key <FILE>"), "{}", printed(&neither));
    let absent = discover("absent.json");
    assert_eq!(absent.status.code(), Some(2), "{}", printed(&absent));

    let site = crate::support::KeyServer::start();
    site.publish("/set", crate::support::Page::of(key_set("k1")));
    let stated = table.replace("https://s.example/.well-known/jwks.json", &site.url("/set"));
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&site.fetch())
        .table(&stated)
        .table("[[sources.sender.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n")
        .start();
    let delivery = crate::support::Delivery::post("/hook", body)
        .with("Authorization", &format!("Bearer {token}"));
    let response = Sender::to(&proxy).deliver(&delivery);
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "e-1");
    let explain = |more: &[&str], key: &[PathBuf]| {
        let mut command = hookward();
        command.args(["explain", "--source", "sender", "--config"]).arg(proxy.file());
        command.arg("--headers").arg(file("head")).arg("--body").arg(file("body"));
        command.args(more).args(key).output().unwrap()
    };
    let unfetched = explain(&[], &[]);
    assert_eq!(unfetched.status.code(), Some(1), "{}", printed(&unfetched));
    assert!(printed(&unfetched).contains("reason: secret_unavailable"), "{}", printed(&unfetched));
    let judged = explain(&["--key"], &[file("set.json")]);
    assert_eq!(judged.status.code(), Some(0), "{}", printed(&judged));
    assert_eq!(site.asked("/set"), 1, "explain fetches nothing");
}

#[test]
fn what_send_signs_with_a_key_pair_made_for_each_scheme_is_taken() {
    let erp = Upstream::start();
    let files = tempfile::tempdir().unwrap();
    let schemes = [
        ("es", "algorithm = \"jwt\", jwt_algorithms = [\"ES256\"], audience = \"me\""),
        (
            "ed",
            "algorithm = \"jwt\", jwt_algorithms = [\"EdDSA\"], header = \"X-Token\", body_claim = \"h\"",
        ),
        ("curve", "algorithm = \"ed25519\", header = \"X-Sig\""),
        ("dsa", "algorithm = \"ecdsa-p256-sha256\", header = \"X-Sig\", encoding = \"base64\""),
    ];
    let table = |(name, rule): (&str, &str)| {
        let public = files.path().join(format!("{name}.pub"));
        format!(
            "[sources.{name}]\npath = \"/{name}\"\nsecrets = [{{ file = \"{}\" }}]\nsignature = {{ {rule} }}\n\
             event = {{ id = [\"json:/id\"], type = [\"json:/type\"] }}\n\
             [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n",
            public.display()
        )
    };
    let tables = schemes.map(table).concat();
    let draft = files.path().join("draft.toml");
    std::fs::write(&draft, format!("[upstreams.erp]\nurl = \"http://127.0.0.1:9\"\n{tables}"))
        .unwrap();
    for (name, _) in schemes {
        let key = files.path().join(name);
        let first =
            run(&["sign", "--source", name, "--config"], &[&draft, Path::new("--new-key"), &key]);
        assert_eq!(first.status.code(), Some(0), "{name}: {}", printed(&first));
    }
    let proxy = Setup::new().upstream("erp", &erp, "").table(&tables).start();
    for (name, _) in schemes {
        let url = format!("http://{}/{name}", proxy.address);
        let send = |key: &str| {
            let key = files.path().join(key);
            let more = [proxy.file(), Path::new("--private-key"), &key];
            run(&["send", "--source", name, "--url", &url, "--config"], &more)
        };
        let taken = send(name);
        assert_eq!(taken.status.code(), Some(0), "{name}: {}", printed(&taken));
        // Another key of the same kind.
        let other = match name {
            "es" => "dsa",
            "dsa" => "es",
            "ed" => "curve",
            _ => "ed",
        };
        let refused = send(other);
        assert_eq!(refused.status.code(), Some(1), "{name}: {}", printed(&refused));
        assert!(printed(&refused).contains("signature_mismatch"), "{}", printed(&refused));
    }
    assert_eq!(erp.count(), schemes.len());
}

#[test]
fn discover_judges_a_certificate_at_the_time_of_the_delivery() {
    let vectors = include_str!("../../vectors/aws-sns.toml");
    let vectors: toml::Table = vectors.parse().unwrap();
    let vector = &vectors["vector"][0];
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    std::fs::write(file("head"), "POST /sns HTTP/1.1\nContent-Type: text/plain\n").unwrap();
    std::fs::write(file("body"), vector["body"].as_str().unwrap()).unwrap();
    std::fs::write(file("sns.pem"), vector["published"].as_str().unwrap()).unwrap();
    let discover = |more: &[&str]| {
        let mut command = hookward();
        command.arg("discover").arg("--headers").arg(file("head")).arg("--body").arg(file("body"));
        command.arg("--key").arg(file("sns.pem")).args(more).output().unwrap()
    };
    let today = discover(&[]);
    assert_eq!(today.status.code(), Some(1), "{}", printed(&today));
    assert!(printed(&today).contains("has expired"), "{}", printed(&today));
    let then = discover(&["--at", "2022-07-28T21:24:10Z"]);
    assert_eq!(then.status.code(), Some(0), "{}", printed(&then));
    for part in ["preset = \"aws-sns\"", "\"/TopicArn\" = \"arn:aws:sns:us-east-2:295079676684:"] {
        assert!(stdout(&then).contains(part), "{part} in {}", stdout(&then));
    }
}
