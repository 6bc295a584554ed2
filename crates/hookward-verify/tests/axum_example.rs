//! Calls the example server over a socket, like a sender.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up fails with a message"
)]

#[expect(dead_code, unreachable_pub, reason = "an example is a program of its own")]
#[path = "../examples/axum.rs"]
mod example;

use hookward_time::{Clock as _, SystemClock};
use hookward_verify::Sender;
use hookward_verify::sign::{SignRequest, SigningKey, sign};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const GITHUB: &str = "It's a Secret to Everybody";
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = example::app(GITHUB, STANDARD).unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// The status line and the body of the answer to a signed delivery whose body is then replaced.
async fn deliver(to: SocketAddr, path: &str, sender: &Sender, body: &str, sent: &str) -> String {
    let request = SignRequest {
        id: Some("evt_1"),
        event_type: Some("push"),
        path,
        at: SystemClock::new().wall(),
        query: None,
        body: body.as_bytes(),
    };
    let signed = sign(sender, &SigningKey::Shared(&sender.secrets[0]), &request).unwrap();
    let lines: Vec<String> =
        signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let length = sent.len();
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{lines}\
         Content-Length: {length}\r\n\r\n{sent}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    format!("{} {body}", head.lines().next().unwrap())
}

#[tokio::test]
async fn the_example_lets_genuine_deliveries_through_and_no_others() {
    let address = serve().await;
    let body = r#"{"type":"invoice.paid"}"#;
    let forged = r#"{"type":"invoice.void"}"#;
    for (path, preset, secret, kind) in [
        ("/github", "github", GITHUB, "push"),
        ("/standard", "standard-webhooks", STANDARD, "invoice.paid"),
    ] {
        let sender = Sender::preset(preset, [secret]).unwrap();
        let answer = deliver(address, path, &sender, body, body).await;
        assert_eq!(answer, format!("HTTP/1.1 200 OK {kind} evt_1"), "{preset}");
        let answer = deliver(address, path, &sender, body, forged).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{preset}: {answer}");
        let stranger = Sender::preset(preset, ["whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"]).unwrap();
        let answer = deliver(address, path, &stranger, body, body).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{preset}: {answer}");
    }
}

#[test]
fn the_example_is_short() {
    let text = include_str!("../examples/axum.rs");
    let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let count = code.count();
    assert!(count < 40, "the example has {count} lines of code");
}
