//! The receivers of `docs/inbox.md`, which verify Hookward's signature with the official libraries of
//! Standard Webhooks, as `PyPI` and npm have them.
//!
//! `scripts/setup test` brings the libraries. Where it could not, the tests say why, past the capture
//! of their output; where it was not run, they fail.

use super::{SOON, at, drained};
use crate::support::{Connection, Delivery, Event, PATIENCE, Sender, eventually, instant};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Node takes a module by this ending; Python does not mind.
const PROGRAM: &str = "receiver.mjs";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_receiver_in_python_verifies_with_the_official_library() {
    verifies("python", "```python\n", |folder, library| {
        let mut command = Command::new("python3");
        command.arg(folder.join(PROGRAM)).env("PYTHONPATH", library);
        command
    });
}

#[test]
fn a_receiver_in_node_verifies_with_the_official_library() {
    verifies("node", "```javascript\n", |folder, library| {
        std::os::unix::fs::symlink(library.join("node_modules"), folder.join("node_modules"))
            .unwrap();
        let mut command = Command::new("node");
        command.arg(folder.join(PROGRAM));
        command
    });
}

/// The folder of a library, unless its registry could not be reached, which is said then.
fn library(language: &str) -> Option<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/standardwebhooks").join(language);
    if folder.join("there").exists() {
        return Some(folder);
    }
    let why = std::fs::read_to_string(folder.join("why"));
    let why = why.expect("run scripts/setup test, which brings the libraries of Standard Webhooks");
    // Not by a macro, whose output is shown of failures alone.
    let told =
        format!("NOT TRIED: the receiver in {language}, whose library could not be had: {why}\n");
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    None
}

/// The program of the document, on another port.
fn program(fence: &str, port: u16) -> String {
    let text = include_str!("../../../docs/inbox.md");
    let (_, program) = text.split_once(fence).expect("the document has it");
    let (program, _) = program.split_once("```").expect("it ends");
    assert!(program.contains("9001"), "{program}");
    program.replace("9001", &port.to_string())
}

struct Program {
    child: Child,
    took: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Program {
    fn start(text: &str, library: &Path, command: fn(&Path, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(PROGRAM), text).unwrap();
        let mut child = command(folder.path(), library)
            .env("ERP_WHSEC", SECRET)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let took = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::clone(&took);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| told.lock().unwrap().push(line));
        });
        Self { child, took, _folder: folder }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn verifies(language: &str, fence: &str, command: fn(&Path, &Path) -> Command) {
    let Some(library) = library(language) else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let folder = tempfile::tempdir().unwrap();
    let keys = format!("sign = {{ secrets = [{{ env = \"ERP_WHSEC\" }}] }}\n{SOON}");
    let proxy = at(&format!("http://{address}"), folder.path(), "spill", &keys)
        .environment("ERP_WHSEC", SECRET)
        .start();
    // One that waits is signed when it is sent, and one that is delivered at once is, too.
    let waits = Event::order("evt-1").signed();
    assert_eq!(Sender::to(&proxy).deliver(&waits).outcome(), "queued");
    let receiver = Program::start(&program(fence, port), &library, command);
    let start = instant();
    while TcpStream::connect(address).is_err() {
        assert!(instant().saturating_sub(start) < PATIENCE, "the receiver in {language} listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    drained(&proxy);
    let live = Event::order("evt-2").signed();
    let told = Sender::to(&proxy).deliver(&live);
    assert_eq!(told.verdict(), (200, "delivered", String::new()), "{told:?}");
    let expected = ["evt-1", "evt-2"].map(|id| format!("took \"shop:{id}\" order.created"));
    eventually("it says what it took", || *receiver.took.lock().unwrap() == expected);

    // What does not come from the proxy is refused, and so is what somebody changed on the way.
    let stranger = Delivery::post("/", waits.body.clone());
    let forged = stranger
        .clone()
        .with("webhook-id", "shop:evt-1")
        .with("webhook-timestamp", &crate::support::unix_now().to_string())
        .with("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=");
    for delivery in [stranger, forged] {
        let told = Connection::open(address).send(delivery.bytes(address)).response();
        assert_eq!(told.status, 401, "{told:?}");
    }
    assert_eq!(receiver.took.lock().unwrap().len(), 2);
}
