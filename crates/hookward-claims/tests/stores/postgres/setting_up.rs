//! A connection that cannot be set up is retried, whatever the reason.

use super::{by, claims, deliver, deliver_soon, open};
use crate::hop::Hop;
use crate::postgres_server::PostgresServer;
use crate::world::{Ask, Result, WITHIN, connect, new_database};
use hookward_claims::{Claims, Health, PostgresStore, PostgresTls, StoreError};
use hookward_secret::Secret;
use hookward_time::SystemClock;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a server, or something in front of it, can say to a connection that is being set up.
const SAID: [&[u8]; 5] = [
    b"E\0\0\0\x3cSFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0",
    b"E\0\0\0\x32SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    b"\x15\x03\x03\0\x02\x02\x28",
    b"",
];

async fn kill_connections(url: &str) {
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connect(url).await.batch_execute(others).await.unwrap();
}

#[tokio::test]
async fn however_setting_up_fails_it_is_tried_again() {
    let (url, port) = (new_database().await, PostgresServer::shared().port());
    let hop = Hop::to(port).await;
    let claims = claims(&by(&hop, &url, port)).await;
    for (nth, said) in SAID.into_iter().enumerate() {
        let said_text = String::from_utf8_lossy(said);
        deliver_soon(&claims, &format!("before {nth}")).await;
        hop.answer_instead(Some(said));
        kill_connections(&url).await;
        // Often enough for the pauses to have grown.
        for _ in 0..20 {
            let refused = Ask::event("meanwhile").all(&claims).await;
            assert!(refused.is_err(), "{said_text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(claims.health(WITHIN).await.is_err(), "{said_text}");
        hop.answer_instead(None);
        let within = tokio::time::timeout(Duration::from_secs(5), async {
            while claims.health(WITHIN).await != Ok(Health::Good) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        within.await.unwrap_or_else(|_| panic!("not tried again after {said_text:?}"));
        deliver(&claims, Ask::event(&format!("after {nth}"))).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_not_hammered() {
    let (url, port) = (new_database().await, PostgresServer::shared().port());
    let hop = Hop::to(port).await;
    let claims = claims(&by(&hop, &url, port)).await;
    hop.answer_instead(Some(SAID[0]));
    kill_connections(&url).await;
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
async fn a_password_that_was_wrong_for_a_while_is_tried_again_and_never_said() {
    let server = PostgresServer::prepare(&[], |data| {
        let rules = "host all postgres 127.0.0.1/32 trust\n\
                     host all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    });
    let admin = server.database();
    let database = admin.rsplit('/').next().unwrap().to_owned();
    server.sql(&database, "CREATE ROLE hookward LOGIN PASSWORD 'hunter2-hunter2'");
    server.sql(&database, "CREATE SCHEMA hookward AUTHORIZATION hookward");
    let url = admin.replace("postgres@", "hookward:hunter2-hunter2@");
    let claims = claims(&url).await;
    deliver(&claims, Ask::event("1")).await;
    server.sql(&database, "ALTER ROLE hookward PASSWORD 'hunter3-hunter3'");
    let mut fault = String::new();
    for _ in 0..100 {
        // One that was let in with the old password may appear a little later.
        kill_connections(&admin).await;
        fault =
            claims.health(WITHIN).await.err().map(|fault| fault.to_string()).unwrap_or_default();
        if fault.contains("password") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(fault.contains(&format!("127.0.0.1:{}", server.port())), "{fault}");
    assert!(fault.contains("password authentication failed"), "{fault}");
    assert!(!fault.contains("hunter"), "{fault}");
    server.sql(&database, "ALTER ROLE hookward PASSWORD 'hunter2-hunter2'");
    deliver_soon(&claims, "2").await;
    for url in [
        url.replace("hunter2-", "hunter3-"),
        admin.replace("postgres@", "hookward@"),
        "postgres://hookward:hunter2-hunter2@127.0.0.1:1/hookward".to_owned(),
        "http://:hunter2-hunter2@127.0.0.1:1/0".to_owned(),
        "postgres://hookward:hunter2-hunter2@127.0.0.1/d?sslmode=hunter2".to_owned(),
        "hunter2-hunter2".to_owned(),
    ] {
        let refusal = open(&url).await.err().unwrap().to_string();
        assert!(refusal.starts_with("the postgres store "), "{refusal}");
        assert!(!refusal.contains("hunter"), "{refusal}");
    }
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_certificate_is_always_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let own = rcgen::generate_simple_self_signed(vec!["postgres.internal".to_owned()]).unwrap();
    std::fs::write(file("ca.pem"), own.cert.pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["postgres.internal".to_owned()]).unwrap();
    std::fs::write(file("other.pem"), other.cert.pem()).unwrap();
    let mut client = rcgen::CertificateParams::new(vec!["hookward".to_owned()]).unwrap();
    client.is_ca = rcgen::IsCa::NoCa;
    client.distinguished_name.push(rcgen::DnType::CommonName, "postgres");
    let client_key = rcgen::KeyPair::generate().unwrap();
    let client = client.self_signed(&client_key).unwrap().pem();
    std::fs::write(file("client.pem"), &client).unwrap();
    std::fs::write(file("client.key"), client_key.serialize_pem()).unwrap();

    let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let settings =
        ["ssl=on", "ssl_cert_file=own.pem", "ssl_key_file=own.key", "ssl_ca_file=client.pem"];
    let server = PostgresServer::prepare(&settings, |data| {
        std::fs::write(data.join("own.pem"), &cert).unwrap();
        write_private(&data.join("own.key"), &key);
        std::fs::write(data.join("client.pem"), &client).unwrap();
        // The test's own questions come from psql, by way of another user.
        let rules = "hostssl all postgres 127.0.0.1/32 trust clientcert=verify-ca\n\
                     host all admin 127.0.0.1/32 trust\n\
                     hostnossl postgres postgres 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    });
    server.sql("postgres", "CREATE DATABASE encrypted");
    let url = server.url("encrypted");
    let tls = |ca: Option<&str>, client: bool, sni: Option<&str>| PostgresTls {
        ca: ca.map(file),
        client: client.then(|| (file("client.pem"), file("client.key"))),
        sni: sni.map(str::to_owned),
    };
    let opened = async |tls: PostgresTls| -> std::result::Result<PostgresStore, StoreError> {
        let clock = Arc::new(SystemClock::new());
        PostgresStore::open(&Secret::from(url.clone()), Some(&tls), clock, WITHIN).await
    };
    let name = Some("postgres.internal");
    let store = opened(tls(Some("ca.pem"), true, name)).await.unwrap();
    let claims: Arc<Claims<Result>> = Claims::new(Arc::new(store), Arc::new(SystemClock::new()));
    deliver(&claims, Ask::event("1")).await;
    for (what, tls) in [
        ("the system's CAs", tls(None, true, name)),
        ("another CA", tls(Some("other.pem"), true, name)),
        ("no client certificate", tls(Some("ca.pem"), false, name)),
        ("the URL's host", tls(Some("ca.pem"), true, None)),
        ("another name", tls(Some("ca.pem"), true, Some("other.internal"))),
        (
            "no such file",
            PostgresTls { ca: Some(PathBuf::from("/none")), ..tls(None, false, None) },
        ),
    ] {
        let fault = opened(tls).await.err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(fault.to_string().contains(&format!("127.0.0.1:{}", server.port())), "{fault}");
    }
    for plain in ["", "?sslmode=require", "?sslmode=disable"] {
        assert!(open(&format!("{url}{plain}")).await.is_err(), "{plain}");
    }
    // A server without TLS is not talked to without it.
    let shared = new_database().await;
    assert!(open(&format!("{shared}?sslmode=require")).await.is_err());
}
