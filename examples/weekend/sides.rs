//! How the proxy is set up, its receivers, and what its senders send.

use crate::proxy::{Proxy, request, signature};
use hookward_time::{Clock as _, SystemClock};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Starts the proxy: a `sync` source, a `spill` and a `queued` one, and one in order.
pub(crate) fn start(binary: &str, directory: &Path, live: SocketAddr, erp: SocketAddr) -> Proxy {
    let source = |name: &str, to: &str, keys: &str| {
        format!(
            "[sources.{name}]\npath = \"/{name}\"\npreset = \"opentiendas\"\n\
             secrets = [{{ env = \"SHOP\" }}]\n\
             [[sources.{name}.routes]]\nevents = [\"*\"]\nto = [\"{to}\"]\n{keys}\n"
        )
    };
    let config = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"warn,hookward::operator=info\"\n[dedupe]\nstore = \"disk\"\npath = {:?}\n\
         [inbox]\nmin_free = \"1B\"\n\
         [upstreams.live]\nurl = \"http://{live}\"\n[upstreams.erp]\nurl = \"http://{erp}\"\n\
         retry = {{ first = \"100ms\", longest = \"1s\" }}\n{}{}{}{}",
        directory.join("data").display().to_string(),
        source("live", "live", ""),
        source("spill", "live", "delivery = \"spill\""),
        source("queued", "erp", "delivery = \"queued\""),
        source("weekend", "erp", "delivery = \"spill\"\norder_key = \"json:/order\""),
    );
    Proxy::start(binary, directory, &config)
}

/// MiB that the proxy has in memory.
pub(crate) fn memory(proxy: &Proxy) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", proxy.id()));
    let text = text.expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") / 1024
}

pub(crate) async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

/// Accepts everything, and notes order and step of each event.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) count: AtomicU64,
    pub(crate) seen: Mutex<Vec<(u64, u64)>>,
}

impl Receiver {
    pub(crate) async fn start(address: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind(address).await.expect("the port");
        let receiver = Arc::new(Self { address, count: AtomicU64::new(0), seen: Mutex::default() });
        let serving = Arc::clone(&receiver);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(stream));
            }
        });
        receiver
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut seen = Vec::with_capacity(8192);
        while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {
            // Every body here ends so, and requests come one at a time.
            if !seen.ends_with(b"\"}") {
                continue;
            }
            let text = String::from_utf8_lossy(&seen).into_owned();
            let number = |name: &str| {
                let (_, rest) = text.split_once(name).expect("it is there");
                let end = rest.find(',').expect("more follows");
                rest[..end].parse().expect("a number")
            };
            let event = (number("\"order\":"), number("\"step\":"));
            self.seen.lock().expect("nobody panics").push(event);
            self.count.fetch_add(1, Ordering::Relaxed);
            seen.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn event(number: u64, order: u64, step: u64) -> String {
    let at = SystemClock::new().wall().to_rfc3339();
    let data = "x".repeat(1000);
    format!(
        "{{\"event_id\":\"{number}\",\"type\":\"order.paid\",\"created_at\":\"{at}\",\
         \"order\":{order},\"step\":{step},\"data\":\"{data}\"}}"
    )
}

/// A signed delivery of `body`.
pub(crate) fn signed(path: &str, body: &str) -> Vec<u8> {
    request(path, body, &signature(body))
}
