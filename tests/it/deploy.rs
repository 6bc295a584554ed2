//! The files for installing Hookward: the unit, the package, the manifests, the manual.

use crate::support::{hookward, printed, stdout};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::Table;

const OVERLAYS: [&str; 3] = ["memory", "redis", "postgres"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

fn toml(path: &str) -> Table {
    text(path).parse().unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// All documents of a file.
fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|fault| panic!("{path}: {fault}"))
}

/// Whether this build has a store of this name; the manifests may be ahead of it.
fn has_store(name: &str) -> bool {
    text("src/config/dedupe.rs").contains(&format!("\"{name}\""))
}

fn overlays() -> impl Iterator<Item = &'static str> {
    OVERLAYS.into_iter().filter(|name| *name != "postgres" || has_store(name))
}

#[test]
fn every_configuration_that_is_deployed_is_one() {
    let overlays =
        overlays().map(|name| format!("config/kubernetes/overlays/{name}/hookward.toml"));
    let others = ["config/systemd/hookward.toml", "config/compose/hookward.toml"];
    for file in overlays.chain(others.map(str::to_owned)) {
        let output = hookward()
            .args(["check", "--json"])
            .arg(root().join(&file))
            .env("SHOP_SECRET", "the-secret-of-the-shop")
            .env("HOOKWARD_ADMIN_TOKEN", "the-token-of-the-admin-listener")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{file}\n{}", printed(&output));
        let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
        for problem in told["problems"].as_array().unwrap() {
            // Secrets are not there on the machine that tests.
            let is_secret = problem["message"].as_str().unwrap().contains("cannot be read");
            assert!(problem["level"] == "note" || is_secret, "{file}: {problem}");
        }
    }
}

/// A duration in whole seconds, which is how the configurations of this repository write them.
fn seconds(value: &str) -> u64 {
    value.strip_suffix('s').and_then(|number| number.parse().ok()).expect("seconds")
}

fn drain(configuration: &Table) -> u64 {
    let of = |key: &str, default: &str| {
        let server = configuration.get("server").and_then(toml::Value::as_table);
        let value = server.and_then(|server| server.get(key)).and_then(toml::Value::as_str);
        seconds(value.unwrap_or(default))
    };
    of("drain_delay", "0s") + of("drain_timeout", "20s")
}

#[test]
fn the_unit_is_hardened_and_waits_for_the_drain() {
    let unit = "config/systemd/hookward.service";
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15", "--no-pager", unit])
        .current_dir(root())
        .output()
        .expect("systemd-analyze, of Debian's package systemd");
    assert!(output.status.success(), "{}", printed(&output));

    let text = text(unit);
    let setting = |key: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    assert_eq!(setting("ExecStart"), Some("/usr/bin/hookward run"));
    assert_eq!(setting("DynamicUser"), Some("yes"));
    assert_eq!(setting("StateDirectory"), Some("hookward"));
    assert_eq!(setting("RestartPreventExitStatus"), Some("2"));
    let patience = seconds(setting("TimeoutStopSec").unwrap());
    assert!(patience > drain(&toml("config/systemd/hookward.toml")), "{patience}");
    assert_eq!(setting("Environment"), Some("HOOKWARD_CONFIG=/etc/hookward/hookward.toml"));
}

#[test]
fn the_files_of_the_package_are_there_and_its_configuration_is_a_conffile() {
    let manifest = toml("Cargo.toml");
    let package = &manifest["package"];
    let deb = &package["metadata"]["deb"];
    let mut targets = BTreeSet::new();
    for asset in deb["assets"].as_array().unwrap() {
        let [source, target] = [0, 1].map(|index| asset[index].as_str().unwrap());
        targets.insert(target.to_owned());
        // Those in `target` are made by scripts/deb.
        assert!(source.starts_with("target/") || root().join(source).is_file(), "{source}");
    }
    let conffiles = deb["conf-files"].as_array().unwrap();
    assert_eq!(conffiles[0].as_str(), Some("/etc/hookward/hookward.toml"));
    for target in ["usr/bin/", "etc/hookward/hookward.toml", "usr/share/man/man1/"] {
        assert!(targets.contains(target), "{target} of {targets:?}");
    }
    let units = deb["systemd-units"]["unit-scripts"].as_str().unwrap();
    assert!(root().join(units).join("hookward.service").is_file());
    let version = manifest["workspace"]["package"]["version"].as_str().unwrap();
    for file in ["config/compose/compose.yaml", "config/kubernetes/base/deployment.yaml"] {
        let text = text(file);
        let images = text.lines().filter_map(|line| line.split_once("image: hookward:"));
        let versions: Vec<&str> = images.map(|(_, version)| version).collect();
        assert!(!versions.is_empty() && versions.iter().all(|v| *v == version), "{file}");
    }
}

#[test]
fn the_manual_has_a_page_for_every_command_and_shells_take_the_completions() {
    let help = stdout(&hookward().arg("--help").output().unwrap());
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    let output = hookward().arg("man").arg("--dir").arg(&pages).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    let page = stdout(&hookward().arg("man").output().unwrap());
    assert_eq!(std::fs::read_to_string(pages.join("hookward.1")).unwrap(), page);
    for section in [".SH \"EXIT STATUS\"", ".SH ENVIRONMENT", ".SH FILES", "HOOKWARD_CONFIG"] {
        assert!(page.contains(section), "{section}");
    }
    for command in &commands {
        let page = pages.join(format!("hookward-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{text}");
    }
    assert!(!pages.join("hookward-help.1").exists());

    let bash = stdout(&hookward().args(["completions", "bash"]).output().unwrap());
    let script = directory.path().join("completions");
    let asked = "\nCOMP_WORDS=(hookward ''); COMP_CWORD=1\n_hookward hookward '' hookward\n\
                 printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    std::fs::write(&script, bash + asked).unwrap();
    let offered = Command::new("bash").arg(&script).output().unwrap();
    let offered = stdout(&offered);
    for command in &commands {
        assert!(offered.lines().any(|line| line == *command), "{command} of {offered}");
    }
    for shell in ["zsh", "fish"] {
        let script = stdout(&hookward().args(["completions", shell]).output().unwrap());
        assert!(script.contains("hookward") && script.contains("dedupe"), "{script}");
    }
}

fn files_of(kustomization: &Value, directory: &Path) -> Vec<PathBuf> {
    let names = |list: &Value| -> Vec<PathBuf> {
        let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(|name| directory.join(name)).collect()
    };
    let mut files = names(&kustomization["resources"]);
    for map in kustomization["configMapGenerator"].as_array().into_iter().flatten() {
        files.extend(names(&map["files"]));
    }
    files
}

#[test]
fn the_manifests_refer_to_files_that_are_there() {
    let base = "config/kubernetes/base";
    let kustomization = &yaml(&format!("{base}/kustomization.yaml"))[0];
    let files = files_of(kustomization, &root().join(base));
    assert_eq!(files.len(), 4, "{files:?}");
    for overlay in OVERLAYS {
        let directory = format!("config/kubernetes/overlays/{overlay}");
        let kustomization = &yaml(&format!("{directory}/kustomization.yaml"))[0];
        let files = files_of(kustomization, &root().join(&directory));
        assert!(files.iter().all(|file| file.exists()), "{files:?}");
        assert!(files.iter().any(|file| file.ends_with("hookward.toml")), "{files:?}");
        // A store that each process has for itself serves one replica.
        let count = kustomization["replicas"][0]["count"].as_u64().unwrap();
        let configuration = toml(&format!("{directory}/hookward.toml"));
        let store = configuration["dedupe"]["store"].as_str().unwrap();
        assert_eq!((store, count > 1), (overlay, store != "memory"), "{overlay}");
    }
}

#[test]
fn a_pod_is_asked_for_its_state_runs_as_nobody_and_drains() {
    let deployment = &yaml("config/kubernetes/base/deployment.yaml")[0];
    let labels = &deployment["spec"]["selector"]["matchLabels"];
    let template = &deployment["spec"]["template"];
    assert_eq!(&template["metadata"]["labels"], labels);
    let pod = &template["spec"];
    let container = &pod["containers"][0];
    let probe = |name: &str| container[name]["httpGet"].clone();
    for (name, path) in
        [("readinessProbe", "/readyz"), ("livenessProbe", "/healthz"), ("startupProbe", "/healthz")]
    {
        assert_eq!(probe(name), serde_json::json!({ "path": path, "port": "admin" }));
    }
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    // The user of the image, who owns its working directory.
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap();
    assert!(text("Dockerfile").contains(&format!("\nUSER {user}\n")));

    // What the endpoints take to hear of it, at least, and then as long as deliveries may take.
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let readiness = &container["readinessProbe"];
    let noticed = readiness["periodSeconds"].as_u64().unwrap()
        * readiness["failureThreshold"].as_u64().unwrap();
    for overlay in OVERLAYS {
        let configuration = toml(&format!("config/kubernetes/overlays/{overlay}/hookward.toml"));
        let delay = seconds(configuration["server"]["drain_delay"].as_str().unwrap());
        assert!(delay > noticed && grace > drain(&configuration), "{overlay}: {delay}, {grace}");
        // What it reads is mounted there, and it listens where it is asked.
        let [admin, http] = ["admin", "http"].map(|name| {
            let ports = container["ports"].as_array().unwrap();
            let port = ports.iter().find(|port| port["name"] == name).unwrap();
            format!("0.0.0.0:{}", port["containerPort"])
        });
        assert_eq!(configuration["admin"]["listen"].as_str(), Some(admin.as_str()));
        assert_eq!(configuration["server"]["listen"][0].as_str(), Some(http.as_str()));
        let secret = configuration["sources"]["shop"]["secrets"][0]["file"].as_str().unwrap();
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mounted = mounts.iter().any(|m| secret.starts_with(m["mountPath"].as_str().unwrap()));
        assert!(mounted, "{secret}");
        let token = configuration["admin"]["token"]["env"].as_str().unwrap();
        assert!(container["env"].as_array().unwrap().iter().any(|env| env["name"] == token));
    }
}

#[test]
fn services_the_budget_and_the_monitor_select_the_pods() {
    let deployment = &yaml("config/kubernetes/base/deployment.yaml")[0];
    let labels = &deployment["spec"]["selector"]["matchLabels"];
    // Without a selector a budget protects no pod.
    let budget = &yaml("config/kubernetes/base/pdb.yaml")[0];
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(budget["apiVersion"], "policy/v1");
    let services = yaml("config/kubernetes/base/service.yaml");
    assert_eq!(services.len(), 2);
    for service in &services {
        assert_eq!(&service["spec"]["selector"], labels);
        let public = service["metadata"]["name"] == "hookward";
        let ports = service["spec"]["ports"].as_array().unwrap();
        assert_eq!(ports.len(), 1, "the admin port is on a service of its own");
        assert_eq!(ports[0]["targetPort"] == "http", public);
    }
    // Kustomize puts the common labels on every object.
    let kustomization = &yaml("config/kubernetes/base/kustomization.yaml")[0];
    let mut of_admin = services[1]["metadata"]["labels"].as_object().unwrap().clone();
    of_admin.extend(kustomization["labels"][0]["pairs"].as_object().unwrap().clone());
    let monitor = &yaml("config/kubernetes/base/servicemonitor.yaml")[0];
    let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(wanted.iter().all(|(key, value)| of_admin.get(key) == Some(value)), "{wanted:?}");
    assert!(of_admin.contains_key(monitor["spec"]["jobLabel"].as_str().unwrap()));
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], services[1]["spec"]["ports"][0]["name"]);
}

/// Where a `kubectl` with a kustomize of today is installed.
#[test]
fn kustomize_makes_every_overlay() {
    let version = Command::new("kubectl").args(["version", "--client", "-o", "json"]).output();
    let version = version.map(|output| stdout(&output)).unwrap_or_default();
    if !version.contains("\"kustomizeVersion\": \"v5") {
        return; // Debian has none that knows `labels`
    }
    for overlay in OVERLAYS {
        let directory = root().join("config/kubernetes/overlays").join(overlay);
        let output = Command::new("kubectl").arg("kustomize").arg(directory).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        let objects: Vec<Value> = serde_saphyr::from_multiple(&stdout(&output)).unwrap();
        let kinds: BTreeSet<&str> = objects.iter().filter_map(|o| o["kind"].as_str()).collect();
        let wanted =
            ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service", "ServiceMonitor"];
        assert_eq!(kinds, BTreeSet::from(wanted));
        for object in &objects {
            assert_eq!(object["metadata"]["namespace"], "hookward", "{object}");
        }
    }
}

#[test]
fn the_composition_mounts_files_that_are_there_and_names_its_services() {
    let compose = &yaml("config/compose/compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let host = volume.as_str().unwrap().split(':').next().unwrap_or_default();
            let is_there =
                host.starts_with('.') && root().join("config/compose").join(host).exists();
            assert!(is_there || compose["volumes"].get(host).is_some(), "{name}: {host}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} is open to all");
        }
    }
    let configuration = toml("config/compose/hookward.toml");
    let url = configuration["upstreams"]["erp"]["url"].as_str().unwrap();
    let host = url.trim_start_matches("http://").split(':').next().unwrap_or_default();
    assert!(services.contains_key(host), "{url}");
    let scraped = &yaml("config/compose/prometheus.yml")[0];
    assert_eq!(scraped["scrape_configs"][0]["static_configs"][0]["targets"][0], "hookward:9090");
    let patience = services["hookward"]["stop_grace_period"].as_str().unwrap();
    assert!(seconds(patience) > drain(&configuration));
    let datasource = &yaml("config/grafana/provisioning/datasources/prometheus.yml")[0];
    assert_eq!(datasource["datasources"][0]["url"], "http://prometheus:9090");
}
