//! The commands except `run`: section 8 of the contract.

use crate::support::{
    Event, Proxy, Sender, Setup, Upstream, eventually, get, hmac_sha256_hex, hookward, printed,
    stdout,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SHOP_SECRET: (&str, &str) = ("SHOP_SECRET", "a-secret-of-the-shop-for-tests");

#[track_caller]
fn run(arguments: &[&str], config: &Path) -> Output {
    hookward()
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env(SHOP_SECRET.0, SHOP_SECRET.1)
        .env("STD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .output()
        .unwrap()
}

/// A running proxy with the sources `shop` and `std`.
fn proxy(erp: &Upstream) -> Proxy {
    Setup::shop(erp)
        .table(
            "[sources.std]\npath = \"/webhooks/std\"\npreset = \"standard-webhooks\"\n\
             secrets = [{ env = \"STD_SECRET\" }]\n\
             [[sources.std.routes]]\nevents = [\"*\"]\nto = [\"erp\"]",
        )
        .environment("STD_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .start()
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "sign"], 0),
        (&[], 2),
        (&["nonsense"], 2),
        (&["sign"], 2),
        (&["sign", "--source", "shop", "--at", "soon"], 2),
        (&["receiver", "--status", "700"], 2),
        (&["check", "--config", "/no/such/file.toml"], 2),
        (&["run", "--config", "/no/such/file.toml"], 2),
        (&["presets", "no-such-sender"], 2),
    ] {
        let output = hookward().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", printed(&output));
        let (said, silent) =
            if code == 0 { (output.stdout, output.stderr) } else { (output.stderr, output.stdout) };
        assert!(!said.is_empty() && silent.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_with_what_one_looks_like() {
    for address in ["9001", "localhost:9001", "127.0.0.1"] {
        let output = hookward().args(["receiver", "--listen", address]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{address} {}", printed(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("IP:PORT, such as 127.0.0.1:9001"), "{address} {said}");
    }
}

#[test]
fn the_configuration_is_the_one_named_by_the_option_else_by_the_variable_else_the_default() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("config")).unwrap();
    for name in ["config/hookward.toml", "variable.toml", "option.toml"] {
        let source = Path::new(name).file_stem().unwrap().to_str().unwrap();
        let text = format!(
            "[sources.{source}]\npath = \"/{source}\"\npreset = \"stripe\"\n\
             secrets = [{{ env = \"SHOP_SECRET\" }}]\n"
        );
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    for (variable, option, expected) in [
        (None, None, "/hookward"),
        (Some(""), None, "/hookward"),
        (Some("variable.toml"), None, "/variable"),
        (Some("variable.toml"), Some("option.toml"), "/option"),
        (Some(""), Some("option.toml"), "/option"),
    ] {
        let mut command = hookward();
        command.arg("check").current_dir(directory.path());
        command.args(option.map(|file| ["--config", file]).into_iter().flatten());
        command.envs(variable.map(|file| ("HOOKWARD_CONFIG", file)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{variable:?} {}", printed(&output));
        assert!(stdout(&output).contains(expected), "{variable:?} {}", printed(&output));
    }
}

#[test]
fn a_default_file_that_is_not_there_says_how_to_name_another() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &["run"], &["health"], &["sign", "--source", "shop"]] {
        let output = hookward().args(arguments).current_dir(directory.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        for part in ["config/hookward.toml", "--config", "$HOOKWARD_CONFIG"] {
            assert!(said.contains(part), "{part} is not in {}", printed(&output));
        }
    }
    let named = hookward().args(["check", "--config", "/no/such/file.toml"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&named.stderr).contains("$HOOKWARD_CONFIG"));
}

#[test]
fn check_shows_what_a_configuration_comes_to() {
    let erp = Upstream::start();
    let proxy = proxy(&erp);
    let output = run(&["check"], proxy.file());
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    for part in ["shop", "/webhooks/shop", "opentiendas", "order.created", "erp", &erp.url()] {
        assert!(stdout(&output).contains(part), "{part} is not in {}", printed(&output));
    }
    assert!(!printed(&output).contains(SHOP_SECRET.1));
}

#[test]
fn check_ends_with_0_on_a_warning() {
    let erp = Upstream::start();
    let proxy = proxy(&erp);
    let mut command = hookward();
    let output = command.arg("check").arg("--config").arg(proxy.file()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "an unreadable secret: {}", printed(&output));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("SHOP_SECRET"),
        "{}",
        printed(&output)
    );
}

#[test]
fn signed_headers_are_those_that_the_proxy_takes() {
    let erp = Upstream::start();
    let proxy = proxy(&erp);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("event.json");
    for (index, source) in ["shop", "std"].into_iter().enumerate() {
        let body = Event::order(&format!("evt-{source}")).body();
        std::fs::write(&file, &body).unwrap();
        let output =
            run(&["sign", "--source", source, "--body", file.to_str().unwrap()], proxy.file());
        assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        let mut delivery =
            crate::support::Delivery::post(&format!("/webhooks/{source}"), body.clone());
        delivery.headers = stdout(&output)
            .lines()
            .map(|line| line.split_once(": ").expect("Name: value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(Sender::to(&proxy).deliver(&delivery).outcome(), "delivered", "{source}");
        assert_eq!(erp.saw(index + 1).pop().unwrap().body, body);
    }
}

#[test]
fn a_signature_is_the_one_that_anybody_would_compute() {
    let erp = Upstream::start();
    let proxy = proxy(&erp);
    let body = b"{\"event_id\": \"evt-1\"}\n";
    let mut child = hookward()
        .args(["sign", "--source", "shop", "--body", "-", "--config"])
        .arg(proxy.file())
        .env(SHOP_SECRET.0, SHOP_SECRET.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = format!("x-signature: sha256={}", hmac_sha256_hex(SHOP_SECRET.1, body));
    assert!(stdout(&output).to_lowercase().lines().any(|line| line == expected));
}

#[test]
fn type_id_and_time_go_where_the_sender_puts_them() {
    let erp = Upstream::start();
    let proxy = proxy(&erp);
    for at in ["2026-03-16T10:20:30Z", "1773656430"] {
        let output = run(&["sign", "--source", "std", "--id", "msg_7", "--at", at], proxy.file());
        let headers = stdout(&output);
        assert!(headers.contains("webhook-id: msg_7\n"), "{headers}");
        assert!(headers.contains("webhook-timestamp: 1773656430\n"), "{headers}");
    }
    let unused = run(&["sign", "--source", "shop", "--id", "evt-1"], proxy.file());
    assert!(String::from_utf8_lossy(&unused.stderr).contains("--id is not used"));
}

/// Runs `openssl`, which is what a user makes keys with.
#[track_caller]
fn openssl(arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?} {}", printed(&output));
    output.stdout
}

#[test]
fn keys_as_openssl_makes_them_sign_and_verify() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("event.json"), r#"{"id":"evt-1","type":"order.created"}"#).unwrap();
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed25519.pem"], at);
    let p256 = ["-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ecdsa.pem"];
    openssl(&[&["genpkey", "-algorithm", "EC"][..], &p256].concat(), at);
    let der = openssl(&["pkey", "-in", "ed25519.pem", "-outform", "DER"], at);
    let seed = data_encoding::HEXLOWER.encode(&der[der.len() - 32..]);
    std::fs::write(at.join("ed25519.hex"), seed).unwrap();
    let encoded = |name: &str, arguments: &[&str]| {
        openssl(&[&["pkey", "-in", name, "-pubout"], arguments].concat(), at)
    };
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let raw = encoded("ed25519.pem", &["-outform", "DER"]).split_off(12);
    let hex = data_encoding::HEXLOWER.encode(&raw);
    let pem = |name| String::from_utf8(encoded(name, &[])).unwrap();
    let ed25519 = "algorithm = \"ed25519\"";
    let ecdsa = "algorithm = \"ecdsa-p256-sha256\"\nencoding = \"base64\"";
    for (what, keys, public, private) in [
        ("PEM", ed25519, pem("ed25519.pem"), "ed25519.pem"),
        ("hex", &format!("{ed25519}\nkey = \"hex\""), hex, "ed25519.hex"),
        ("base64", &format!("{ed25519}\nkey = \"base64\""), base64(&raw), "ed25519.pem"),
        ("PEM", ecdsa, pem("ecdsa.pem"), "ecdsa.pem"),
        ("base64", ecdsa, base64(&encoded("ecdsa.pem", &["-outform", "DER"])), "ecdsa.pem"),
    ] {
        std::fs::write(at.join("public"), &public).unwrap();
        let configuration = format!(
            "[upstreams.erp]\nurl = \"http://127.0.0.1:9001\"\n[sources.acme]\npath = \"/acme\"\n\
             secrets = [{{ file = \"public\" }}]\n\
             routes = [{{ events = [\"*\"], to = [\"erp\"] }}]\n\
             event = {{ id = [\"json:/id\"], type = [\"json:/type\"] }}\n\
             [sources.acme.signature]\nheader = \"X-Acme-Signature\"\n{keys}\n"
        );
        let file = at.join("hookward.toml");
        std::fs::write(&file, configuration).unwrap();
        let body = at.join("event.json");
        let body = body.to_str().unwrap();
        let key = at.join(private);
        let key = key.to_str().unwrap();
        let sign = ["sign", "--source", "acme", "--body", body, "--private-key", key];
        let signed = run(&sign, &file);
        assert_eq!(signed.status.code(), Some(0), "{keys} {what} {}", printed(&signed));
        let head = at.join("event.headers");
        std::fs::write(&head, &signed.stdout).unwrap();
        let head = head.to_str().unwrap();
        let judged =
            run(&["explain", "--source", "acme", "--headers", head, "--body", body], &file);
        assert_eq!(judged.status.code(), Some(0), "{keys} {what} {}", printed(&judged));
    }
    // A key of the other kind is refused with what would do.
    let file = at.join("hookward.toml");
    let wrong = at.join("ed25519.pem");
    let sign = ["sign", "--source", "acme", "--private-key", wrong.to_str().unwrap()];
    let output = run(&sign, &file);
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PKCS #8 PEM of a P-256 key"));
}

#[test]
fn presets_are_listed_and_each_can_be_copied_into_a_configuration() {
    let list = stdout(&hookward().arg("presets").output().unwrap());
    let names: Vec<_> =
        list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 80, "{} presets", names.len());
    for name in ["opentiendas", "webround", "standard-webhooks", "github", "stripe", "shopify"] {
        assert!(names.contains(&name), "{name}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copied.toml");
    for name in ["opentiendas", "standard-webhooks", "github", "stripe", "shopify"] {
        let toml = stdout(&hookward().args(["presets", name]).output().unwrap());
        let toml = format!("[upstreams.erp]\nurl = \"http://127.0.0.1:9001\"\n{toml}");
        std::fs::write(&file, &toml).unwrap();
        let output = hookward().args(["check", "--config"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}\n{toml}", printed(&output));
    }
}

#[test]
fn the_receiver_prints_answers_and_captures() {
    let directory = tempfile::tempdir().unwrap();
    let captures = directory.path().join("captured");
    let mut child = hookward()
        .args(["receiver", "--listen", "127.0.0.1:0", "--status", "202", "--capture"])
        .arg(&captures)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").expect("an address").1.parse().unwrap();
    let delivery = Event::order("evt-1").signed();
    let mut connection = crate::support::Connection::open(address);
    assert_eq!(connection.send(delivery.bytes(address)).response().status, 202);
    assert_eq!(get(address, "/anything").status, 202);
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", child.id())])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for part in ["POST /webhooks/shop", "X-Signature: sha256=", "\"evt-1\"", "-> 202"] {
        assert!(stdout(&output).contains(part), "{part} is not in {}", stdout(&output));
    }
    let mut files: Vec<_> =
        std::fs::read_dir(&captures).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    assert_eq!(std::fs::read(&files[0]).unwrap(), delivery.body);
    let head = std::fs::read_to_string(&files[1]).unwrap();
    assert!(head.starts_with("POST /webhooks/shop HTTP/1.1\n"), "{head}");
}

#[test]
fn a_receiver_whose_address_is_taken_ends_with_3() {
    let taken = Upstream::start();
    let address = taken.address().to_string();
    let output = hookward().args(["receiver", "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", printed(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
    eventually("nothing was served", || taken.seen().is_empty());
}

#[test]
fn what_the_demo_prints_to_try_works_when_it_is_pasted() {
    let mut demo =
        hookward().arg("demo").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut printed_lines = Vec::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let is_last = line.contains("/dedupe/shop/mine-1");
        printed_lines.push(line);
        if is_last {
            break;
        }
    }
    let (_, invitation) = printed_lines.split_at(
        printed_lines.iter().position(|line| line.contains("until Ctrl-C")).expect("it goes on"),
    );
    let commands: Vec<_> = invitation.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    let output = Command::new("sh").args(["-c", &commands.join("\n")]).output().unwrap();
    let shown = stdout(&output);
    for part in [
        "200 OK",
        "ookward-",
        "delivered",
        "hookward_deliveries_total{outcome=\"delivered\"",
        "\"state\"",
    ] {
        assert!(shown.contains(part), "{part} is not in {}", printed(&output));
    }
    let stop = format!("kill -TERM {}", demo.id());
    assert!(Command::new("sh").args(["-c", &stop]).status().unwrap().success());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}
