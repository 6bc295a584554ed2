//! How keys are fetched: through a proxy, and from a site whose authority is the user's own.

use super::{good, key_set, keys_status, push, token_source};
use crate::support::{KeyServer, Page, Sender, Setup, Upstream, eventually, hookward, printed};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// An HTTP proxy that passes on what it is asked to connect to, and writes down what that is.
struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        std::thread::spawn({
            let asked = Arc::clone(&asked);
            move || {
                for near in listener.incoming().map_while(Result::ok) {
                    let asked = Arc::clone(&asked);
                    std::thread::spawn(move || join(near, &asked));
                }
            }
        });
        Self { address, asked }
    }

    /// The request lines, in order.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn join(mut near: TcpStream, asked: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match near.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let port = line.split(' ').nth(1).and_then(|target| target.rsplit_once(':')?.1.parse().ok());
    asked.lock().unwrap().push(line);
    let far = port.and_then(|port: u16| TcpStream::connect(("127.0.0.1", port)).ok());
    let Some(far) = far else {
        _ = near.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    _ = near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
    let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    std::thread::spawn(move || {
        _ = std::io::copy(&mut from_near, &mut to_far);
        _ = to_far.shutdown(Shutdown::Write);
    });
    let (mut from_far, mut to_near) = (far, near);
    _ = std::io::copy(&mut from_far, &mut to_near);
    _ = to_near.shutdown(Shutdown::Write);
}

#[test]
fn keys_are_fetched_through_the_proxy_and_by_no_other_way() {
    let (erp, site, between) = (Upstream::start(), KeyServer::start(), ConnectProxy::start());
    site.publish("/certs", Page::of(key_set("k1")));
    let fetch = format!("{}\nproxy = \"http://{}\"", site.fetch(), between.address);
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&fetch)
        .table(&token_source("push", &site.url("/certs"), ""))
        .start();
    let response = Sender::to(&proxy).deliver(&push("/push", "1", &good()));
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
    let expected = format!("CONNECT {} HTTP/1.1", site.host());
    assert_eq!(
        between.asked(),
        std::slice::from_ref(&expected),
        "and TLS goes on to the site itself"
    );
    assert_eq!(site.all_asked(), ["/certs"]);
    let output =
        hookward().args(["check", "--online", "--config"]).arg(proxy.file()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_eq!(between.asked(), [expected.clone(), expected]);
    assert_eq!(erp.count(), 1);
}

#[test]
fn while_the_proxy_is_down_no_key_is_had_and_the_site_is_not_asked_past_it() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/certs", Page::of(key_set("k1")));
    // A port that nobody listens on any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fetch = format!("{}\nproxy = \"http://{gone}\"", site.fetch());
    let proxy = Setup::new()
        .upstream("erp", &erp, "")
        .table(&fetch)
        .table(&token_source("push", &site.url("/certs"), "respond_within = \"2s\""))
        .start();
    let response = Sender::to(&proxy).deliver(&push("/push", "1", &good()));
    assert_eq!(response.verdict(), (503, "rejected", "secret_unavailable".to_owned()));
    eventually("the failure is told", || keys_status(&proxy, "push")["last_error"].is_string());
    assert_eq!(site.all_asked().len(), 0);
}

#[test]
fn a_site_under_an_authority_of_ones_own_is_trusted_where_fetch_names_it_and_only_there() {
    let (erp, site) = (Upstream::start(), KeyServer::start());
    site.publish("/certs", Page::of(key_set("k1")));
    let source = token_source("push", &site.url("/certs"), "respond_within = \"2s\"");
    let setup = || Setup::new().upstream("erp", &erp, "");
    let without = setup().table(&source).start();
    let response = Sender::to(&without).deliver(&push("/push", "1", &good()));
    assert_eq!(response.verdict(), (503, "rejected", "secret_unavailable".to_owned()));
    eventually("the failure is told", || keys_status(&without, "push")["last_error"].is_string());
    assert_eq!(site.all_asked().len(), 0, "nothing is said to a stranger");
    let with = setup().table(&site.fetch()).table(&source).start();
    let response = Sender::to(&with).deliver(&push("/push", "1", &good()));
    assert_eq!(response.verdict(), (200, "delivered", String::new()));
}
