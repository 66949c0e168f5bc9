//! The test suites of docs/testing.md, run by `exec` as the page shows it. The suite of Rust is `examples/recipes.rs`.

use crate::support::repository;
use std::path::Path;
use std::process::Command;

/// Runs a suite in a copy of its folder, because its tests change the config.
fn run(suite: &str, variables: &[(&str, &Path)], command: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(repository("tests/recipes").join(suite)).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["exec", "--config-file", "vm.json", "--offline-token-lifetime", "10s", "--"])
        .args(command)
        .current_dir(folder.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{suite}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_suite_of_pytest_passes() {
    let pytest = repository("target/clients/venv/bin/pytest");
    run("pytest", &[], &[pytest.to_str().unwrap()]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_suite_of_node_passes() {
    let packages = repository("target/clients/node/node_modules");
    run("node", &[("NODE_PATH", &packages)], &["node", "--test"]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_suite_of_go_passes() {
    run("go", &[], &["go", "test", "./..."]);
}

/// Runs a program of docs/admin.md by `exec`, which passes it the address of the admin API.
fn steer(variables: &[(&str, &Path)], command: &[&str]) {
    let program = repository("tests/recipes/admin").join(command[command.len() - 1]);
    let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["exec", "--"])
        .args(&command[..command.len() - 1])
        .arg(program)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).to_lowercase(), "color: blue\npreempted: true\nexpires within 10 s: true\n");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_python_program_steers_the_server() {
    steer(&[], &[repository("target/clients/venv/bin/python").to_str().unwrap(), "steer.py"]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_node_program_steers_the_server() {
    steer(&[], &["node", "steer.mjs"]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_go_program_steers_the_server() {
    steer(&[], &["go", "run", "steer.go"]);
}

/// Runs a suite of docs/assertions.md by `exec`. Its tests take turns, because they share the journal.
fn assert_requests(folder: &str, variables: &[(&str, &Path)], command: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["exec", "--"])
        .args(command)
        .current_dir(repository("tests/recipes/assertions").join(folder))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_python_test_asserts_what_the_program_asked() {
    let python = repository("target/clients/venv/bin/python");
    let pytest = ["-B", "-m", "pytest", "-p", "no:cacheprovider", "test_requests.py"];
    assert_requests("", &[], &[&[python.to_str().unwrap()][..], &pytest].concat());
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_node_test_asserts_what_the_program_asked() {
    let packages = repository("target/clients/node/node_modules");
    assert_requests("", &[("NODE_PATH", &packages)], &["node", "--test", "requests.test.js"]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_go_test_asserts_what_the_program_asked() {
    assert_requests("go", &[], &["go", "test", "-count=1", "./..."]);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn a_java_program_asserts_what_it_asked() {
    let libraries = repository("target/clients/java").to_str().unwrap().to_owned() + "/*";
    assert_requests("", &[], &["java", "-cp", &libraries, "Requests.java"]);
}

#[test]
fn all_suites_have_the_same_config() {
    let config =
        |suite: &str| std::fs::read_to_string(repository("tests/recipes").join(suite).join("vm.json")).unwrap();
    assert_eq!(config("node"), config("pytest"));
    assert_eq!(config("go"), config("pytest"));
}
