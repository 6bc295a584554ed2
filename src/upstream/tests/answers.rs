//! Answers of destinations.

use super::raw::RawUpstream;
use super::{Bench, pattern, read};
use crate::upstream::ReplyBody;
use std::time::Duration;

#[tokio::test]
async fn informational_answers_are_read_past() {
    let raw = RawUpstream::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone",
    )
    .await;
    let bench = Bench::of(&[raw.settings("erp")]);
    for _ in 0..2 {
        let answer = bench.answer("{}").await;
        assert_eq!(answer.status, 201);
        assert!(!answer.headers.contains_key("link"));
        assert_eq!(read(answer.body).await, (b"done".to_vec(), true));
    }
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn bodies_come_whole_however_they_are_framed() {
    for (answer, expected, connections) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            "abcde",
            1,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n", "", 1),
        ("HTTP/1.1 204 No Content\r\n\r\n", "", 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 1),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", 2),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", 2),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", 1),
    ] {
        let raw = RawUpstream::answering(answer).await;
        let bench = Bench::of(&[raw.settings("erp")]);
        for _ in 0..2 {
            let given = bench.answer("{}").await;
            assert!(matches!(given.body, ReplyBody::Whole(_)), "{answer}");
            assert_eq!(read(given.body).await, (expected.as_bytes().to_vec(), true), "{answer}");
        }
        assert_eq!(raw.connections(), connections, "{answer}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_break_an_answer_off_and_cost_the_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    ] {
        let raw = RawUpstream::answering(answer).await;
        let bench = Bench::of(&[raw.settings("erp")]);
        for connections in 1..=2 {
            let given = bench.answer("{}").await;
            assert_eq!(given.status, 200, "the event was accepted: {answer}");
            assert_eq!(read(given.body).await, (Vec::new(), true), "{answer}");
            assert_eq!(raw.connections(), connections, "{answer}");
        }
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_never_the_answer_to_the_next_request() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
        "HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let raw = RawUpstream::answering(answer).await;
        let bench = Bench::of(&[raw.settings("erp")]);
        for connections in 1..=3 {
            assert!((200..300).contains(&bench.answer("{}").await.status), "{answer}");
            assert_eq!(raw.connections(), connections, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_body_that_the_end_of_the_connection_ends_is_whole() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\n\r\nuntil ").await;
        connection.say("the end").await;
    })
    .await;
    let bench = Bench::of(&[raw.settings("erp")]);
    for _ in 0..2 {
        assert_eq!(read(bench.answer("").await.body).await, (b"until the end".to_vec(), true));
    }
    assert_eq!(raw.connections(), 2);
}

#[tokio::test]
async fn only_end_to_end_headers_are_given() {
    let raw = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nDate: now\r\n\
         Connection: x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\nTrailer: a\r\n\
         Hookward-Outcome: rejected\r\nHookward_Outcome: a\r\nhookward.source: a\r\n\
         Content_Length: 7\r\nTransfer_Encoding: chunked\r\nKeep_Alive: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Own: 1\r\n\r\n",
    )
    .await;
    let answer = Bench::of(&[raw.settings("erp")]).answer("{}").await;
    let names: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    assert_eq!(names, ["content-type=text/plain", "set-cookie=a", "set-cookie=b", "x-own=1"]);
}

#[tokio::test]
async fn a_body_is_whole_up_to_64_kib_and_streamed_beyond() {
    for (size, chunked, whole) in [
        (65_536, false, true),
        (65_536, true, true),
        (65_537, false, false),
        (65_537, true, false),
        (3_000_000, false, false),
        (3_000_000, true, false),
    ] {
        let raw = RawUpstream::serving(move |mut connection| async move {
            while connection.request().await.is_some() {
                let body = pattern(size);
                if chunked {
                    connection.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                    for piece in body.chunks(10_007) {
                        connection.say(format!("{:x}\r\n", piece.len())).await;
                        connection.say(piece).await;
                        connection.say("\r\n").await;
                    }
                    connection.say("0\r\n\r\n").await;
                } else {
                    connection
                        .say(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"))
                        .await;
                    connection.say(body).await;
                }
            }
        })
        .await;
        let bench = Bench::of(&[raw.settings("erp")]);
        for _ in 0..2 {
            let answer = bench.answer("{}").await;
            assert_eq!(matches!(answer.body, ReplyBody::Whole(_)), whole, "{size}");
            let (body, complete) = read(answer.body).await;
            assert!(complete && body == pattern(size), "{size} became {}", body.len());
        }
        // The reading task gives a connection back a moment after the last piece was taken.
        assert!(raw.connections() <= if whole { 1 } else { 2 }, "{size}");
    }
}

#[tokio::test]
async fn a_drip_fed_answer_is_put_together() {
    let raw = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslow!" {
            connection.say([*byte]).await;
            tokio::task::yield_now().await;
        }
        connection.request().await;
    })
    .await;
    let answer = Bench::of(&[raw.settings("erp")]).answer("{}").await;
    assert_eq!(read(answer.body).await, (b"slow!".to_vec(), true));
}

#[tokio::test]
async fn a_2xx_is_given_before_a_slow_body_is_done() {
    let (go_on, goes_on) = tokio::sync::watch::channel(false);
    let raw = RawUpstream::serving(move |mut connection| {
        let mut goes_on = goes_on.clone();
        async move {
            connection.request().await;
            connection.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslo").await;
            // The rest comes only once the answer was given.
            goes_on.wait_for(|go_on| *go_on).await.unwrap();
            connection.say("w!").await;
        }
    })
    .await;
    let answer = Bench::of(&[raw.settings("erp")]).answer("{}").await;
    assert_eq!(answer.status, 200);
    go_on.send_replace(true);
    assert_eq!(read(answer.body).await, (b"slow!".to_vec(), true));
}

#[tokio::test]
async fn a_2xx_that_breaks_off_or_stalls_in_its_body_stays_a_2xx_and_says_so() {
    for (size, stall) in [(10, false), (10, true), (200_000, false), (200_000, true)] {
        let raw = RawUpstream::serving(move |mut connection| async move {
            connection.request().await;
            connection.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
            connection.say(pattern(size)).await;
            if stall {
                connection.request().await;
            }
        })
        .await;
        let mut settings = raw.settings("erp");
        settings.timeout = Duration::from_millis(300);
        let answer = Bench::of(&[settings]).answer("{}").await;
        assert_eq!(answer.status, 200);
        let (body, complete) = read(answer.body).await;
        if size < 64 * 1024 {
            // Nothing of it was given yet, so the answer can still be a whole one.
            assert!(complete && body.is_empty(), "{size} {stall}");
        } else {
            assert!(!complete && body == pattern(size), "{size} {stall}");
        }
    }
}

#[tokio::test]
async fn a_streamed_body_that_nobody_takes_ends_with_the_time_and_not_as_complete() {
    let raw = RawUpstream::serving(move |mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n").await;
        connection.say(pattern(50_000_000)).await;
    })
    .await;
    let mut settings = raw.settings("erp");
    settings.timeout = Duration::from_millis(300);
    let answer = Bench::of(&[settings]).answer("{}").await;
    let ReplyBody::Streamed { first, mut rest } = answer.body else { panic!() };
    assert!(first.len() < 1_000_000);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut pieces = 0;
    let mut last = None;
    while let Some(piece) = rest.recv().await {
        pieces += 1;
        last = Some(piece.is_err());
    }
    assert_eq!(last, Some(true), "the cut is told");
    assert!(pieces <= 9, "{pieces} pieces were held");
}

#[tokio::test]
async fn of_other_answers_the_head_counts_and_a_short_body_does_not_cost_the_connection() {
    let raw = RawUpstream::answering(
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy",
    )
    .await;
    let bench = Bench::of(&[raw.settings("erp")]);
    for _ in 0..3 {
        let answer = bench.answer("{}").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.headers["retry-after"], "7");
        assert!(matches!(answer.body, ReplyBody::Whole(body) if body.is_empty()));
        // The body is read past in the background.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(raw.connections(), 1);
    assert_eq!(bench.counted("5xx"), 3);

    let endless = RawUpstream::serving(|mut connection| async move {
        connection.request().await;
        connection.say("HTTP/1.1 404 Not Found\r\nContent-Length: 9000000\r\n\r\n").await;
        connection.say(pattern(9_000_000)).await;
    })
    .await;
    let bench = Bench::of(&[endless.settings("erp")]);
    for _ in 0..2 {
        assert_eq!(bench.answer("{}").await.status, 404);
    }
    assert_eq!(endless.connections(), 2);
}
