//! Traps in the environment and in files: `doctor` reports each of them, and its remedy works.

use super::{ADDRESSES, Machine, diagnosis, remedied, set};
use std::process::Command;

#[test]
fn an_environment_without_traps_has_no_findings() {
    let machine = Machine::start();
    let output = machine.shell("gce-metadata-server doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok: ")), "{text}");
    let answers = format!("ok: server: http://{} answers as a metadata server, within ", machine.host);
    assert!(text.starts_with(&answers), "{text}");
}

#[test]
fn exec_removes_the_traps_of_libraries() {
    let machine = Machine::start();
    let mut command = machine.shell("gce-metadata-server exec -- gce-metadata-server doctor --format json");
    for (name, value) in VARIABLES.iter().filter(|(name, ..)| !name.starts_with("CLOUDSDK_")).map(|it| (it.0, it.1)) {
        command.env(name, value);
    }
    assert_eq!(diagnosis(&mut command), (Vec::new(), Some(0)));
}

/// A variable, the value that is a trap, the check that reports it, and the beginning of the message.
const VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("METADATA_SERVER_DETECTION", "none", "detection", "METADATA_SERVER_DETECTION is none: Node never asks the server"),
    (
        "METADATA_SERVER_DETECTION",
        "bios-only",
        "detection",
        "METADATA_SERVER_DETECTION is bios-only: Node reads the BIOS",
    ),
    ("METADATA_SERVER_DETECTION", "no", "detection", "METADATA_SERVER_DETECTION has an unknown value: Node throws"),
    ("NO_GCE_CHECK", "true", "detection", "NO_GCE_CHECK is true: Python and Java never ask the server"),
    ("K_SERVICE", "service", "detection", "K_SERVICE is set: Node and Ruby take this machine for Cloud Run"),
    ("GAE_ENV", "", "detection", "GAE_ENV is set: Node, PHP and Ruby take this machine for Cloud Run"),
    (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "/dev/null",
        "credentials",
        "GOOGLE_APPLICATION_CREDENTIALS is set: Python, Node, Go, Java, .NET, PHP, Ruby, C++, Rust and Terraform use that \
         file and never ask the server",
    ),
    (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "/no/such/file",
        "credentials",
        "GOOGLE_APPLICATION_CREDENTIALS names a file that does not exist: Python, ",
    ),
    ("google_application_credentials", "/dev/null", "credentials", "google_application_credentials is set: Node uses "),
    ("GOOGLE_CREDENTIALS", "{}", "credentials", "GOOGLE_CREDENTIALS is set: Terraform uses its credentials"),
    ("GOOGLE_OAUTH_ACCESS_TOKEN", "a", "credentials", "GOOGLE_OAUTH_ACCESS_TOKEN is set: Terraform uses its token"),
    ("HTTP_PROXY", "http://127.0.0.1:1", "proxy", "HTTP_PROXY is set, and NO_PROXY does not name 127.0.0.1: Python, "),
    ("http_proxy", "http://127.0.0.1:1", "proxy", "http_proxy is set, and NO_PROXY does not name 127.0.0.1: Python, "),
    ("all_proxy", "socks5://127.0.0.1:1", "proxy", "all_proxy is set, and NO_PROXY does not name 127.0.0.1: Python, "),
    ("HTTPS_PROXY", "http://127.0.0.1:1", "proxy", "HTTPS_PROXY is set, and NO_PROXY does not name 127.0.0.1: Node "),
    ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false", "gcloud", "CLOUDSDK_CORE_CHECK_GCE_METADATA is false: gcloud never "),
    ("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "a", "gcloud", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE is set: gcloud "),
    (
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
        "a",
        "gcloud",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE is set: gcloud uses that token",
    ),
    (
        "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
        "a@example.com",
        "gcloud",
        "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT ",
    ),
    ("CLOUDSDK_CORE_ACCOUNT", "a@example.com", "gcloud", "CLOUDSDK_CORE_ACCOUNT is set: gcloud uses an account that "),
    (
        "GCE_METADATA_MTLS_MODE",
        "strict",
        "https",
        "GCE_METADATA_MTLS_MODE is strict, and GCE_METADATA_HOST names another ",
    ),
    ("GCE_METADATA_MTLS_MODE", "on", "https", "GCE_METADATA_MTLS_MODE is not strict, none or default: Python fails"),
];

#[test]
fn variables_that_keep_clients_from_the_server_are_reported_with_a_remedy() {
    let machine = Machine::start();
    for (name, value, check, message) in VARIABLES {
        remedied(&machine, set(name, value), &[(check, message)]);
    }
}

#[test]
fn missing_addresses_are_reported_with_a_remedy() {
    let machine = Machine::start();
    for (name, message) in [
        ("GCE_METADATA_HOST", "GCE_METADATA_HOST is not set: most clients ask metadata.google.internal"),
        ("GCE_METADATA_IP", "GCE_METADATA_IP is not set: Python pings 169.254.169.254"),
        ("GCE_METADATA_ROOT", "GCE_METADATA_ROOT is not set: gcloud, gsutil and bq ask metadata.google.internal"),
    ] {
        remedied(&machine, |command| _ = command.env_remove(name), &[("address", message)]);
        remedied(&machine, set(name, ""), &[("address", message)]);
    }
}

#[test]
fn addresses_with_wrong_syntax_are_reported_with_a_remedy() {
    let machine = Machine::start();
    let host = &machine.host;
    for (value, message) in [
        (format!("http://{host}"), "has a scheme: Python, Go, Java, .NET, C++, Rust and Terraform put another http://"),
        (format!("{host}/"), "ends with a slash: the paths of requests begin with two"),
        (format!("{host}/computeMetadata/v1"), "has a path: Python, "),
        (host.replace(':', ".:"), "ends with a dot: an IP address can't"),
        ("two words".to_owned(), "is not HOST or HOST:PORT: no client can use it"),
    ] {
        let message = format!("GCE_METADATA_HOST {message}");
        let remedy = remedied(&machine, set("GCE_METADATA_HOST", &value), &[("address", &message)]);
        assert_eq!(remedy, format!("export GCE_METADATA_HOST={host}"));
    }
}

#[test]
fn an_address_of_another_server_is_reported_with_a_remedy() {
    let machine = Machine::start();
    let message =
        format!("GCE_METADATA_IP names another server than {}: Python and Node ask 127.0.0.1:1", machine.host);
    remedied(&machine, set("GCE_METADATA_IP", "127.0.0.1:1"), &[("address", &message)]);
}

/// The server at 169.254.169.254 counts too: this test would fail on a VM of GCE.
#[test]
fn without_an_address_the_remedy_is_the_output_of_env() {
    let machine = Machine::start();
    let without_addresses = |command: &mut Command| {
        ADDRESSES.iter().for_each(|name| _ = command.env_remove(name));
    };
    let script = format!("gce-metadata-server doctor --format json --url http://{}", machine.host);
    let mut command = machine.shell(&script);
    without_addresses(&mut command);
    let (findings, status) = diagnosis(&mut command);
    assert_eq!(status, Some(1));
    assert_eq!(findings[0]["remedy"], format!("eval \"$(gce-metadata-server env --url http://{})\"", machine.host));
    let remedy = findings[0]["remedy"].as_str().unwrap();
    let mut command = machine.shell(&format!("{remedy}\n{script}"));
    without_addresses(&mut command);
    assert_eq!(diagnosis(&mut command), (Vec::new(), Some(0)));
}

#[test]
fn a_login_of_gcloud_is_reported_with_a_remedy_for_each_way_to_find_it() {
    let machine = Machine::start();
    let file = ".config/gcloud/application_default_credentials.json";
    machine.write(file, "{}");
    let path = machine.home.path().join(file);
    let message = |clients: &str| format!("{} exists: {clients} use this login", path.display());
    let (first, second) = (message("Python, Node and Java"), message("Go, .NET, PHP, Ruby, C++, Rust and Terraform"));
    remedied(&machine, |_| {}, &[("credentials", &first), ("credentials", &second)]);
}

#[test]
fn files_of_gcloud_are_reported_with_a_remedy() {
    let machine = Machine::start();
    machine.write("gcloud/configurations/config_default", "[core]\naccount = user@example.com\n");
    let folder = machine.home.path().join("gcloud");
    let message = format!("{}/configurations/config_default sets an account: gcloud uses", folder.display());
    let trap = |command: &mut Command| _ = command.env("CLOUDSDK_CONFIG", &folder);
    remedied(&machine, trap, &[("gcloud", &message)]);

    machine.write("gcloud/configurations/config_default", "");
    machine.write("gcloud/gce", "False");
    let message = format!("{}/gce says False and is ", folder.display());
    remedied(&machine, trap, &[("gcloud", &message)]);
    assert!(!folder.join("gce").exists());
}

#[test]
fn only_findings_that_concern_the_client_are_printed() {
    let machine = Machine::start();
    for (client, status) in [("java", 2), ("node", 0), ("go", 0)] {
        let mut command = machine.shell(&format!("gce-metadata-server doctor --format json --client {client}"));
        assert_eq!(diagnosis(command.env("NO_GCE_CHECK", "true")).1, Some(status), "{client}");
    }
}

#[test]
fn curl_reaches_the_server_after_the_remedy_for_a_proxy() {
    let machine = Machine::start();
    let trap = set("http_proxy", "http://127.0.0.1:1");
    let curl = "curl -sf -o /dev/null http://$GCE_METADATA_HOST/";
    let works = |script: &str| {
        let mut command = machine.shell(script);
        trap(&mut command);
        command.status().unwrap().success()
    };
    assert!(!works(curl));
    let remedy = remedied(&machine, &trap, &[("proxy", "http_proxy is set")]);
    assert!(works(&format!("{remedy}\n{curl}")));
}
