//! The files for Prometheus and Grafana: rules, scenarios for them, a dashboard. `promtool` checks
//! them, and every name in them exists in the program.

use crate::support::{Delivery, Event, Prometheus, Sender, Setup, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// Where metrics are declared.
fn declarations() -> String {
    let mut texts = text("src/telemetry/metrics.rs");
    for entry in std::fs::read_dir(root().join("src/telemetry/metrics")).unwrap() {
        let path = entry.unwrap().path();
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        if is_code && !path.ends_with("tests.rs") {
            texts += &std::fs::read_to_string(path).unwrap();
        }
    }
    texts
}

/// The undeclared metrics that a text names, and how many metrics it names.
pub fn unknown_metrics(text: &str) -> (Vec<String>, usize) {
    let declared = declarations();
    let (mut unknown, mut found) = (Vec::new(), 0);
    for (at, _) in text.match_indices("hookward_") {
        let word = |c: char| c.is_ascii_lowercase() || c == '_';
        let name = text[at..].split(|c| !word(c)).next().unwrap_or_default();
        let name = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
        if name == "hookward_" {
            continue; // `hookward_*`
        }
        found += 1;
        if !declared.contains(&format!("\"{name}\"")) {
            unknown.push(name.to_owned());
        }
    }
    (unknown, found)
}

#[track_caller]
fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool").args(arguments).current_dir(root()).output();
    let output = output.expect("promtool, of Debian's package prometheus");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}\n{stdout}{stderr}");
    stdout
}

/// The expressions of all alerts, by name.
fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&text("config/alerts.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let both = |rule: &Value| {
        let of = |key: &str| rule[key].as_str().unwrap().to_owned();
        (of("alert"), of("expr"))
    };
    rules.map(both).collect()
}

#[test]
fn the_rules_and_both_configurations_of_prometheus_are_good() {
    promtool(&["check", "rules", "config/alerts.yml"]);
    promtool(&["check", "config", "config/prometheus.yml"]);
    // In its container the rules lie beside the configuration.
    let directory = tempfile::tempdir().unwrap();
    let compose = directory.path().join("prometheus.yml");
    std::fs::write(&compose, text("config/compose/prometheus.yml")).unwrap();
    std::fs::write(directory.path().join("alerts.yml"), text("config/alerts.yml")).unwrap();
    let told = promtool(&["check", "config", compose.to_str().unwrap()]);
    assert!(told.contains("1 rule files found"), "{told}");
}

#[test]
fn the_alerts_fire_in_disasters_and_not_for_forgeries() {
    promtool(&["test", "rules", "tests/alerts/rules.test.yml"]);
    let scenarios = text("tests/alerts/rules.test.yml");
    for (alert, _) in alerts() {
        assert!(scenarios.contains(&format!("alertname: {alert}")), "{alert} is never tried");
    }
}

/// The scenarios above make their series up; here they are those of the program.
#[test]
fn a_prometheus_raises_the_alerts_by_what_the_program_counts() {
    let source = |name: &str| {
        let secret = name.to_uppercase();
        format!(
            "[sources.{name}]\npath = \"/webhooks/{name}\"\npreset = \"opentiendas\"\n\
             secrets = [{{ env = \"{secret}_SECRET\" }}]\n\
             routes = [{{ events = [\"*\"], to = [\"erp\"] }}]"
        )
    };
    // Nobody listens at the ERP; `rotated` has another secret than its sender, and `dark` has none.
    let proxy = Setup::new()
        .table("[upstreams.erp]\nurl = \"http://127.0.0.1:1\"")
        .shop_to(&["erp"], "")
        .table(&source("rotated"))
        .environment("ROTATED_SECRET", "not-the-secret-of-the-sender")
        .table(&source("dark"))
        .start();
    let prometheus = Prometheus::watching(proxy.admin);
    // What grows before it was seen once has not grown.
    let seen = "hookward_deliveries_total{outcome=\"failed\",source=\"shop\"}";
    let query = seen.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    eventually("a first look", || prometheus.count(&query) > 0);
    let sender = Sender::to(&proxy);
    for number in 0..8 {
        let genuine = Event::order(&number.to_string()).signed();
        assert_eq!(sender.deliver(&genuine).reason(), "upstream_unreachable");
        let refused = Delivery { target: "/webhooks/rotated".to_owned(), ..genuine };
        assert_eq!(sender.deliver(&refused).reason(), "signature_mismatch");
    }
    let wanted = [
        ("HookwardReceiverFails", "shop"),
        ("HookwardAllRefused", "rotated"),
        ("HookwardSourceNotReady", "dark"),
    ]
    .map(|(alert, source)| (alert.to_owned(), source.to_owned()));
    eventually("the alerts", || {
        let raised = prometheus.alerts();
        wanted.iter().all(|alert| raised.contains(alert))
    });
    let raised = prometheus.alerts();
    for (alert, source) in &raised {
        let is_wanted = wanted.contains(&(alert.clone(), source.clone()));
        let is_of_the_erp =
            ["HookwardUpstreamUnhealthy", "HookwardAddressOut"].contains(&alert.as_str());
        assert!(is_wanted || is_of_the_erp, "{alert} {source}");
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_the_runbook_knows_it() {
    let rules: Value = serde_saphyr::from_str(&text("config/alerts.yml")).unwrap();
    for rule in
        rules["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap())
    {
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["page", "ticket"].contains(&severity), "{rule}");
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
    }
    let names: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let runbook = text("docs/operations.md");
    let in_runbook: BTreeSet<String> = runbook
        .match_indices("`Hookward")
        .filter_map(|(at, _)| runbook[at + 1..].split('`').next())
        .filter(|name| name.chars().all(char::is_alphanumeric))
        .map(str::to_owned)
        .collect();
    assert_eq!(names, in_runbook);
}

#[test]
fn every_metric_outcome_and_reason_of_a_rule_or_a_panel_exists() {
    let outcomes = text("src/outcome.rs");
    let panels: Vec<String> = expressions().into_iter().map(|(_, expression)| expression).collect();
    let rules = alerts().into_iter().map(|(_, expression)| expression);
    let mut words = 0;
    for expression in rules.chain(panels) {
        let (unknown, found) = unknown_metrics(&expression);
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
        let of_others = ["up{", "process_resident_memory_bytes"];
        assert!(
            found > 0 || of_others.iter().any(|name| expression.contains(name)),
            "{expression}"
        );
        for label in ["outcome", "reason"] {
            for operator in ["=\"", "=~\"", "!~\"", "!=\""] {
                for rest in expression.split(&format!("{label}{operator}")).skip(1) {
                    let values = rest.split('"').next().unwrap_or_default();
                    for value in values.split('|').filter(|value| !value.is_empty()) {
                        let known = outcomes.contains(&format!("\"{value}\""));
                        assert!(known, "{value} in {expression}");
                        words += 1;
                    }
                }
            }
        }
    }
    assert!(words > 40, "{words}");
}

fn dashboard() -> Value {
    serde_json::from_str(&text("config/grafana/dashboards/hookward.json")).unwrap()
}

/// The expression of every panel, as Grafana would send it.
fn expressions() -> Vec<(u64, String)> {
    let dashboard = dashboard();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$__rate_interval", "5m")
                .replace("$source", ".*")
                .replace("$upstream", ".*");
            assert!(!expression.contains('$'), "a variable that is unknown: {expression}");
            found.push((panel["id"].as_u64().unwrap(), expression));
        }
    }
    found
}

#[test]
fn every_expression_of_the_dashboard_parses() {
    let record = |(index, (panel, expression)): (usize, &(u64, String))| json!({ "record": format!("panel:{panel}:{index}"), "expr": expression });
    let expressions = expressions();
    let rules: Vec<Value> = expressions.iter().enumerate().map(record).collect();
    let file = json!({ "groups": [{ "name": "panels", "rules": rules }] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("panels.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    let told = promtool(&["check", "rules", path.to_str().unwrap()]);
    assert!(told.contains(&format!("SUCCESS: {} rules found", expressions.len())), "{told}");
    assert!(expressions.len() > 30, "{}", expressions.len());
}

#[test]
fn the_dashboard_shows_every_metric_and_no_two_panels_in_one_place() {
    let shown: String =
        expressions().into_iter().map(|(_, expression)| expression + "\n").collect();
    for name in declarations().split("\"hookward_").skip(1) {
        let name = format!("hookward_{}", name.split('"').next().unwrap_or_default());
        let seen = shown.contains(&name)
            // A count of matches; its last match is what a person asks for.
            || name == "hookward_secret_matches_total"
            // Has an alert; a panel of it would show a line at zero.
            || name == "hookward_clock_jumps_total";
        assert!(seen, "no panel shows {name}");
    }
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
        let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(of("x") + of("w") <= 24, "{panel}");
        for x in of("x")..of("x") + of("w") {
            for y in of("y")..of("y") + of("h") {
                assert!(cells.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
    }
}
