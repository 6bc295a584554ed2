//! Claims about questions of senders' protocols.

use super::*;

#[test]
fn a_handshake_is_told_as_one() {
    let mut slack = ready(listed());
    slack.sender.scheme.handshake =
        Some(Handshake { kind: HandshakeKind::Slack, verify_token: None });
    let (head, body) = signed_by(&slack, br#"{"type":"url_verification","challenge":"abc"}"#);
    assert_eq!(judge_alone(&slack, &head, &body).verdict, Judgement::Handshake);
}

#[test]
fn a_get_that_is_no_handshake_and_a_handshake_that_is_stale_are_refused() {
    let with = |kind| {
        let mut source = ready(listed());
        source.sender.scheme.handshake = Some(Handshake { kind, verify_token: None });
        source
    };
    let dropbox = with(HandshakeKind::Dropbox);
    let (mut head, body) = signed_by(&dropbox, BODY.as_bytes());
    head.method = Method::GET;
    let told = judge_alone(&dropbox, &head, &body);
    assert_eq!(told.verdict, Judgement::Refused(Reason::MethodNotAllowed), "{told}");

    let slack = with(HandshakeKind::Slack);
    let question = br#"{"type":"url_verification","challenge":"abcdef"}"#;
    let (head, body) = signed_by(&slack, question);
    assert_eq!(judge_alone(&slack, &head, &body).verdict, Judgement::Handshake);
    let late = NOW.plus(Duration::from_millis(300_001));
    let told = judge_at(&slack, &head, &body, late);
    assert_eq!(told.verdict, Judgement::Refused(Reason::TimestampTooOld), "{told}");
}
