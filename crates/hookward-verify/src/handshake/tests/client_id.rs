//! Acrobat Sign, which gets its client id back.

use super::*;

#[test]
fn acrobat_sign_gets_its_client_id_back_and_a_stranger_does_not() {
    let mut client_ids = source("X-AdobeSign-ClientId").with_secrets(&["older", "UB7E5BXCXY"]);
    client_ids.scheme.handshake = Some(handshake(Kind::AdobeSign));
    let asked = |source: &Sender, lines: &[(&str, &str)]| {
        let mut request = head(lines);
        request.method = Method::GET;
        let answer = answer_head(source, request.view());
        answer.map(|answer| answer.map_err(|fault| fault.kind()))
    };
    let ours = [("X-AdobeSign-ClientId", "UB7E5BXCXY")];
    let reply = asked(&client_ids, &ours).expect("a handshake").expect("an answer");
    assert_eq!(reply.headers["x-adobesign-clientid"], "UB7E5BXCXY");
    let another = asked(&client_ids, &[("X-AdobeSign-ClientId", "UB7E5BXCXZ")]);
    assert_eq!(another, Some(Err(FaultKind::SignatureMismatch)));
    assert_eq!(asked(&client_ids, &[("X-Other", "UB7E5BXCXY")]), None);
    let (name, value) = echoed(&client_ids, head(&ours).view()).expect("the header");
    assert_eq!((name.as_str(), value.as_bytes()), ("x-adobesign-clientid", &b"UB7E5BXCXY"[..]));
    client_ids.keys = Err("no variable".into());
    assert_eq!(asked(&client_ids, &ours), Some(Err(FaultKind::SecretUnavailable)));
    assert_eq!(echoed(&asking(handshake(Kind::Okta)), head(&ours).view()), None);
}
