//! Every built-in sender, from `send` over the wire to an upstream.

use crate::support::{Setup, Upstream, hookward};
use hookward::presets;
use hookward::scheme::Algorithm;
use std::fmt::Write as _;

/// Text, hex and base64 alike, so it is a key of every form.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Presets whose deliveries only the sender's private key can sign.
fn is_asymmetric(text: &str) -> bool {
    Algorithm::NAMES
        .iter()
        .filter(|(_, a)| matches!(a, Algorithm::Ed25519 | Algorithm::EcdsaP256Sha256))
        .any(|(name, _)| text.contains(&format!("\"{name}\"")))
}

#[test]
fn what_every_preset_signs_is_delivered_over_the_wire() {
    let erp = Upstream::start();
    let mut tables = String::new();
    let names: Vec<&str> =
        presets::all().filter(|p| !is_asymmetric(p.text)).map(|preset| preset.name).collect();
    for name in &names {
        let header = if *name == "webround" {
            format!("[sources.{name}.signature]\nheader = \"X-Webround-Signature\"\n")
        } else {
            String::new()
        };
        _ = writeln!(
            tables,
            "[sources.{name}]\npath = \"/{name}\"\npreset = \"{name}\"\n\
             public_url = \"https://hooks.example.com/{name}\"\n\
             secrets = [{{ env = \"SENDERS_SECRET\" }}]\n{header}\
             [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
        );
    }
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&tables)
        .environment("SENDERS_SECRET", SECRET)
        .start();
    let mut wrong = Vec::new();
    for name in &names {
        let url = format!("http://{}/{name}", proxy.address);
        let output = hookward()
            .args(["send", "--source", name, "--url", &url, "--config"])
            .arg(proxy.file())
            .env("SENDERS_SECRET", SECRET)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if told != "200 delivered\n" {
            wrong.push((*name, told, String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(names.len() >= 80);
    erp.saw(names.len());
}
