//! The fuzz targets on the stable toolchain: every stored input, and thousands of seeded mutations.
//! `make fuzz` runs the same functions with libFuzzer for any length of time.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target says what is wrong by panicking"
)]

use std::path::Path;

#[path = "../fuzz/targets/chunks.rs"]
mod chunks;
#[path = "../fuzz/targets/config.rs"]
mod config;
#[path = "../fuzz/targets/glob.rs"]
mod glob;
#[path = "../fuzz/targets/head.rs"]
mod head;
#[path = "../fuzz/targets/json.rs"]
mod json;
#[path = "../fuzz/targets/signature.rs"]
mod signature;
#[path = "../fuzz/targets/structured.rs"]
mod structured;
#[path = "../fuzz/targets/template.rs"]
mod template;

/// One seed, so that a failure here fails everywhere.
const SEED: u64 = 20_260_316;

/// What mutations are made of besides the inputs themselves.
const PIECES: [&str; 41] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "\"",
    "\\",
    "\\u0069",
    "\\ud800",
    "%",
    "%0d%0a",
    "{",
    "}",
    "[",
    "]",
    "*",
    "**",
    "/",
    "//",
    "/../",
    "?",
    "#",
    "=",
    "v1,",
    "v1=",
    "t=",
    "sha256=",
    "0",
    "-1",
    "18446744073709551616",
    "\u{feff}",
    "é",
    "\u{1f980}",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "5\r\nhello\r\n",
    "{body}",
];

fn exercise(name: &str, mutations: usize, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|fault| panic!("{}: {fault}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(corpus.len() >= 5, "{name} has a corpus");
    let run = |what: &str, input: &[u8]| {
        let run = std::panic::catch_unwind(|| target(input));
        assert!(run.is_ok(), "{name}, {what}: {}", input.escape_ascii());
    };
    run("empty", &[]);
    for (file, input) in files.iter().zip(&corpus) {
        run(&file.display().to_string(), input);
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    for number in 0..mutations {
        let mut input = corpus[random.usize(..corpus.len())].clone();
        for _ in 0..=random.usize(..4) {
            mutate(&mut input, &corpus, &mut random);
        }
        run(&format!("mutation {number}"), &input);
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = random.usize(..=input.len());
    let upto = |random: &mut fastrand::Rng, bytes: &[u8]| {
        let start = random.usize(..=bytes.len());
        let end = (start + random.usize(..=16)).min(bytes.len());
        bytes[start..end].to_vec()
    };
    match random.u8(..6) {
        0 if !input.is_empty() => {
            let at = at % input.len();
            input[at] ^= 1 << random.u8(..8);
        }
        1 => {
            let end = (at + random.usize(..=16)).min(input.len());
            input.drain(at..end);
        }
        2 => {
            let piece = PIECES[random.usize(..PIECES.len())];
            input.splice(at..at, piece.bytes());
        }
        3 => {
            let piece = upto(random, input);
            input.splice(at..at, piece);
        }
        4 => {
            let other = &corpus[random.usize(..corpus.len())];
            let tail = &other[random.usize(..=other.len())..];
            input.truncate(at);
            input.extend_from_slice(tail);
        }
        _ => input.insert(at, random.u8(..)),
    }
}

#[test]
fn heads_hold() {
    exercise("head", 20_000, head::run);
}

#[test]
fn chunks_hold() {
    exercise("chunks", 20_000, chunks::run);
}

#[test]
fn members_of_bodies_hold() {
    exercise("json", 20_000, json::run);
}

#[test]
fn forged_signatures_are_refused() {
    exercise("signature", 20_000, signature::run);
}

#[test]
fn templates_hold() {
    exercise("template", 10_000, template::run);
}

#[test]
fn configurations_hold() {
    exercise("config", 3_000, config::run);
}

#[test]
fn globs_hold() {
    exercise("glob", 20_000, glob::run);
}

#[test]
fn headers_for_upstreams_hold() {
    exercise("structured", 20_000, structured::run);
}
