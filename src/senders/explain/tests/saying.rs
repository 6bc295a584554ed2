//! What is not shown, and what is said where nothing is recognised.

use super::*;

#[test]
fn a_token_is_not_shown() {
    let token = ready(source("X-Token").with_rule(|rule| rule.algorithm = Algorithm::Token));
    let request = head(&[("X-Token", "topsecret")]);
    let told = judge_alone(&token, &request, BODY.as_bytes());
    assert!(told.is_forwarded());
    assert!(!told.to_string().contains("topsecret"), "{told}");
    let bearer = ready(source("X-Token").with_rule(|rule| rule.algorithm = Algorithm::Jwt));
    let told = judge_alone(&bearer, &request, BODY.as_bytes());
    assert!(!told.to_string().contains("topsecret"), "{told}");
}

#[test]
fn what_no_mistake_explains_is_said_plainly() {
    let sender = listed().with_secrets(&["a secret that nobody has"]);
    let (head, body) = signed_by(&sender, BODY.as_bytes());
    let receiver = ready(listed());
    assert_eq!(mistake(&receiver, &[&receiver], &head, &body), "none");
    let told = judge_alone(&receiver, &head, &body).to_string();
    assert!(told.contains("None of the common mistakes"), "{told}");
    assert!(told.ends_with("reason: signature_mismatch"), "{told}");
}
