//! The declarations of keys are correct: every key is read, its default is the default, and the
//! page on configuration matches.

use super::{TestSecrets, all, load_with};
use crate::config::{Config, KeyDefault, TableKeys, reference};

/// A configuration in which `table` has one more key, with everything else that the key needs.
pub(super) fn with(table: &TableKeys, key: &str, value: &str) -> String {
    let beside = |title: &str, key: &str| match title {
        "[upstreams.NAME]" => match key {
            "url" | "urls" => "max_concurrent = 5\neject_after = 3",
            "max_concurrent" => "url = \"https://erp\"\neject_after = 3",
            "eject_after" => "url = \"https://erp\"\nmax_concurrent = 5",
            _ => "url = \"https://erp\"\nmax_concurrent = 5\neject_after = 3",
        },
        "[upstreams.NAME.health]" if key != "path" => "path = \"/health\"",
        "[sources.NAME]" => match key {
            "path" => "secrets = [{ env = \"SECRET\" }]",
            "secrets" => "path = \"/s\"",
            _ => "path = \"/s\"\nsecrets = [{ env = \"SECRET\" }]",
        },
        "[sources.NAME.signature]" => match key {
            "header" | "from" | "token_from" => "",
            "key_hosts" | "key_path" => "header = \"X-S\"\nkey_url = \"header:X-U\"",
            _ => "header = \"X-S\"",
        },
        "[sources.NAME.timestamp]" if key != "from" => "from = \"header:X-T\"",
        "[sources.NAME.event]" if key != "id" => "id = [\"json:/id\"]",
        "[sources.NAME.handshake]" if key != "kind" => "kind = \"slack\"",
        "[[admin.tokens]]" => match key {
            "name" => "env = \"SECRET\"",
            "env" | "file" | "value" => "name = \"grafana\"",
            _ => "name = \"grafana\"\nenv = \"SECRET\"",
        },
        "[[sources.NAME.routes]]" => match key {
            "events" => "to = [\"erp\"]",
            "to" => "events = [\"*\"]",
            _ => "events = [\"*\"]\nto = [\"erp\"]",
        },
        _ => "",
    };
    // An inbox is in the folder of the store.
    let store = if table.title == "[inbox]" { "[dedupe]\nstore = \"disk\"\n" } else { "" };
    let section = |title: &str, needed: bool| {
        let header =
            title.replace("upstreams.NAME", "upstreams.erp").replace("sources.NAME", "sources.s");
        let own = if title == table.title { format!("{key} = {value}\n") } else { String::new() };
        let replaced = own.is_empty() && title.ends_with(&format!(".{key}]"));
        if !own.is_empty() || (needed && !replaced) {
            format!(
                "{header}\n{}\n{own}",
                beside(title, if title == table.title { key } else { "" })
            )
        } else {
            String::new()
        }
    };
    if table.title == "published keys" {
        let place = "jwk_by_id = \"https://keys.example.com/get\"";
        let credential = "{ env = \"SECRET\" }";
        let own = format!("{key} = {value}");
        let keys = match key {
            "client_id" => format!("{place}, {own}, secret = {credential}"),
            "secret" => format!("{place}, client_id = {credential}, {own}"),
            "name" => format!("jwks = \"https://keys.example.com/certs\", {own}"),
            _ => own,
        };
        return format!(
            "[sources.s]\npath = \"/s\"\nsecrets = [{{ {keys} }}]\nsignature = {{ algorithm = \"jwt\", \
             jwt_algorithms = [\"RS256\"] }}\nevent = {{ id = [\"json:/id\"] }}\n"
        );
    }
    if table.title == "secret" {
        return format!("[admin]\ntoken = {{ {key} = {value} }}\n");
    }
    [
        ("[server]", false),
        ("[server.tls]", false),
        ("[admin]", false),
        ("[[admin.tokens]]", false),
        ("[log]", false),
        ("[dedupe]", false),
        ("[dedupe.tls]", false),
        ("[fetch]", false),
        ("[upstreams.NAME]", true),
        ("[upstreams.NAME.tls]", false),
        ("[upstreams.NAME.health]", false),
        ("[upstreams.NAME.breaker]", table.title == "[upstreams.NAME]" && key == "url"),
        ("[upstreams.NAME.retry]", false),
        ("[upstreams.NAME.sign]", false),
        ("[inbox]", false),
        ("[sources.NAME]", true),
        ("[sources.NAME.signature]", true),
        ("[sources.NAME.timestamp]", false),
        ("[sources.NAME.event]", true),
        ("[sources.NAME.handshake]", false),
        ("[[sources.NAME.routes]]", key != "routes"),
    ]
    .map(|(title, needed)| section(title, needed))
    .concat()
        + store
}

#[test]
fn every_declared_key_is_read() {
    for table in reference::tables() {
        for key in table.keys {
            // No key takes a date.
            let text = with(table, key.name, "1979-05-27");
            let told = all(load_with(&text, &TestSecrets::usual()));
            let about = |problem: &&crate::config::Problem| {
                problem.key.ends_with(key.name)
                    || problem.key.ends_with(&format!("{}[0]", key.name))
                    || (table.title == "secret" && problem.key == "admin.token")
                    || (table.title == "published keys" && problem.key.ends_with("secrets[0]"))
                    || (key.name == "name" && problem.key.starts_with("admin.token"))
            };
            assert!(
                told.iter().any(|p| about(&p)),
                "{} {}: {told:#?}\n{text}",
                table.title,
                key.name
            );
        }
    }
}

#[test]
fn every_declared_default_is_what_holds_where_the_key_is_left_out() {
    let shown = |config: &Config| {
        let Config { server, admin, log, dedupe, inbox, upstreams, sources, .. } = config;
        format!("{server:#?}{admin:#?}{log:#?}{dedupe:#?}{inbox:#?}{upstreams:#?}{sources:#?}")
    };
    let mut count = 0;
    for table in reference::tables() {
        for key in table.keys {
            let KeyDefault::Is(value) = key.default else { continue };
            let stated = with(table, key.name, value);
            let left_out = stated.replace(&format!("{} = {value}\n", key.name), "");
            assert_ne!(stated, left_out);
            let read = |text: &str| match load_with(text, &TestSecrets::usual()) {
                Ok((config, _)) => shown(&config),
                Err(problems) => panic!("{} {}: {problems:#?}\n{text}", table.title, key.name),
            };
            assert_eq!(read(&stated), read(&left_out), "{} {}", table.title, key.name);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// Run with `HOOKWARD_WRITE_DOCS=1` to bring the page up to date.
#[test]
fn the_page_on_configuration_lists_what_is_declared() {
    const BEGIN: &str = "<!-- The tables from here on are made from src/config. -->\n\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (words, tables) = page.split_once(BEGIN).expect("the mark");
    let made = reference::markdown();
    let made = made.trim_end().to_owned() + "\n";
    if std::env::var_os("HOOKWARD_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{words}{BEGIN}{made}")).expect("written");
    } else {
        assert_eq!(tables, made, "run with HOOKWARD_WRITE_DOCS=1");
    }
}

#[test]
fn the_page_on_configuration_names_every_header_that_is_withheld() {
    let page = include_str!("../../../docs/configuration.md").to_lowercase();
    for name in crate::delivery::headers::withheld() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
