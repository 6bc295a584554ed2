//! `[[admin.tokens]]`: who may look in, and who may change things.

use super::{TestSecrets, all, load_with};
use crate::config::ConfigPart;
use crate::config::{AdminSettings, Config, Severity};
use hookward_secret::Secret;

const A: &str = "a-token-of-more-than-16-bytes";
const B: &str = "b-token-of-more-than-16-bytes";

fn secrets() -> TestSecrets {
    TestSecrets::default().with("A", A).with("ALIKE", A).with("B", B)
}

/// A source, since a file without one is of no use.
const SOURCE: &str = "[sources.shop]\npath = \"/shop\"\npreset = \"opentiendas\"\n\
    secrets = [{ env = \"A\" }]\nroutes = []\n";

fn admin(keys: &str) -> AdminSettings {
    let text = format!("[admin]\n{keys}\n{SOURCE}");
    load_with(&text, &secrets()).expect("no errors").0.admin
}

#[test]
fn tokens_have_names_and_the_one_of_old_is_called_token() {
    let keys = "token = { env = \"A\" }\n\
                tokens = [{ name = \"grafana\", env = \"B\", read_only = true }]";
    let tokens = admin(keys).tokens;
    let shown: Vec<(&str, bool)> =
        tokens.iter().map(|token| (token.name.as_str(), token.is_read_only)).collect();
    assert_eq!(shown, [("token", false), ("grafana", true)]);
    assert_eq!(
        tokens.iter().map(|t| t.secret.expose()).collect::<Vec<_>>(),
        [A.as_bytes(), B.as_bytes()]
    );
}

#[test]
fn commands_present_one_that_may_change_things_where_there_is_one() {
    let read = "{ name = \"r\", env = \"A\", read_only = true }";
    let own = |keys: &str| admin(keys).own_token().map(Secret::expose).map(<[u8]>::to_vec);
    assert_eq!(own(&format!("tokens = [{read}]")), Some(A.into()));
    assert_eq!(own(&format!("tokens = [{read}, {{ name = \"w\", env = \"B\" }}]")), Some(B.into()));
    assert_eq!(own(""), None);
}

#[test]
fn what_would_leave_somebody_in_or_out_by_a_slip_is_an_error() {
    let far = "listen = \"0.0.0.0:9090\"\n";
    for (keys, told) in [
        (format!("{far}tokens = []"), "empty"),
        (far.to_owned(), "or where there are `tokens`"),
        ("tokens = [{ env = \"A\" }]".to_owned(), "missing"),
        ("tokens = [{ name = \"a b\", env = \"A\" }]".to_owned(), "not a name"),
        ("tokens = [{ name = \"\", env = \"A\" }]".to_owned(), "not a name"),
        ("tokens = [{ name = \"token\", env = \"A\" }]".to_owned(), "is called `token`"),
        ("tokens = [{ name = \"a\" }]".to_owned(), "no secret"),
        ("tokens = [{ name = \"a\", env = \"A\", read_onyl = true }]".to_owned(), "unknown key"),
        (
            "tokens = [{ name = \"a\", env = \"A\", read_only = \"yes\" }]".to_owned(),
            "not a boolean",
        ),
        (
            "tokens = [{ name = \"a\", env = \"A\" }, { name = \"a\", env = \"B\" }]".to_owned(),
            "another token is called `a`",
        ),
        (
            "tokens = [{ name = \"a\", env = \"A\" }, { name = \"b\", env = \"ALIKE\" }]"
                .to_owned(),
            "the same token as another one",
        ),
        (
            "tokens = [{ name = \"a\", env = \"A\" }, { name = \"b\", env = \"NOT_SET\" }]"
                .to_owned(),
            "NOT_SET is not set; the admin listener is not opened without its tokens",
        ),
    ] {
        let problems = all(load_with(&format!("[admin]\n{keys}"), &secrets()));
        let errors: Vec<String> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.iter().any(|error| error.contains(told)), "{keys}: {errors:#?}");
        assert!(!errors.concat().contains("token-of-more"), "{errors:#?}");
    }
}

#[test]
fn a_command_needs_one_of_them_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hookward.toml");
    let load = |variables: &[(&str, &str)]| {
        let text =
            "[admin]\ntokens = [{ name = \"a\", env = \"A\" }, { name = \"b\", env = \"B\" }]";
        std::fs::write(&file, text).expect("written");
        let secrets = variables
            .iter()
            .fold(TestSecrets::default(), |secrets, (name, value)| secrets.with(name, value));
        Config::load_part(&file, &secrets, ConfigPart::Admin)
    };
    let (config, _) = load(&[("B", B)]).expect("one is enough");
    assert_eq!(config.admin.own_token().map(Secret::expose), Some(B.as_bytes()));
    assert!(load(&[]).is_err(), "without any the listener would be called without a token");
}
