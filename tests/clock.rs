//! A whole proxy with a manual clock: sockets, admin listener and claims, while the test sets the
//! wall clock back and forth.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails with a message"
)]

use hookward::config::{Config, SecretReader};
use hookward::delivery::source::Source;
use hookward::operator::runtime::Runtime;
use hookward::operator::server::{Behind, Bound, start};
use hookward_secret::Secret;
use hookward_time::{Clock, ManualClock, UnixMillis};
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Secrets;

impl SecretReader for Secrets {
    fn environment(&self, _: &str) -> Option<Secret> {
        Some(Secret::from("a-secret-of-more-than-16-bytes".to_owned()))
    }

    fn file(&self, _: &Path) -> std::io::Result<Secret> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn configuration(upstream: SocketAddr) -> Config {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [upstreams.erp]\nurl = \"http://{upstream}\"\n[sources.pay]\npath = \"/pay\"\n\
         preset = \"stripe\"\nsecrets = [{{ env = \"PAY\" }}]\n\
         [[sources.pay.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n"
    );
    let loaded = Config::parse(&text, "clock.toml", Path::new("/nowhere"), &Secrets);
    loaded.expect("a configuration").0
}

/// An upstream that counts what it accepts.
async fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
                    if seen.ends_with(b"}") {
                        seen.clear();
                        counted.fetch_add(1, Ordering::AcqRel);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, count)
}

/// Sends a request on a connection of its own; the whole answer as text.
async fn ask(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(to: SocketAddr, path: &str) -> String {
    ask(to, &format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n")).await
}

/// What a sender with a right clock sends at `at`.
async fn deliver(to: SocketAddr, source: &Source, id: &str, at: UnixMillis) -> String {
    let body = format!("{{\"id\":\"{id}\",\"type\":\"paid\"}}");
    let request = SignRequest {
        id: None,
        event_type: None,
        path: &source.path,
        at,
        query: None,
        body: body.as_bytes(),
    };
    let signed =
        sign(&source.sender, &SigningKey::Shared(&source.sender.secrets[0]), &request).unwrap();
    let lines: Vec<String> =
        signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let length = body.len();
    let answer = ask(
        to,
        &format!(
            "POST /pay HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{lines}\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    )
    .await;
    let outcome = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("hookward-outcome").then(|| value.to_owned())
    });
    outcome.unwrap_or(answer)
}

#[tokio::test]
async fn a_clock_that_jumps_by_an_hour_is_shown_and_loses_no_claim() {
    let right = UnixMillis(1_773_656_430_000);
    let (erp, accepted) = upstream().await;
    let source = configuration(erp).sources.remove(0);
    for hour in [3_600_000_i64, -3_600_000] {
        accepted.store(0, Ordering::Release);
        let config = configuration(erp);
        let bound = Bound::bind(&config.server, &config.admin).expect("bound");
        let clock = Arc::new(ManualClock::at(right));
        let shared: Arc<dyn Clock> = clock.clone();
        let served = Runtime::build(config, None, Arc::clone(&shared)).await.expect("built");
        let behind = Behind {
            door: served.clone(),
            admin: served.clone(),
            metrics: served.metrics(),
            clock: shared,
        };
        let running = start(bound, served.edge(), behind);
        let (public, admin) = (running.addresses()[0], running.admin_address());

        assert_eq!(deliver(public, &source, "before", right).await, "delivered");
        assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 200"));

        // Ours goes wrong; the sender's stays right.
        clock.jump(hour);
        assert_eq!(deliver(public, &source, "meanwhile", right).await, "rejected");
        assert_eq!(deliver(public, &source, "before", right).await, "duplicate");
        // The clocks are compared every second of real time.
        let shown = async {
            while get(admin, "/readyz").await.starts_with("HTTP/1.1 200") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), shown).await.expect("not ready");
        let metrics = get(admin, "/metrics").await;
        assert!(metrics.contains("hookward_clock_jumps_total 1"), "{metrics}");
        assert!(metrics.contains("hookward_in_flight 0"), "{metrics}");

        // And right again: what was refused is delivered by its retry, and once.
        clock.jump(-hour);
        assert_eq!(deliver(public, &source, "meanwhile", right).await, "delivered");
        assert_eq!(deliver(public, &source, "meanwhile", right).await, "duplicate");
        assert_eq!(deliver(public, &source, "before", right).await, "duplicate");
        assert_eq!(accepted.load(Ordering::Acquire), 2);
    }
}
