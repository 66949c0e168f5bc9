//! `deploy/kustomize`: what kustomize renders, and the server as a container of the rendered pods.
//!
//! `tests/kubernetes/` has the rendered manifests, so that a change of a component shows what it changes in a cluster.
//! `UPDATE_DOCS=1` renders them again. `scripts/release/kubernetes` applies them to a real API server.

mod container;

use crate::support::repository;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// The rendered manifests in `tests/kubernetes/`, and the kustomization of each.
const RENDERED: [(&str, &str); 4] = [
    ("base", "base"),
    ("service", "examples/service"),
    ("sidecar", "examples/sidecar"),
    ("sidecar-offline", "examples/sidecar-offline"),
];

/// The objects of a rendered kustomization.
struct Manifests(Vec<Value>);

impl Manifests {
    /// Reads and validates `tests/kubernetes/NAME.yaml`.
    fn read(name: &str) -> Self {
        let file = std::fs::File::open(repository(&format!("tests/kubernetes/{name}.yaml"))).unwrap();
        let output = Command::new(repository("target/clients/venv/bin/python"))
            .arg(repository("tests/clients/python/manifests.py"))
            .stdin(file)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}.yaml is not valid");
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.0.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// The specs of the pods, each with the name of its workload.
    fn pods(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0
            .iter()
            .filter_map(|object| Some((object["metadata"]["name"].as_str()?, object.pointer("/spec/template/spec")?)))
    }

    /// The texts of a ConfigMap.
    fn config_map(&self, name: &str) -> BTreeMap<String, String> {
        serde_json::from_value(self.get("ConfigMap", name)["data"].clone()).unwrap()
    }
}

/// The init containers and the containers of a pod.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten()
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn kustomize_renders_the_committed_manifests() {
    for (name, kustomization) in RENDERED {
        let mut kustomize = Command::new(repository("target/clients/go/kustomize"));
        kustomize.arg("build").arg(repository("deploy/kustomize").join(kustomization));
        let output = kustomize.output().unwrap();
        assert!(output.status.success(), "{kustomization}: {}", String::from_utf8_lossy(&output.stderr));
        let rendered = String::from_utf8(output.stdout).unwrap();
        let path = repository(&format!("tests/kubernetes/{name}.yaml"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, rendered).unwrap();
            continue;
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == rendered,
            "tests/kubernetes/{name}.yaml is not what kustomize renders; UPDATE_DOCS=1 renders it again"
        );
    }
}

/// The API server checks these rules too (`scripts/release/kubernetes`), which takes too long for each change.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn every_container_meets_the_pod_security_standard_restricted() {
    let mut count = 0;
    for (name, _) in RENDERED {
        let manifests = Manifests::read(name);
        for (workload, pod) in manifests.pods() {
            for container in containers(pod) {
                let at = format!("{name}.yaml: {workload}: {}", container["name"]);
                let own = &container["securityContext"];
                let of_both = |key: &str| if own[key].is_null() { &pod["securityContext"][key] } else { &own[key] };
                assert_eq!(own["allowPrivilegeEscalation"], false, "{at}");
                assert_eq!(own["capabilities"], serde_json::json!({"drop": ["ALL"]}), "{at}");
                assert_eq!(of_both("runAsNonRoot"), true, "{at}");
                assert_eq!(of_both("seccompProfile")["type"], "RuntimeDefault", "{at}");
                count += 1;
            }
        }
    }
    assert_eq!(count, 13, "containers");
}

/// A Service `metadata-service` sets `METADATA_SERVICE_SERVICE_HOST`, `METADATA_SERVICE_PORT` and the like in the pods of its namespace.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_service_links_set_no_variable_of_the_server_or_its_clients() {
    let documented = ["docs/clients.md", "docs/reference-cli.md"];
    let documented = documented.map(|page| std::fs::read_to_string(repository(page)).unwrap()).concat();
    let manifests = Manifests::read("base");
    let service = manifests.0.iter().find(|object| object["kind"] == "Service").unwrap();
    let prefix = service["metadata"]["name"].as_str().unwrap().to_uppercase().replace('-', "_");
    for variables in ["_SERVICE_", "_PORT"].map(|suffix| format!("`{prefix}{suffix}")) {
        assert!(!documented.contains(&variables), "{variables}…");
    }
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn check_config_finds_no_mistake_in_the_configs() {
    for (name, config_map) in [("base", "mds-config"), ("service", "mds-config"), ("sidecar", "metadata-sidecar")] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, &Manifests::read(name).config_map(config_map)["config.json"]).unwrap();
        let check =
            Command::new(env!("CARGO_BIN_EXE_gce-metadata-server")).arg("check-config").arg(&file).output().unwrap();
        assert_eq!(String::from_utf8(check.stdout).unwrap(), format!("{}: ok\n", file.display()));
    }
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_clients_get_the_variables_that_env_prints() {
    for (name, config_map) in [("base", "metadata-client"), ("sidecar", "metadata-sidecar-client")] {
        let variables = Manifests::read(name).config_map(config_map);
        let url = format!("http://{}", variables["GCE_METADATA_HOST"]);
        let mut env = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        let folder = tempfile::tempdir().unwrap();
        env.args(["env", "--format", "json", "--url", &url]).env_clear().env("TMPDIR", folder.path());
        let printed: BTreeMap<String, Option<String>> = serde_json::from_slice(&env.output().unwrap().stdout).unwrap();
        // A folder of the machine, and hosts for a proxy, which the pod has none of.
        let elsewhere = ["CLOUDSDK_CONFIG", "NO_PROXY", "no_proxy"];
        let printed = printed.into_iter().filter(|(name, _)| !elsewhere.contains(&name.as_str()));
        let printed: BTreeMap<_, _> = printed.filter_map(|(name, value)| Some((name, value?))).collect();
        assert_eq!(variables, printed, "{config_map}");
    }
}
