//! `config/hookward.schema.json`, with which editors complete and check a configuration. It is
//! generated from the declared keys; the reader supplies the words that a key takes.

use super::reference::with;
use super::{TestSecrets, all, load_with};
use crate::config::{KeyDefault, TableKeys, reference};
use hookward_verify::presets;
use serde_json::{Map, Value, json};
use std::path::Path;

const TITLE: &str = "Configuration of Hookward";
/// Keys that a preset may supply are not required in the file.
const OF_PRESETS: [&str; 4] = ["signature", "timestamp", "event", "handshake"];
/// A name of a source or an upstream.
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        "type": "object",
        "additionalProperties": false,
        "properties": {},
        "$defs": {},
    });
    for table in reference::tables() {
        match table.title {
            "secret" => {
                root["$defs"]["secret"] = one_of(table, &["env", "file", "value"]);
                continue;
            }
            "published keys" => {
                root["$defs"]["published"] = one_of(table, &["jwks", "jwk_by_id"]);
                continue;
            }
            _ => {}
        }
        let path = table.title.trim_matches(['[', ']']);
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        match rest {
            "" => root["properties"][first] = object(table),
            "NAME" => {
                let of_names = json!({
                    "type": "object",
                    "additionalProperties": false,
                    "patternProperties": { NAME: object(table) },
                });
                root["properties"][first] = of_names;
            }
            // A table within a table; `object` has put it there.
            _ => {}
        }
    }
    root
}

fn object(table: &'static TableKeys) -> Value {
    let path = table.title.trim_matches(['[', ']']);
    let own = path.rsplit('.').next().unwrap_or_default();
    let mut properties = Map::new();
    for key in table.keys {
        let nested = format!("{path}.{}", key.name);
        let nested =
            reference::tables().into_iter().find(|t| t.title.trim_matches(['[', ']']) == nested);
        let mut value = match nested {
            Some(inner) if inner.title.starts_with("[[") => {
                json!({ "type": "array", "items": object(inner) })
            }
            Some(inner) => object(inner),
            None if key.takes == "word" => json!({ "enum": words(table, key.name) }),
            None if key.name == "preset" => {
                json!({ "enum": presets::all().map(|preset| preset.name).collect::<Vec<_>>() })
            }
            None if key.name == "secrets" => {
                let one =
                    ["secret", "published"].map(|of| json!({ "$ref": format!("#/$defs/{of}") }));
                json!({ "type": "array", "items": { "anyOf": one } })
            }
            None if key.name == "claims" => {
                json!({ "type": "object", "additionalProperties": kind("text or list of texts") })
            }
            None => kind(key.takes),
        };
        let default = match key.default {
            KeyDefault::Required => None,
            KeyDefault::Is(default) => Some(format!("Default: {default}.")),
            KeyDefault::Means(words) => Some(format!("Left out: {words}.")),
        };
        let about = [Some(key.about.to_owned()), default];
        value["description"] = about.into_iter().flatten().collect::<Vec<_>>().join(" ").into();
        properties.insert(key.name.to_owned(), value);
    }
    let mut schema = json!({
        "type": "object",
        "description": table.about,
        "additionalProperties": false,
        "properties": properties,
    });
    let is_required = |key: &&crate::config::KeyDeclaration| key.default == KeyDefault::Required;
    let required: Vec<_> = table.keys.iter().filter(is_required).map(|key| key.name).collect();
    if !required.is_empty() && !OF_PRESETS.contains(&own) {
        schema["required"] = json!(required);
    }
    schema
}

/// A table that has exactly one of these keys.
fn one_of(table: &'static TableKeys, holders: &[&str]) -> Value {
    let mut schema = object(table);
    schema["oneOf"] = holders.iter().map(|holder| json!({ "required": [holder] })).collect();
    schema
}

/// The words that the reader lists when it gets an unknown one.
fn words(table: &'static TableKeys, key: &str) -> Vec<String> {
    let problems = all(load_with(&with(table, key, "\"none-of-them\""), &TestSecrets::usual()));
    let told = problems
        .iter()
        .find(|problem| problem.key.ends_with(key) && problem.allowed.is_some())
        .unwrap_or_else(|| panic!("{} {key} takes any word", table.title));
    let allowed = told.allowed.as_deref().unwrap_or_default();
    allowed.split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
}

/// The meaning of the reference's column "takes".
fn kind(takes: &str) -> Value {
    if let Some((one, list)) = takes.split_once(" or ") {
        let other =
            if list == "list of them" { format!("list of {one}s") } else { list.to_owned() };
        return json!({ "anyOf": [kind(one), kind(&other)] });
    }
    let singular = |plural: &str| match plural {
        "addresses" => "address".to_owned(),
        plural => plural.trim_end_matches('s').to_owned(),
    };
    if let Some(of) = takes.strip_prefix("list of ") {
        return json!({ "type": "array", "items": kind(&singular(of)) });
    }
    if let Some(of) = takes.strip_prefix("table of ") {
        return json!({ "type": "object", "additionalProperties": kind(&singular(of)) });
    }
    match takes {
        "integer" => json!({ "type": "integer", "minimum": 0 }),
        "boolean" => json!({ "type": "boolean" }),
        "duration" => json!({ "type": "string", "pattern": "^(off|[0-9][0-9A-Za-z ]*[A-Za-z])$" }),
        "size" => json!({ "type": "string", "pattern": "^[0-9][0-9.]* *[A-Za-z]*$" }),
        "size per second" => json!({ "type": "string", "pattern": "^[0-9][0-9.]* *[A-Za-z]*/s$" }),
        "rate" => json!({ "type": "string", "pattern": "^[0-9]+ */ *[sm]$" }),
        "URL" => json!({ "type": "string", "pattern": "^[a-z]+://" }),
        "secret" => json!({ "$ref": "#/$defs/secret" }),
        "header value" => {
            let holders = ["env", "file", "value"].map(|holder| json!({ "required": [holder] }));
            let text = json!({ "type": "string" });
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": { "env": text, "file": text, "value": text, "prefix": text },
                "oneOf": holders,
            })
        }
        "file" => json!({
            "type": "object",
            "additionalProperties": false,
            "properties": { "file": { "type": "string" } },
            "required": ["file"],
        }),
        "address"
        | "CIDR"
        | "filter"
        | "header name"
        | "host"
        | "level"
        | "name"
        | "path"
        | "pattern"
        | "place"
        | "text"
        | "text with placeholders"
        | "upstream"
        | "word" => json!({ "type": "string" }),
        _ => panic!("say in this function what `{takes}` looks like"),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Run with `HOOKWARD_WRITE_DOCS=1` to bring it up to date.
#[test]
fn the_schema_for_editors_is_made_from_the_declared_keys() {
    let path = root().join("config/hookward.schema.json");
    let made = format!("{:#}\n", schema());
    if std::env::var_os("HOOKWARD_WRITE_DOCS").is_some() {
        std::fs::write(path, made).expect("written");
    } else {
        let found = std::fs::read_to_string(path).expect("the schema");
        assert!(found == made, "run with HOOKWARD_WRITE_DOCS=1");
    }
}

fn judge(text: &str) -> Vec<String> {
    let configuration: toml::Table = text.parse().expect("TOML");
    let configuration = serde_json::to_value(configuration).expect("JSON");
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let fault =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(&configuration).map(fault).collect()
}

#[test]
fn the_schema_takes_every_configuration_that_is_shipped() {
    let mut directories = vec![root().join("config")];
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                if path.components().any(|part| part.as_os_str() == "postgres")
                    && !words_of_store().contains(&"postgres".to_owned())
                {
                    continue; // comes with the store
                }
                let text = std::fs::read_to_string(&path).expect("text");
                assert_eq!(judge(&text), Vec::<String>::new(), "{}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 9, "{count}");
}

fn words_of_store() -> Vec<String> {
    let tables = reference::tables();
    let dedupe = tables.into_iter().find(|table| table.title == "[dedupe]").expect("[dedupe]");
    words(dedupe, "store")
}

/// The schema accepts everything that the reader accepts for keys with a default.
#[test]
fn the_schema_takes_every_default() {
    let mut count = 0;
    for table in reference::tables() {
        for key in table.keys {
            let KeyDefault::Is(value) = key.default else { continue };
            let text = with(table, key.name, value);
            assert_eq!(judge(&text), Vec::<String>::new(), "{text}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let good = "[upstreams.erp]\nurl = \"http://127.0.0.1:9001\"\n[sources.shop]\npath = \"/shop\"\n\
                preset = \"opentiendas\"\nsecrets = [{ env = \"SECRET\" }]\n\
                [[sources.shop.routes]]\nevents = [\"*\"]\nto = [\"erp\"]\n";
    assert_eq!(judge(good), Vec::<String>::new());
    assert!(load_with(good, &TestSecrets::usual()).is_ok());
    for (from, to) in [
        ("url =", "ur1 ="),
        ("[upstreams.erp]", "[server]\nmax_body = 1048576\n[upstreams.erp]"),
        ("[upstreams.erp]", "[server]\nthreads = \"4\"\n[upstreams.erp]"),
        ("[upstreams.erp]", "[dedupe]\nstore = \"reddis\"\n[upstreams.erp]"),
        ("[upstreams.erp]", "[dedupe]\nttl = \"soon\"\n[upstreams.erp]"),
        ("[upstreams.erp]", "[servers]\n[upstreams.erp]"),
        ("path = \"/shop\"\n", ""),
        ("[{ env = \"SECRET\" }]", "[\"SECRET\"]"),
        ("[{ env = \"SECRET\" }]", "[{ env = \"SECRET\", file = \"secret\" }]"),
        ("to = [\"erp\"]", "to = \"erp\""),
        ("\"opentiendas\"", "\"opentienda\""),
        ("sources.shop", "sources.\"my shop\""),
        ("[[sources.shop.routes]]", "[sources.shop.routes]"),
    ] {
        let wrong = good.replace(from, to);
        assert_ne!(wrong, good);
        assert_ne!(judge(&wrong), Vec::<String>::new(), "{wrong}");
        assert!(load_with(&wrong, &TestSecrets::usual()).is_err(), "{wrong}");
    }
}

#[test]
fn the_configurations_to_start_from_name_the_schema() {
    for file in
        ["config/hookward.toml", "config/systemd/hookward.toml", "config/compose/hookward.toml"]
    {
        let text = std::fs::read_to_string(root().join(file)).expect("text");
        let named = text.lines().find_map(|line| line.strip_prefix("#:schema ")).expect("a schema");
        if !named.starts_with('/') {
            let directory = root().join(file);
            let directory = directory.parent().expect("a directory");
            assert!(directory.join(named).is_file(), "{file} names {named}");
        }
    }
}
