//! The commands that call a proxy: `send` its public listener, `dedupe` and `health` the admin one.

use crate::support::{
    Event, PATIENCE, Proxy, Redis, Reply, Sender, Setup, Upstream, hookward, printed, stdout,
};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

const SHOP_SECRET: (&str, &str) = ("SHOP_SECRET", "a-secret-of-the-shop-for-tests");
const ADMIN_TOKEN: (&str, &str) = ("ADMIN_TOKEN", "a-token-for-the-admin-listener");

#[track_caller]
fn run(arguments: &[&str], config: &Path) -> Output {
    hookward()
        .args(arguments)
        .arg("--config")
        .arg(config)
        .envs([SHOP_SECRET, ADMIN_TOKEN])
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The ports were given by the system, so the commands need a file that names them.
fn file_that_names(proxy: &Proxy, setup: &Setup) -> PathBuf {
    let file = proxy.file().with_file_name("named.toml");
    let named = setup
        .clone()
        .server(&format!("listen = [\"{}\"]", proxy.address))
        .admin(&format!("listen = \"{}\"", proxy.admin));
    std::fs::write(&file, named.toml()).unwrap();
    file
}

#[test]
fn sending_prints_status_and_outcome_and_ends_accordingly() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let send = |more: &[&str]| {
        let url = format!("http://{}/webhooks/shop", proxy.address);
        let arguments = [&["send", "--source", "shop", "--url", &url], more].concat();
        let output = run(&arguments, proxy.file());
        (output.status.code().unwrap(), stdout(&output))
    };
    assert_eq!(send(&["--id", "a"]), (0, "200 delivered\n".to_owned()));
    assert_eq!(send(&["--id", "a"]), (0, "200 duplicate\n".to_owned()));
    assert_eq!(send(&["--type", "review.published"]), (0, "200 delivered\n".to_owned()));
    let seen = erp.saw(2);
    assert_eq!(seen[0].header("Hookward-Event-Id"), "a");
    assert_eq!(seen[1].header("Hookward-Event-Type"), "review.published");
    erp.next(Reply::Status(500));
    assert_eq!(send(&[]), (1, "500 failed upstream_error\n".to_owned()));
    let wrong = format!("http://{}/nowhere", proxy.address);
    let output = run(&["send", "--source", "shop", "--url", &wrong], proxy.file());
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(1), "404 rejected unknown_source\n".to_owned())
    );
}

#[test]
fn the_admin_calls_look_up_and_forget() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp)
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .environment("ADMIN_TOKEN", "a-token-for-the-admin-listener");
    let proxy = setup.start();
    let file = file_that_names(&proxy, &setup);
    let call = |action: &str| {
        let output = run(&["dedupe", action, "shop", "evt/ü 1"], &file);
        (output.status.code().unwrap(), stdout(&output))
    };
    assert_eq!(call("get").0, 1);
    let delivery = Event::order("evt/ü 1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    let (code, text) = call("get");
    assert!(code == 0 && text.contains("erp") && text.contains("delivered"), "{code} {text}");
    assert_eq!(call("forget").0, 0);
    assert_eq!((call("get").0, call("forget").0), (1, 1));
    assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered");
    erp.saw(2);
}

#[test]
fn health_follows_readiness() {
    let erp = Upstream::start();
    let mut proxy = Setup::shop(&erp).start();
    let url = format!("http://{}/readyz", proxy.admin);
    let ask = || hookward().args(["health", "--url", &url]).output().unwrap().status.code();
    assert_eq!(ask(), Some(0));
    proxy.signal("TERM");
    proxy.ends_within(PATIENCE);
    assert_eq!(ask(), Some(1));
}

#[test]
fn sending_so_many_times_sends_the_very_same_bytes_and_tells_each_answer() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let file = file_that_names(&proxy, &setup);
    erp.next(Reply::Status(500));
    let output = run(&["send", "--source", "shop", "--id", "a", "--times", "3"], &file);
    let expected = "500 failed upstream_error\n200 delivered\n200 duplicate\n";
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), expected));
    let seen = erp.saw(2);
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(proxy.metric("hookward_dedupe_body_mismatch_total", &[]), 0);
    assert_eq!(run(&["send", "--source", "shop", "--times", "0"], &file).status.code(), Some(2));
}

#[test]
fn sending_a_body_says_which_options_it_makes_useless() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let file = file_that_names(&proxy, &setup);
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("event.json");
    std::fs::write(&body, Event::order("in-the-body").signed().body).unwrap();
    let body = body.to_str().unwrap();
    let output = run(&["send", "--source", "shop", "--id", "a", "--body", body], &file);
    assert_eq!(stdout(&output), "200 delivered\n");
    assert!(printed(&output).contains("--id is not used: source `shop` has it in the body"));
    assert_eq!(erp.saw(1)[0].header("Hookward-Event-Id"), "in-the-body");
}

#[test]
fn a_url_that_cannot_be_asked_ends_with_2_and_one_where_nobody_answers_with_3() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let silent = format!("http://{}/webhooks/shop", Upstream::unreachable());
    for (url, code, said) in [
        ("nonsense", 2, "not a URL such as http://"),
        ("ftp://127.0.0.1/", 2, "not a URL such as http://"),
        ("127.0.0.1:8080", 2, "not a URL such as http://"),
        ("", 2, "--url"),
        (silent.as_str(), 3, "is the proxy running?"),
    ] {
        let output = run(&["send", "--source", "shop", "--url", url], proxy.file());
        assert_eq!(output.status.code(), Some(code), "{url} {}", printed(&output));
        assert!(stderr(&output).contains(said), "{url} {}", printed(&output));
    }
    let health = hookward().args(["health", "--url", "nonsense"]).output().unwrap();
    assert_eq!(health.status.code(), Some(2), "{}", printed(&health));
    let any_port = run(&["send", "--source", "shop"], proxy.file());
    assert_eq!(any_port.status.code(), Some(2), "{}", printed(&any_port));
    assert!(stderr(&any_port).contains("server.listen has port 0"), "{}", printed(&any_port));
}

#[test]
fn an_admin_call_ends_with_1_only_if_the_answer_is_no() {
    let erp = Upstream::start();
    let mut redis = Redis::start();
    let setup = Setup::shop(&erp)
        .admin("token = { env = \"ADMIN_TOKEN\" }")
        .dedupe(&format!("store = \"redis\"\nurl = \"{}\"", redis.url()))
        .environment(ADMIN_TOKEN.0, ADMIN_TOKEN.1);
    let mut proxy = setup.start();
    let file = file_that_names(&proxy, &setup);
    let fails = |token: &str, code: i32, said: &str| {
        for action in ["get", "forget"] {
            let output = hookward()
                .args(["dedupe", action, "shop", "evt-1", "--config"])
                .arg(&file)
                .envs([SHOP_SECRET, (ADMIN_TOKEN.0, token)])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(code), "{action} {}", printed(&output));
            assert!(printed(&output).contains(said), "{said}: {action} {}", printed(&output));
        }
    };
    fails(ADMIN_TOKEN.1, 1, "not known");
    fails("another-token-of-somebody-else", 2, "[admin].token");
    redis.stop();
    fails(ADMIN_TOKEN.1, 3, "the store does not answer");
    proxy.crash();
    fails(ADMIN_TOKEN.1, 3, "is the proxy running?");
}

#[test]
fn an_answer_of_somebody_else_at_the_admin_address_is_no_answer_about_the_event() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let erp = Upstream::start();
    let listen = format!("listen = \"{}\"", other.local_addr().unwrap());
    let setup = Setup::shop(&erp).admin(&listen);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).unwrap() > 0);
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    std::fs::write(&file, setup.toml()).unwrap();
    let output = run(&["dedupe", "get", "shop", "evt-1"], &file);
    assert_eq!(output.status.code(), Some(3), "{}", printed(&output));
    assert!(stderr(&output).contains("answered 404"), "{}", printed(&output));
    answering.join().unwrap();
}

/// Certificate and key of a listener, written as `NAME.pem` and `NAME.key`.
fn self_signed(directory: &Path, name: &str, is_ca: bool) {
    let mut parameters =
        rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
    if is_ca {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn sending_to_a_tls_listener_of_our_own_trusts_its_certificate_and_no_other() {
    let erp = Upstream::start();
    let directory = tempfile::tempdir().unwrap();
    // What `openssl req -x509` makes says that it is an authority; what others make does not.
    for (name, is_ca) in [("authority", true), ("leaf", false)] {
        self_signed(directory.path(), name, is_ca);
        let path = directory.path().join(name);
        let setup = Setup::shop(&erp)
            .server(&format!("tls = {{ cert = \"{0}.pem\", key = \"{0}.key\" }}", path.display()));
        let proxy = setup.start();
        let file = file_that_names(&proxy, &setup);
        let derived = run(&["send", "--source", "shop"], &file);
        assert_eq!(stdout(&derived), "200 delivered\n", "{name} {}", printed(&derived));

        let url = format!("https://{}/webhooks/shop", proxy.address);
        let to_url = ["send", "--source", "shop", "--url", &url];
        let unknown = run(&to_url, &file);
        assert_eq!(unknown.status.code(), Some(3), "{name} {}", printed(&unknown));
        assert!(stderr(&unknown).contains("--ca FILE"), "{name} {}", printed(&unknown));
        let certificate = format!("{}.pem", path.display());
        let named = run(&[&to_url[..], &["--ca", &certificate]].concat(), &file);
        assert_eq!(stdout(&named), "200 delivered\n", "{name} {}", printed(&named));

        // Another certificate with the same name belongs to someone else.
        self_signed(directory.path(), name, is_ca);
        for more in [
            &["send", "--source", "shop"][..],
            &to_url,
            &[&to_url[..], &["--ca", &certificate]].concat(),
        ] {
            let other = run(more, &file);
            assert_eq!(other.status.code(), Some(3), "{name} {more:?} {}", printed(&other));
        }
    }
    erp.saw(4);
}

#[test]
fn a_certificate_of_a_private_authority_must_be_for_the_name_that_is_asked() {
    let erp = Upstream::start();
    let directory = tempfile::tempdir().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let path = directory.path().join("leaf");
    std::fs::write(path.with_extension("pem"), leaf.pem()).unwrap();
    std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    let proxy = Setup::shop(&erp)
        .server(&format!("tls = {{ cert = \"{0}.pem\", key = \"{0}.key\" }}", path.display()))
        .start();
    for (host, code) in [("localhost", 0), ("127.0.0.1", 3)] {
        let url = format!("https://{host}:{}/webhooks/shop", proxy.address.port());
        let ca = ca.to_str().unwrap();
        let output = run(&["send", "--source", "shop", "--url", &url, "--ca", ca], proxy.file());
        assert_eq!(output.status.code(), Some(code), "{host} {}", printed(&output));
    }
    for file in ["/no/such/ca.pem", proxy.file().to_str().unwrap()] {
        let output = run(&["send", "--source", "shop", "--ca", file], proxy.file());
        assert_eq!(output.status.code(), Some(2), "{file} {}", printed(&output));
    }
}

#[test]
fn a_source_that_is_not_configured_is_wrong_usage_in_every_command() {
    let erp = Upstream::start();
    let setup = Setup::shop(&erp);
    let proxy = setup.start();
    let file = file_that_names(&proxy, &setup);
    let body = proxy.file().to_str().unwrap();
    for arguments in [
        &["dedupe", "get", "shpo", "evt-1"][..],
        &["dedupe", "forget", "shpo", "evt-1"],
        &["sign", "--source", "shpo"],
        &["send", "--source", "shpo"],
        &["explain", "--source", "shpo", "--headers", body, "--body", body],
    ] {
        let output = run(arguments, &file);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {}", printed(&output));
        let said = stderr(&output);
        assert!(said.contains("did you mean `shop`?"), "{arguments:?} {said}");
        assert!(said.contains("the sources are: shop"), "{arguments:?} {said}");
    }
    assert_eq!(run(&["dedupe", "get", "shop", "evt-1"], &file).status.code(), Some(1));
}
