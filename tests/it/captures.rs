//! `explain` and `discover` on captured requests, and that they say what the live proxy says.

use crate::support::{
    Delivery, Event, Proxy, Sender, Setup, Upstream, hookward, printed, unix_now,
};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

const SHOP_SECRET: &str = "a-secret-of-the-shop-for-tests";

/// A delivery as `receiver --capture` writes it.
fn capture(delivery: &Delivery) -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let [headers, body] = ["c.headers", "c.body"].map(|name| directory.path().join(name));
    let mut text = format!("{} {} HTTP/1.1\n", delivery.method, delivery.target);
    for (name, value) in &delivery.headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push('\n');
    }
    std::fs::write(&headers, text).unwrap();
    std::fs::write(&body, &delivery.body).unwrap();
    (directory, headers, body)
}

fn explain(proxy: &Proxy, delivery: &Delivery, more: &[&str]) -> Output {
    let (_directory, headers, body) = capture(delivery);
    hookward()
        .args(["explain", "--source", "shop", "--config"])
        .arg(proxy.file())
        .arg("--headers")
        .arg(headers)
        .arg("--body")
        .arg(body)
        .args(more)
        .env("SHOP_SECRET", SHOP_SECRET)
        .output()
        .unwrap()
}

#[test]
fn explain_says_what_the_live_proxy_says() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let mut flipped = good.body.clone();
    flipped[20] ^= 1;
    let cases = [
        good.clone(),
        good.clone().with_body(flipped),
        good.clone().without("X-Signature"),
        good.clone().replacing("X-Signature", "sha256=xyz"),
        Event::order("old").at(-2 * 24 * 3600).signed(),
        Event::order("ahead").at(3600).signed(),
        Event::order("").signed(),
    ];
    for delivery in cases {
        let live = Sender::to(&proxy).deliver(&delivery);
        let output = explain(&proxy, &delivery, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if live.outcome() == "delivered" {
            assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        } else {
            assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
            let last = text.lines().last().unwrap_or_default();
            assert_eq!(last, format!("reason: {}", live.reason()), "{}", printed(&output));
        }
        assert!(!printed(&output).contains(SHOP_SECRET));
    }
}

#[test]
fn explain_refuses_what_the_listener_of_the_live_proxy_refuses() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).server("max_body = \"1KiB\"").start();
    let good = Event::order("evt-1").signed();
    let large = Event::order("evt-2").padded_to(1025).signed();
    let moved = |target: &str| Delivery { target: target.to_owned(), ..good.clone() };
    let by = |method: &str| Delivery { method: method.to_owned(), ..good.clone() };
    for (delivery, reason) in [
        (Event::order("evt-3").padded_to(1024).signed(), ""),
        (large.clone(), "body_too_large"),
        (large.with("Content-Encoding", "gzip"), "body_too_large"),
        (good.clone().with("Content-Encoding", "gzip"), "content_encoding"),
        (moved("/other"), "unknown_source"),
        (moved("/webhooks/shop/"), "unknown_source"),
        (by("PUT"), "method_not_allowed"),
    ] {
        let live = Sender::to(&proxy).deliver(&delivery);
        assert_eq!(live.reason(), reason);
        let output = explain(&proxy, &delivery, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().unwrap_or_default();
        if reason.is_empty() {
            assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
        } else {
            assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
            assert_eq!(last, format!("reason: {reason}"), "{}", printed(&output));
        }
    }
}

#[test]
fn explain_judges_as_of_the_time_that_it_is_told() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let old = Event::order("old").at(-10 * 24 * 3600).signed();
    let then = (unix_now() - 10 * 24 * 3600 + 60).to_string();
    assert_eq!(explain(&proxy, &old, &[]).status.code(), Some(1));
    assert_eq!(explain(&proxy, &old, &["--at", &then]).status.code(), Some(0));
}

#[test]
fn explain_names_the_mistake_that_fits() {
    let erp = Upstream::start();
    let proxy = Setup::shop(&erp).start();
    let good = Event::order("evt-1").signed();
    let mut with_line_end = good.body.clone();
    with_line_end.push(b'\n');
    let output = explain(&proxy, &good.with_body(with_line_end), &[]);
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(text.contains("newline") || text.contains("line end"), "{}", printed(&output));
}

fn discover(headers: &Path, body: &Path, secret: &str) -> Output {
    hookward()
        .args(["discover", "--secret-env", "NEW_SECRET", "--headers"])
        .arg(headers)
        .arg("--body")
        .arg(body)
        .env("NEW_SECRET", secret)
        .output()
        .unwrap()
}

#[test]
fn what_discover_prints_verifies_deliveries() {
    let delivery = Event::order("evt-1").signed();
    let renamed = delivery.headers[1].1.clone();
    let unknown = delivery.without("X-Signature").with("X-Webround-Sig", &renamed);
    let (directory, headers, body) = capture(&unknown);
    let output = discover(&headers, &body, SHOP_SECRET);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(!printed(&output).contains(SHOP_SECRET));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = table
        .lines()
        .find_map(|line| line.strip_prefix("[sources.")?.strip_suffix(']'))
        .expect("a source")
        .to_owned();

    let erp = Upstream::start();
    let mut toml = format!("{table}\n");
    if !table.contains("routes]]") {
        _ = writeln!(toml, "[[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]");
    }
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&toml)
        .environment("NEW_SECRET", SHOP_SECRET)
        .start();
    assert_eq!(Sender::to(&proxy).deliver(&unknown).outcome(), "delivered", "{toml}");
    drop(directory);
}

#[test]
fn discover_says_what_an_editor_did_to_the_body() {
    let good = Event::order("evt-1").signed();
    let mut body = good.body.clone();
    body.push(b'\n');
    let (_directory, headers, body) = capture(&good.with_body(body));
    let output = discover(&headers, &body, SHOP_SECRET);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(output.stdout.is_empty());
    assert!(printed(&output).contains("line end after the body"), "{}", printed(&output));
}

#[test]
fn discover_says_plainly_that_nothing_fits() {
    let (_directory, headers, body) = capture(&Event::order("evt-1").signed());
    let output = discover(&headers, &body, "not-the-secret-of-the-shop");
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    assert_eq!(discover(&headers, &body, "").status.code(), Some(2));
}

#[test]
fn what_is_no_variable_is_not_printed_back_and_two_files_cannot_both_be_stdin() {
    let typed = |arguments: &[&str]| {
        let output = hookward().args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
        printed(&output)
    };
    let files = ["--headers", "-", "--body", "-"];
    let said = typed(&[&["discover", "--secret-env", "hunter2-hunter2"][..], &files].concat());
    assert!(said.contains("the name of an environment variable") && !said.contains("hunter2"));
    let said = typed(&[&["discover", "--secret-env", "PATH"][..], &files].concat());
    assert!(said.contains("only one of --headers and --body"), "{said}");
}
