//! The environment of the command, and `env`, which prints the same for a running server.

use super::{output, shell};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that keep a client from the server.
const TRAPS: [(&str, &str); 7] = [
    ("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file"),
    ("METADATA_SERVER_DETECTION", "none"),
    ("NO_GCE_CHECK", "true"),
    ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"),
    ("CLOUDSDK_CONFIG", "/home/user/.config/gcloud"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("NO_PROXY", "internal.example.com"),
];

/// The variables that these commands have, by name.
fn value<'a>(environment: &'a str, name: &str) -> Option<&'a str> {
    environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn variables_that_keep_clients_from_the_server_are_changed() {
    let mut command = shell(&[], "env; ls -A $CLOUDSDK_CONFIG");
    command
        .envs(TRAPS)
        .env("GOOGLE_ACCESS_TOKEN", "ya29.made-up")
        .env("GOOGLE_ID_TOKEN", "e30.e30.")
        .env("UNRELATED", "kept");
    let (environment, _) = output(command);
    for name in
        ["GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK", "CLOUDSDK_CORE_CHECK_GCE_METADATA", "GOOGLE_ACCESS_TOKEN"]
    {
        assert_eq!(value(&environment, name), None);
    }
    assert_eq!(value(&environment, "METADATA_SERVER_DETECTION"), Some("assume-present"));
    assert_eq!(value(&environment, "GCE_METADATA_MTLS_MODE"), Some("none"));
    assert!(value(&environment, "NO_PROXY").unwrap().starts_with("internal.example.com,127.0.0.1,localhost,"));
    assert_eq!(value(&environment, "HTTP_PROXY"), Some("http://127.0.0.1:1"), "other hosts need the proxy");
    assert_eq!(value(&environment, "UNRELATED"), Some("kept"));
    let host = value(&environment, "GCE_METADATA_HOST").unwrap();
    for name in ["GCE_METADATA_IP", "GCE_METADATA_ROOT"] {
        assert_eq!(value(&environment, name), Some(host));
    }
    let gcloud = value(&environment, "CLOUDSDK_CONFIG").unwrap();
    assert!(!Path::new(gcloud).exists(), "the folder is removed at the end");
    assert!(environment.lines().last().unwrap().contains('='), "ls prints nothing, since the folder is empty");
}

/// The file of this exec's temporary folder, and how the command ended.
#[test]
fn the_temporary_folder_is_removed_however_the_command_ends() {
    let tmp = tempfile::tempdir().unwrap();
    for script in ["touch $CLOUDSDK_CONFIG/gce", "exit 1", "kill -KILL $$"] {
        let mut command = shell(&["--fresh-home"], script);
        command.env("TMPDIR", tmp.path());
        output(command);
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0, "{script}");
    }
    let mut failed = shell(&["--config-file", "/no/such/file"], "true");
    assert!(!failed.env("TMPDIR", tmp.path()).output().unwrap().status.success());
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}

#[test]
fn a_fresh_home_is_an_empty_folder() {
    let (home, _) = output(shell(&["--fresh-home"], "echo $HOME; ls -A $HOME"));
    let path = home.strip_suffix('\n').unwrap();
    assert!(path.ends_with("/home") && !Path::new(path).exists(), "{home}");
}

fn env(options: &[&str], change: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.arg("env").args(options).env_clear();
    change(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a POSIX shell script in this environment; returns its output.
fn evaluated(script: &str, variables: &[(&str, &str)]) -> String {
    let variables = variables.iter().copied();
    let output = Command::new("sh").args(["-c", script]).env_clear().env("PATH", env!("PATH")).envs(variables).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_shell_evaluates_the_output_of_env_and_of_unset() {
    let tmp = tempfile::tempdir().unwrap();
    let tmp_folder = |command: &mut Command| _ = command.env("TMPDIR", tmp.path()).envs(TRAPS);
    let set = env(&["--url", "http://127.0.0.1:4000"], tmp_folder);
    let environment = evaluated(&format!("{set}\nenv"), &TRAPS);
    assert_eq!(value(&environment, "GCE_METADATA_ROOT"), Some("127.0.0.1:4000"));
    assert_eq!(value(&environment, "GOOGLE_APPLICATION_CREDENTIALS"), None);
    let gcloud = PathBuf::from(value(&environment, "CLOUDSDK_CONFIG").unwrap());
    assert!(gcloud.is_dir());

    let evaluated_again = |command: &mut Command| {
        command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    };
    let unset = env(&["--unset"], evaluated_again);
    assert!(!gcloud.exists());
    let environment = evaluated(&format!("{set}\n{unset}\nenv"), &TRAPS);
    for name in ["GCE_METADATA_HOST", "CLOUDSDK_CONFIG", "METADATA_SERVER_DETECTION"] {
        assert_eq!(value(&environment, name), None);
    }
    assert_eq!(value(&environment, "NO_PROXY"), Some("internal.example.com"));
}

/// Python refuses an empty `GCE_METADATA_MTLS_MODE`, and asks a host without a name if `GCE_METADATA_ROOT` is empty.
#[test]
fn files_that_undo_env_have_no_empty_values_that_break_clients() {
    let undone = env(&["--unset", "--format", "dotenv"], |_| {});
    let note = "# These variables must not be set, and this format can't unset them: \
                GCE_METADATA_HOST GCE_METADATA_IP GCE_METADATA_ROOT GCE_METADATA_MTLS_MODE\n";
    assert_eq!(undone, format!("METADATA_SERVER_DETECTION=\nNO_PROXY=\nno_proxy=\n{note}"));
}

#[test]
fn env_names_the_server_of_the_environment_or_the_default_one() {
    let json = |host: Option<&str>| {
        let tmp = tempfile::tempdir().unwrap();
        let text = env(&["--format", "json"], |command| {
            command.env("TMPDIR", tmp.path()).envs(host.map(|host| ("GCE_METADATA_HOST", host)));
        });
        serde_json::from_str::<Value>(&text).unwrap()["GCE_METADATA_HOST"].clone()
    };
    assert_eq!(json(None), "127.0.0.1:8080");
    assert_eq!(json(Some("metadata")), "metadata:80");
}
