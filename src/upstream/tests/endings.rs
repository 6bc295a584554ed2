//! Exchanges that fail: reports exactly what the destination may have seen.

use super::Bench;
use super::raw::RawUpstream;
use crate::upstream::Forwarded;
use std::time::Duration;

#[tokio::test]
async fn silence_after_the_whole_request_is_a_timeout_of_a_request_that_was_sent() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 102 Processing\r\n\r\n").await;
        connection.request().await;
    })
    .await;
    let mut settings = raw.settings("erp");
    settings.timeout = Duration::from_millis(100);
    let bench = Bench::of(&[settings]);
    let forwarded = bench.send("{}").await;
    assert!(matches!(forwarded, Forwarded::TimedOut { sent_whole: true }), "{forwarded:?}");
    assert_eq!(bench.counted("timeout"), 1);
}

#[tokio::test]
async fn a_request_that_is_not_taken_to_its_end_is_not_called_sent() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut settings = raw.settings("erp");
    settings.timeout = Duration::from_millis(300);
    // More than all buffers on the way hold.
    let forwarded = Bench::of(&[settings]).send(vec![0; 64 << 20]).await;
    assert!(matches!(forwarded, Forwarded::TimedOut { sent_whole: false }), "{forwarded:?}");
}

#[tokio::test]
async fn what_is_not_an_answer_in_http_is_broken() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 700 Beyond\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 O",
        "",
    ] {
        let raw = RawUpstream::serving(move |mut connection| async move {
            connection.request().await;
            connection.say(garbage).await;
        })
        .await;
        let bench = Bench::of(&[raw.settings("erp")]);
        let forwarded = bench.send("{}").await;
        assert!(
            matches!(forwarded, Forwarded::Broken { sent_whole: true, .. }),
            "{garbage:?}: {forwarded:?}"
        );
        assert_eq!(raw.requests().len(), 1, "{garbage:?} is not asked again");
        assert_eq!(bench.counted("broken"), 1);
    }
}

#[tokio::test]
async fn a_head_without_end_is_read_up_to_a_bound() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\nX-Long: ").await;
        connection.say(vec![b'a'; 3 << 20]).await;
        connection.request().await;
    })
    .await;
    let forwarded = Bench::of(&[raw.settings("erp")]).send("{}").await;
    let Forwarded::Broken { sent_whole: true, detail } = forwarded else { panic!("{forwarded:?}") };
    assert_eq!(detail, "the head of the answer is too long");
}

#[tokio::test]
async fn a_reset_is_broken_and_not_asked_again() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\nConte").await;
        connection.reset();
    })
    .await;
    let forwarded = Bench::of(&[raw.settings("erp")]).send("{}").await;
    assert!(matches!(forwarded, Forwarded::Broken { sent_whole: true, .. }), "{forwarded:?}");
    assert_eq!((raw.requests().len(), raw.connections()), (1, 1));
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_heard() {
    for closes in [true, false] {
        let raw = RawUpstream::serving(move |mut connection| async move {
            connection.head().await;
            connection.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
            if !closes {
                std::future::pending::<()>().await;
            }
        })
        .await;
        let mut settings = raw.settings("erp");
        settings.timeout = Duration::from_millis(500);
        let bench = Bench::of(&[settings]);
        for connections in 1..=2 {
            assert_eq!(bench.answer(vec![0; 64 << 20]).await.status, 413, "closes: {closes}");
            assert_eq!(raw.connections(), connections, "such a connection is not used again");
        }
    }
}

#[tokio::test]
async fn a_destination_that_does_not_take_the_connection_is_unreachable_within_connect_timeout() {
    // A listener whose queue is full takes no more connections.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address))
            .await
    {
        filling.push(stream);
    }
    let mut settings = super::raw::settings("erp", &[address]);
    settings.connect_timeout = Duration::from_millis(100);
    let bench = Bench::of(&[settings]);
    let forwarded = tokio::time::timeout(Duration::from_secs(2), bench.send("{}")).await.unwrap();
    assert!(matches!(forwarded, Forwarded::Unreachable { .. }), "{forwarded:?}");
}
