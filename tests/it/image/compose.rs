//! `compose.yaml`: its form, and its network, made of namespaces as docker compose makes it.

use super::Engine;
use super::container::Container;
use super::docker::DockerRun;
use crate::support::netns::NetworkNamespace;
use crate::support::program::run;
use crate::support::repository;
use serde_json::Value;
use std::process::Command;

fn python(arguments: &[&str]) -> String {
    run(Command::new(repository("target/clients/venv/bin/python")).args(arguments).current_dir(repository("")))
}

fn compose() -> Value {
    let program =
        "import json, ruamel.yaml; print(json.dumps(ruamel.yaml.YAML(typ='safe').load(open('compose.yaml'))))";
    serde_json::from_str(&python(&["-c", program])).unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn compose_yaml_fits_the_schema_of_docker_compose() {
    let checked = python(&["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]);
    assert_eq!(checked, "ok -- validation done\n");
}

#[test]
#[ignore = "needs root, buildah, umoci, runc, and the packages that scripts/test installs"]
fn a_client_in_the_network_of_compose_yaml_needs_no_variable() {
    let compose = compose();
    let (service, app) = (&compose["services"]["metadata"], &compose["services"]["app"]);
    let engine = Engine::new();
    engine.write("config.json", &super::config());
    let volumes = strings(&service["volumes"]).into_iter().map(|volume| volume.replace("./", "$PWD/"));
    let sysctls =
        service["sysctls"].as_object().unwrap().iter().map(|(name, value)| format!("--sysctl {name}={value}"));
    let options: Vec<_> = volumes.map(|volume| format!("-v {volume}")).chain(sysctls).collect();
    let line = format!("docker run {} IMAGE {}", options.join(" "), strings(&service["command"]).join(" "));

    // The network: the service and the client, each with a cable to the other.
    let (server_side, client_side) = (NetworkNamespace::new(), NetworkNamespace::new());
    let subnet = compose["networks"]["vm"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
    let (base, length) = subnet.split_once(".0/").unwrap();
    let address = service["networks"]["vm"]["ipv4_address"].as_str().unwrap();
    server_side.connect(&format!("{address}/{length}"), &client_side, &format!("{base}.2/{length}"));

    let container = Container::of(&DockerRun::parse(&engine.in_folder(&line)), &server_side.path());
    let _server = container.serve();
    let health_check = strings(&service["healthcheck"]["test"]);
    assert_eq!(health_check[0], "CMD");
    container.exec(&health_check[1..]);
    assert_eq!(app["depends_on"]["metadata"]["condition"], "service_healthy");

    // The aliases, which docker's name server knows.
    let aliases = strings(&service["networks"]["vm"]["aliases"]).join(" ");
    engine.write("hosts", &format!("{address} {aliases}\n"));
    let client = |program: &str, arguments: &[String]| {
        let mut command = client_side.command("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"", "sh"]);
        command.arg(engine.folder.path().join("hosts")).arg(program).args(arguments);
        run(command.env("HOME", engine.folder.path()))
    };
    // The service `app`, whose image is curl.
    assert_eq!(client("curl", &strings(&app["command"])), "vm-1");
    // A client that reads no variable.
    let gcp_auth = repository("target/clients/rust/debug/no_variable");
    assert_eq!(client(gcp_auth.to_str().unwrap(), &[]), "gcp_auth: ok\n");
    // A client that knows no name either.
    let url = "http://169.254.169.254/computeMetadata/v1/project/project-id".to_owned();
    assert_eq!(client("curl", &["-sS".into(), "-H".into(), "Metadata-Flavor: Google".into(), url]), "sample-project");
}
