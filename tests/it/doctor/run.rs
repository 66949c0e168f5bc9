//! `doctor -- COMMAND`: what a command asked.

use serde_json::Value;
use std::process::{Command, Stdio};

/// `doctor` with these options and a shell script as its command, in an environment that has `PATH` only.
fn doctor(options: &[&str], script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.arg("doctor").args(options).args(["--", "sh", "-c", script]);
    command.env_clear().env("PATH", env!("PATH")).stdin(Stdio::null());
    command
}

/// Asks for a key below `instance/` of this host.
fn ask(host: &str, key: &str, options: &str) -> String {
    format!("curl -s -m 10 -o /dev/null {options} http://{host}/computeMetadata/v1/instance/{key};")
}

const FLAVOR: &str = "-H Metadata-Flavor:Google";
const SERVER: &str = "$GCE_METADATA_HOST";

/// The lines on standard output, standard error, and the exit status.
fn diagnosis(mut command: Command) -> (Vec<String>, String, Option<i32>) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout).lines().map(str::to_owned).collect(), text(output.stderr), output.status.code())
}

#[test]
fn a_command_that_gets_its_values_is_ok() {
    let script = format!("{} echo printed; exit 3", ask(SERVER, "id", FLAVOR));
    let (lines, stderr, status) = diagnosis(doctor(&[], &script));
    assert_eq!(lines, ["ok: run: the command sent 1 request and ended with exit status 3"]);
    assert_eq!((&*stderr, status), ("printed\n", Some(0)), "the output of the command is on standard error");
}

#[test]
fn keys_that_the_config_lacks_are_warnings_with_the_nearest_keys() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vm.json");
    std::fs::write(&config, r#"{"instance": {"id": 7, "attributes": {"color": "blue"}}}"#).unwrap();
    let script = [ask(SERVER, "attributes/color", FLAVOR), ask(SERVER, "attributes/colour", FLAVOR)].concat();
    let (lines, _, status) = diagnosis(doctor(&["--config-file", config.to_str().unwrap()], &script));
    assert_eq!(lines[0], "ok: run: the command sent 2 requests and ended with exit status 0");
    let expected = "warning: the config lacks instance/attributes/colour (1 request); remedy: add the key to the config; \
        the nearest keys are instance/attributes/color";
    assert!(lines[1].starts_with(expected), "{lines:?}");
    assert_eq!((lines.len(), status), (2, Some(2)));
}

#[test]
fn requests_without_the_header_are_errors() {
    let script = [ask(SERVER, "id", ""), ask(SERVER, "id", "-H Metadata-Flavor:Google -H X-Forwarded-For:10.0.0.1")];
    let mut command = doctor(&["--format", "json"], &script.concat());
    let output = command.output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let messages: Vec<_> = findings.iter().map(|finding| finding["message"].as_str().unwrap()).collect();
    let id = "GET /computeMetadata/v1/instance/id is refused";
    assert_eq!(messages[1], format!("{id} for lack of the header Metadata-Flavor: Google (1 request)"));
    assert_eq!(messages[2], format!("{id} because of the header X-Forwarded-For (1 request)"));
    assert!(findings.iter().all(|finding| finding["check"] == "run"), "{findings:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_likely_causes_of_a_command_without_requests_are_those_of_its_environment() {
    let mut command = doctor(&["--once"], "exit 4");
    command.env("HTTP_PROXY", "http://proxy.example.com:3128").env("NO_GCE_CHECK", "true");
    let (lines, stderr, status) = diagnosis(command);
    assert_eq!(lines[0], "error: the command sent no request to the server, and ended with exit status 4");
    assert!(lines[1].starts_with("warning: NO_GCE_CHECK is true: "), "{lines:?}");
    assert!(lines[2].starts_with("warning: HTTP_PROXY is set, and NO_PROXY does not name 127.0.0.1: "), "{lines:?}");
    assert_eq!((lines.len(), &*stderr, status), (3, "", Some(1)));
    let mut for_go = doctor(&["--once", "--client", "go"], "exit 4");
    for_go.env("NO_GCE_CHECK", "true");
    assert_eq!(diagnosis(for_go).0.len(), 1, "Go does not read NO_GCE_CHECK");
}

#[test]
fn a_command_that_can_not_start_is_an_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(["doctor", "--", "/no/such/command"]);
    let (lines, stderr, status) = diagnosis(command);
    assert_eq!(lines, ["error: the command ended with exit status 127, without a request"]);
    assert_eq!((&*stderr, status), ("error: doctor: /no/such/command: command not found\n", Some(1)));
}

#[test]
fn without_unshare_the_fixed_address_is_named_as_not_known() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    let folder = tempfile::tempdir().unwrap();
    command.args(["doctor", "--", "/bin/sh", "-c", "exit 0"]).env_clear().env("PATH", folder.path());
    let (lines, _, status) = diagnosis(command);
    assert!(lines[1].starts_with("warning: whether the command asks 169.254.169.254 is not known"), "{lines:?}");
    assert!(lines[1].contains("unshare: No such file or directory"), "{lines:?}");
    assert_eq!((lines.len(), status), (2, Some(1)));
}

#[test]
fn options_of_a_run_need_a_command() {
    for options in [&["doctor", "--once"][..], &["doctor", "--url", "http://127.0.0.1:1", "--", "true"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server")).args(options).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{options:?}");
    }
}

/// Runs a script that reads no variable, and asserts what is found and that the machine stays as it is.
fn asks_fixed_address(command: Command, host: &str) {
    let (lines, stderr, status) = diagnosis(command);
    assert_eq!(lines[0], "error: the command sent no request to the server, and ended with exit status 0", "{stderr}");
    let expected = format!(
        "error: the command asks {host} in spite of the variables: 2 requests, GET /computeMetadata/v1/instance/id; remedy: sudo ip "
    );
    assert!(lines[1].starts_with(&expected), "{lines:?} {stderr}");
    assert_eq!((lines.len(), status), (2, Some(1)));
    assert!(stderr.contains("it runs again, in a network where only 169.254.169.254 answers"), "{stderr}");
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!hosts.contains("metadata.goog\n") && !hosts.starts_with("169.254.169.254"), "{hosts}");
}

fn fixed(host: &str) -> String {
    format!("{}{}true", ask(host, "id", FLAVOR), ask(host, "zone", FLAVOR))
}

#[test]
#[ignore = "needs unshare, ip, and the permission to make network namespaces"]
fn a_command_that_ignores_the_variables_is_shown_in_a_network_namespace() {
    for host in ["169.254.169.254", "metadata.google.internal"] {
        asks_fixed_address(doctor(&[], &fixed(host)), host);
    }
}

#[test]
#[ignore = "needs unshare, ip, and the permission to make network namespaces"]
fn a_command_that_asks_no_metadata_server_is_shown_in_a_network_namespace() {
    let (lines, _, status) = diagnosis(doctor(&[], "true"));
    assert!(
        lines[1].starts_with("warning: the command does not ask 169.254.169.254 or metadata.google.internal either")
    );
    assert_eq!((lines.len(), status), (2, Some(1)));
}

#[test]
#[ignore = "needs root, setpriv, unshare, ip, and the permission to make user namespaces"]
fn a_user_without_privileges_keeps_the_user_id_in_the_namespace() {
    let doctor = doctor(&[], &format!("[ \"$(id -u)\" = 65534 ] && {}", fixed("169.254.169.254")));
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(doctor.get_program())
        .args(doctor.get_args());
    command.env_clear().env("PATH", env!("PATH")).stdin(Stdio::null());
    asks_fixed_address(command, "169.254.169.254");
}
