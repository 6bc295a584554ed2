//! The dependencies of the embeddable crates, as cargo resolves them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The normal dependencies of each package of the lock file, by id.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let names = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let is_normal = |dependency: &serde_json::Value| {
            list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
        };
        let edges = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let normal = list(&node["deps"]);
                let normal = normal.iter().filter(|dependency| is_normal(dependency));
                (text(&node["id"]), normal.map(|dependency| text(&dependency["pkg"])).collect())
            })
            .collect();
        Self { names, edges }
    }

    /// The names of everything that `package` is built with, itself included.
    fn behind(&self, package: &str) -> BTreeSet<&str> {
        let start = self.names.iter().find(|(_, name)| *name == package).expect("a package").0;
        let mut open = vec![start];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(&self.edges[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn verification_needs_no_runtime_and_no_server() {
    let graph = Graph::read();
    let verify = graph.behind("hookward-verify");
    for foreign in ["tokio", "pingora", "pingora-core", "hyper", "axum", "prometheus", "hookward"] {
        assert!(!verify.contains(foreign), "hookward-verify is built with {foreign}");
    }
    // The walk sees what is there: direct dependencies, and those behind them.
    assert!(verify.contains("hmac") && verify.contains("digest"), "{verify:?}");
    let product = graph.behind("hookward");
    assert!(product.contains("tokio") && product.contains("pingora-core"), "{product:?}");
}

#[test]
fn claims_know_neither_http_nor_signatures() {
    let graph = Graph::read();
    let claims = graph.behind("hookward-claims");
    for foreign in ["pingora", "pingora-core", "http", "hyper", "hookward-verify", "hookward"] {
        assert!(!claims.contains(foreign), "hookward-claims is built with {foreign}");
    }
    assert!(claims.contains("hookward-time"), "{claims:?}");
}

#[test]
fn the_program_that_embeds_sees_the_public_api_alone() {
    let graph = Graph::read();
    let ours: BTreeSet<&str> = graph.edges
        [graph.names.iter().find(|(_, name)| *name == "hookward-embed").expect("a package").0]
        .iter()
        .map(|id| graph.names[id].as_str())
        .collect();
    assert_eq!(ours, BTreeSet::from(["hookward-verify", "http"]));
}
