//! A connection that cannot be set up is retried, whatever the reason.

use super::{claims, deliver, deliver_soon, open};
use crate::hop::Hop;
use crate::redis_server::RedisServer;
use crate::world::{Ask, Result, WITHIN};
use hookward_claims::{Claims, Health, RedisTls};
use hookward_secret::Secret;
use hookward_time::SystemClock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const PASSWORD: &str = "hunter2-hunter2";

/// What a server, or something in front of it, can say to a connection that is being set up.
const SAID: [&[u8]; 8] = [
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-ERR max number of clients reached\r\n",
    b"-MASTERDOWN Link with MASTER is down\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    b"\x15\x03\x03\0\x02\x02\x28",
    b"",
];

async fn kill_connections(server: &RedisServer, password: &str) {
    let client = ::redis::Client::open(with_password(&server.url(), password)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _killed: i64 = ::redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query_async(&mut connection)
        .await
        .unwrap();
}

fn with_password(url: &str, password: &str) -> String {
    url.replace("redis://", &format!("redis://:{password}@"))
}

#[tokio::test]
async fn however_setting_up_fails_it_is_tried_again() {
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]).await;
    let hop = Hop::to(server.port()).await;
    let claims = claims(&with_password(&hop.url(), PASSWORD)).await;
    for (nth, said) in SAID.into_iter().enumerate() {
        let said_text = String::from_utf8_lossy(said);
        deliver_soon(&claims, &format!("before {nth}")).await;
        hop.answer_instead(Some(said));
        kill_connections(&server, PASSWORD).await;
        // Often enough for the pauses to have grown.
        for _ in 0..20 {
            let refused = Ask { within: WITHIN, ..Ask::event("meanwhile") }.all(&claims).await;
            let fault = refused.err().expect("nobody answers").to_string();
            assert!(!fault.contains("hunter"), "{said_text}: {fault}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(claims.health(WITHIN).await.is_err(), "{said_text}");
        hop.answer_instead(None);
        let within = tokio::time::timeout(Duration::from_secs(3), async {
            while claims.health(WITHIN).await != Ok(Health::Good) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        within.await.unwrap_or_else(|_| panic!("not tried again after {said_text:?}"));
        deliver(&claims, Ask::event(&format!("after {nth}"))).await;
    }
}

#[tokio::test]
async fn a_password_that_was_wrong_for_a_while_is_tried_again() {
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]).await;
    let claims = claims(&with_password(&server.url(), PASSWORD)).await;
    deliver(&claims, Ask::event("1")).await;
    set_password(&server, PASSWORD, "hunter3-hunter3").await;
    kill_connections(&server, "hunter3-hunter3").await;
    let fault = claims.health(WITHIN).await.unwrap_err().to_string();
    assert!(fault.contains(&format!("127.0.0.1:{}", server.port())), "{fault}");
    assert!(fault.contains("assword") && !fault.contains("hunter"), "{fault}");
    set_password(&server, "hunter3-hunter3", PASSWORD).await;
    deliver_soon(&claims, "2").await;
}

async fn set_password(server: &RedisServer, from: &str, to: &str) {
    let client = ::redis::Client::open(with_password(&server.url(), from)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = ::redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", to])
        .query_async(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_is_not_hammered() {
    let server = RedisServer::start_with(&["--requirepass", PASSWORD]).await;
    let hop = Hop::to(server.port()).await;
    let claims = claims(&with_password(&hop.url(), PASSWORD)).await;
    hop.answer_instead(Some(b"-WRONGPASS invalid\r\n"));
    kill_connections(&server, PASSWORD).await;
    let before = hop.connections();
    for _ in 0..200 {
        assert!(Ask::event("1").all(&claims).await.is_err());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Over a second and some: at once, then after 50, 100, 200, 400 and 800 ms.
    let attempts = hop.connections() - before;
    assert!((3..=8).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn a_certificate_of_an_own_ca_is_believed_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let write = |name: &str, text: String| std::fs::write(file(name), text).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["redis.internal".to_owned()]).unwrap();
    write("ca.pem", own.cert.pem());
    write("key.pem", own.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(vec!["redis.internal".to_owned()]).unwrap();
    write("other.pem", other.cert.pem());
    let mut client = rcgen::CertificateParams::new(vec!["hookward".to_owned()]).unwrap();
    client.is_ca = rcgen::IsCa::NoCa;
    let client_key = rcgen::KeyPair::generate().unwrap();
    write("client.pem", client.self_signed(&client_key).unwrap().pem());
    write("client.key", client_key.serialize_pem());

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |name: &str| file(name).to_str().unwrap().to_owned();
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text("ca.pem"),
        "--tls-key-file",
        &text("key.pem"),
        "--tls-ca-cert-file",
        &text("client.pem"),
    ])
    .await;
    let url = format!("rediss://127.0.0.1:{port}/0");
    let tls = |ca: Option<&str>, client: bool, sni: Option<&str>| RedisTls {
        ca: ca.map(file),
        client: client.then(|| (file("client.pem"), file("client.key"))),
        sni: sni.map(str::to_owned),
    };
    let opened = async |tls: RedisTls| {
        let url = Secret::from(url.clone());
        let clock = Arc::new(SystemClock::new());
        hookward_claims::RedisStore::open(&url, Some(&tls), "hookward:", clock, WITHIN).await
    };
    let name = Some("redis.internal");
    let store = opened(tls(Some("ca.pem"), true, name)).await.unwrap();
    let claims: Arc<Claims<Result>> = Claims::new(Arc::new(store), Arc::new(SystemClock::new()));
    deliver(&claims, Ask::event("1")).await;
    for (what, tls) in [
        ("the system's CAs", tls(None, true, name)),
        ("another CA", tls(Some("other.pem"), true, name)),
        ("no client certificate", tls(Some("ca.pem"), false, name)),
        ("the URL's host", tls(Some("ca.pem"), true, None)),
        ("another name", tls(Some("ca.pem"), true, Some("other.internal"))),
        ("no such file", RedisTls { ca: Some(PathBuf::from("/none")), ..RedisTls::default() }),
    ] {
        let fault = opened(tls).await.err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(fault.to_string().contains(&format!("127.0.0.1:{port}")), "{what}: {fault}");
    }
    assert!(open(&url).await.is_err());
}
