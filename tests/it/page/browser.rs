//! Chromium, driven by its `DevTools` protocol.

use crate::support::{PATIENCE, eventually, get, instant};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Without a window, and without the calls home that it makes by itself.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1100,1500",
];

/// A browser with one tab.
pub struct Browser {
    child: Child,
    _profile: TempDir,
    tab: WebSocket<TcpStream>,
    calls: u64,
    events: Vec<Value>,
}

impl Browser {
    /// A browser, or `None` where none is installed.
    pub fn start() -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
        command
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            eprintln!("not tried: chromium is not installed (scripts/setup test)");
            return None;
        };
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = stderr.find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("DevTools listening on ws://")?;
            rest.split('/').next()?.parse::<SocketAddr>().ok()
        });
        // Its pipe stays open, since it goes on complaining.
        std::thread::spawn(move || stderr.for_each(drop));
        let address = address.expect("chromium says where it listens");
        let mut socket = None;
        eventually("a tab", || {
            let list: Value = serde_json::from_slice(&get(address, "/json/list").body).unwrap();
            let tabs = list.as_array().unwrap();
            let tab = tabs.iter().find(|target| target["type"] == "page");
            socket = tab.map(|tab| tab["webSocketDebuggerUrl"].as_str().unwrap().to_owned());
            socket.is_some()
        });
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (tab, _) =
            tungstenite::client(socket.unwrap(), stream).expect("the protocol is spoken");
        let mut browser = Self { child, _profile: profile, tab, calls: 0, events: Vec::new() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let call = json!({ "id": id, "method": method, "params": parameters });
        self.tab.send(Message::text(call.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.tab.read().expect("an answer") else { continue };
            let mut told: Value = serde_json::from_str(&text).unwrap();
            if told["id"] == id {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].take();
            }
            self.events.push(told);
        }
    }

    /// Goes to a page.
    pub fn open(&mut self, url: &str) {
        let went = self.call("Page.navigate", &json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{went}");
    }

    /// The value of an expression on the page.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut told = self.call("Runtime.evaluate", &asked);
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let start = instant();
        let asked =
            format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        while self.evaluate(&asked) != json!(true) {
            let waited = instant().saturating_sub(start);
            if waited > PATIENCE {
                let shown = self.evaluate("document.body.innerText");
                panic!("never: {what} ({expression}); {:?}; {shown}", self.complaints());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes the tab so many pixels wide.
    pub fn width(&mut self, pixels: u32) {
        let screen =
            json!({ "width": pixels, "height": 1500, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &screen);
        self.call("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
    }

    /// What is seen, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let told = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        data_encoding::BASE64.decode(told["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// Nothing was asked of anybody else.
    #[track_caller]
    pub fn stayed_at(&mut self, origin: &str) {
        self.evaluate("1");
        let asked: Vec<&str> = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| event["params"]["request"]["url"].as_str().unwrap())
            .collect();
        assert!(asked.len() > 4, "{asked:?}");
        assert!(asked.iter().all(|url| url.starts_with(origin)), "{asked:?}");
    }

    /// Errors on the console, and what was thrown.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(|event| event["params"].to_string()).collect()
    }

    /// Has axe-core look at the page, where it is installed.
    #[track_caller]
    pub fn has_nothing_serious_for_axe(&mut self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("target/axe/node_modules/axe-core/axe.min.js");
        let Ok(axe) = std::fs::read_to_string(&file) else {
            eprintln!("not tried: axe-core is not installed (scripts/setup test)");
            return;
        };
        self.evaluate(&format!("{axe};1"));
        let found = self.evaluate(
            "axe.run().then((found) => found.violations\
             .filter((one) => ['serious', 'critical'].includes(one.impact))\
             .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`))",
        );
        assert_eq!(found, json!([]));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
