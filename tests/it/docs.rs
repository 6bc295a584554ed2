//! Runs everything that a document shows: checks configurations and plays console sessions.
//!
//! In a document, a `toml` block is a configuration; missing parts of a source or an upstream are
//! added here. `file=NAME` after `toml` also writes it for the session. A `console` block is a part
//! of the document's single shell session; the lines after a `$ ` line are its expected output.
//! `coming` after either means that it may be ahead of the program: while the configuration has
//! unknown keys, the document's session is not played.

use crate::alerts::unknown_metrics;
use crate::support::{hookward, printed};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use toml::{Table, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["", "docs", "docs/decisions", "docs/deploy", "docs/recipes"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(root().join(directory)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.sort();
    assert!(found.len() >= 8, "{found:?}");
    found
}

/// Info string and text of every fenced block.
fn blocks(document: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(document).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => _ = writeln!(text, "{line}"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of {} is not closed", document.display());
    blocks
}

#[test]
fn every_configuration_in_a_document_is_one() {
    let mut read = 0;
    for document in documents() {
        for (info, text) in blocks(&document).iter().filter(|(info, _)| info.starts_with("toml")) {
            let output = checked(text);
            if info.contains(" coming") && is_ahead(&output) {
                continue;
            }
            assert_eq!(
                output.status.code(),
                Some(0),
                "{}:\n{text}\n{}",
                document.display(),
                printed(&output)
            );
            read += 1;
        }
    }
    assert!(read > 20, "{read} configurations");
}

/// The output of `check` for it, with the parts that a document omits.
fn checked(text: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    std::fs::write(&file, completed(text)).unwrap();
    hookward().args(["check", "--config"]).arg(&file).output().unwrap()
}

/// Whether the only problem of a configuration is unknown keys.
fn is_ahead(checked: &Output) -> bool {
    let told = String::from_utf8_lossy(&checked.stderr);
    let mut errors = told.lines().filter(|line| line.contains(": error: ")).peekable();
    errors.peek().is_some() && errors.all(|error| error.contains("unknown key"))
}

const TABLES: [&str; 7] = ["server", "admin", "log", "dedupe", "inbox", "upstreams", "sources"];

/// The parts of a source that a document may omit.
const SOURCE: &str = r#"
path = "/imagined"
secrets = [{ env = "IMAGINED_SECRET" }]
[[routes]]
events = ["*"]
to = ["erp"]
"#;

/// The parts that a document may omit if there is no preset.
const SCHEME: &str = r#"
[signature]
header = "X-Imagined"
[event]
id = ["json:/id"]
type = ["json:/type"]
"#;

/// The same configuration with the omitted parts. Keys without a table belong to a `signature`
/// table.
fn completed(text: &str) -> String {
    let mut configuration: Table = text.parse().expect("TOML");
    if configuration.keys().any(|key| !TABLES.contains(&key.as_str())) {
        let nested = ["signature", "imagined", "sources"].into_iter().fold(configuration, nest);
        configuration = nested;
    }
    let sources = configuration.entry("sources").or_insert_with(|| {
        Value::Table(Table::from_iter([("imagined".to_owned(), Table::new().into())]))
    });
    if let Some(sources) = sources.as_table_mut() {
        for source in sources.iter_mut().filter_map(|(_, source)| source.as_table_mut()) {
            fill(source, &SOURCE.parse().expect("TOML"));
            if !source.contains_key("preset") {
                fill(source, &SCHEME.parse().expect("TOML"));
                let signature = source.get_mut("signature").and_then(Value::as_table_mut);
                let signature = signature.expect("a table");
                if !signature.contains_key("from") {
                    signature.entry("header").or_insert_with(|| "X-Imagined".into());
                }
            }
        }
    }
    let upstreams = configuration.entry("upstreams").or_insert_with(|| Table::new().into());
    for name in ["erp", "crm"] {
        let upstreams = upstreams.as_table_mut().expect("a table");
        let upstream = upstreams.entry(name).or_insert_with(|| Table::new().into());
        let upstream = upstream.as_table_mut().expect("a table");
        if !upstream.contains_key("urls") {
            upstream.entry("url").or_insert_with(|| "http://127.0.0.1:9001".into());
        }
    }
    configuration.to_string()
}

fn nest(inner: Table, name: &str) -> Table {
    Table::from_iter([(name.to_owned(), Value::Table(inner))])
}

fn fill(table: &mut Table, given: &Table) {
    for (key, value) in given {
        table.entry(key).or_insert_with(|| value.clone());
    }
}

#[test]
fn every_console_session_prints_what_it_shows() {
    let mut played = 0;
    for document in documents() {
        let blocks = blocks(&document);
        if blocks
            .iter()
            .any(|(info, text)| info.starts_with("toml coming") && is_ahead(&checked(text)))
        {
            continue;
        }
        let commands = blocks.iter().filter(|(info, _)| info.starts_with("console"));
        let session: String = commands.map(|(_, text)| text.as_str()).collect();
        if !session.is_empty() {
            let files = blocks
                .iter()
                .filter(|(info, _)| info.starts_with("toml"))
                .filter_map(|(info, text)| Some((info.split_once(" file=")?.1, text.as_str())));
            play(&document, &session, files);
            played += 1;
        }
    }
    assert!(played >= 1, "the README has a session");
}

/// Runs a session in one shell, with free ports instead of the usual ones.
fn play<'a>(document: &Path, session: &str, files: impl Iterator<Item = (&'a str, &'a str)>) {
    let directory = tempfile::tempdir().unwrap();
    let usual = ["8080", "9090", "9001", "9002", "9003", "5678", "8069"];
    let ports: Vec<(&str, u16)> = usual.map(|usual| (usual, free_port())).into();
    let local = |text: &str| {
        ports.iter().fold(text.to_owned(), |text, (usual, free)| {
            text.replace(&format!("127.0.0.1:{usual}"), &format!("127.0.0.1:{free}"))
        })
    };
    for (name, text) in files {
        let listen = format!(
            "[server]\nlisten = [\"127.0.0.1:8080\"]\n[admin]\nlisten = \"127.0.0.1:9090\"\n{text}"
        );
        std::fs::write(directory.path().join(name), local(&listen)).unwrap();
    }
    let mut script = "started=\ntrap 'kill $started 2>/dev/null' EXIT\n".to_owned();
    let mut expected: Vec<(String, Vec<String>)> = Vec::new();
    for line in session.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            expected.last_mut().expect("a command first").1.push(local(line));
            continue;
        };
        let command = local(command);
        let index = expected.len();
        _ = writeln!(script, "echo '--- {index}'");
        if let Some(background) = command.strip_suffix('&') {
            // What is started has to be there before the next command, as it is for a person.
            let is_there = asked_whether_it_is_there(background);
            _ = writeln!(script, "{background} >>log 2>&1 &\nstarted=\"$started $!\"");
            _ = writeln!(script, "until {is_there} >/dev/null 2>&1; do sleep 0.02; done");
        } else {
            _ = writeln!(script, "{command} || echo \"failed with $?\"");
        }
        expected.push((command, Vec::new()));
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_hookward"));
    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env_remove("HOOKWARD_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
    for alarm in ["with another body", "ERROR"] {
        assert!(!log.contains(alarm), "{} makes an alarm: {log}", document.display());
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    for (index, (command, lines)) in expected.iter().enumerate() {
        let (_, after) = stdout.split_once(&format!("--- {index}\n")).expect("it was run");
        let printed_by_it = after.split("--- ").next().unwrap_or_default();
        assert!(
            !printed_by_it.contains("failed with"),
            "{}: `{command}`\n{}",
            document.display(),
            printed(&output)
        );
        if !lines.is_empty() {
            let got: Vec<&str> = printed_by_it.lines().collect();
            assert_eq!(&got, lines, "{}: `{command}`\n{}", document.display(), printed(&output));
        }
    }
}

/// A command that succeeds once the program started by `background` answers.
fn asked_whether_it_is_there(command: &str) -> String {
    match command.split_once("receiver --listen ") {
        Some((_, rest)) => {
            let address = rest.split_whitespace().next().unwrap_or_default();
            format!("hookward health --url http://{address}/")
        }
        None => "hookward health".to_owned(),
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn every_manifest_and_script_of_a_document_can_be_read() {
    let mut read = 0;
    for document in documents() {
        for (info, text) in blocks(&document) {
            match info.as_str() {
                "yaml" => {
                    let parsed = serde_saphyr::from_multiple::<serde_json::Value>(&text);
                    assert!(parsed.is_ok(), "{}: {parsed:?}\n{text}", document.display());
                }
                "sh" => {
                    let output = Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
                    assert!(
                        output.status.success(),
                        "{}: {}",
                        document.display(),
                        printed(&output)
                    );
                }
                _ => continue,
            }
            read += 1;
        }
    }
    assert!(read > 10, "{read}");
}

#[test]
fn no_document_looks_for_the_process_by_its_name() {
    // `hookward receiver` is a `hookward`, too.
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in ["pidof", "pgrep", "pkill", "killall"] {
            assert!(!text.contains(word), "{} uses {word}", document.display());
        }
    }
}

#[test]
fn the_readme_says_how_to_install_before_it_calls_the_command() {
    let readme = blocks(&root().join("README.md"));
    let at = |word: &str| readme.iter().position(|(_, text)| text.contains(word)).expect(word);
    assert!(at("cargo install --locked --path .") < at("$ hookward"));
}

#[test]
fn the_container_listens_and_delivers_beyond_itself() {
    let text = std::fs::read_to_string(root().join("docs/deploy/container.md")).unwrap();
    let (_, toml) = text.split_once("```toml\n").expect("a configuration");
    let configuration: Table = toml.split("```").next().unwrap().parse().expect("TOML");
    let listen = configuration["server"]["listen"][0].as_str().unwrap();
    let url = configuration["upstreams"]["erp"]["url"].as_str().unwrap();
    assert!(listen.starts_with("0.0.0.0:") && !url.contains("127.0.0.1"), "{listen} {url}");
    let (_, host) = url.split_once("http://").expect("a URL");
    let (host, _) = host.split_once(':').expect("a port");
    assert!(text.contains(&format!("--name {host} ")), "nothing is called {host}");
}

#[test]
fn the_page_on_commands_lists_every_command_and_every_exit_code() {
    let help = hookward().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, commands) = help.split_once("Commands:\n").expect("a list");
    let commands = commands.lines().map_while(|line| line.strip_prefix("  "));
    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10 && commands.contains(&"health"), "{commands:?}");
    let section = std::fs::read_to_string(root().join("docs/commands.md")).unwrap();
    for command in commands {
        assert!(section.contains(&format!("`hookward {command}")), "{command}");
    }
    for code in [0, 1, 2, 3, 130] {
        assert!(section.contains(&format!("\n| {code} |")), "{code}");
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let file = document.parent().unwrap().join(path);
            assert!(file.exists(), "{} leads to {path}", document.display());
        }
    }
}

#[test]
fn every_metric_that_is_named_is_one() {
    let mut found = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        let (unknown, named) = unknown_metrics(&text);
        assert!(unknown.is_empty(), "{}: {unknown:?}", document.display());
        found += named;
    }
    assert!(found > 20, "{found}");
}

#[test]
fn the_readme_shows_the_demo_as_it_is() {
    let output = hookward().args(["demo", "--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let readme = blocks(&root().join("README.md"));
    let (_, table) = readme
        .iter()
        .find(|(info, text)| info == "text" && text.contains("THE SHOP SENT"))
        .expect("the demo's table");
    assert!(table.lines().count() > 10);
    assert!(stdout.contains(table.as_str()), "the demo prints\n{stdout}");
}
