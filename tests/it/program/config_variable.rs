//! `GCE_METADATA_CONFIG`: a config in an environment variable.

use super::refused::error_line;
use super::{Running, folder, program};
use std::path::Path;
use std::process::Command;

const VARIABLE: &str = "GCE_METADATA_CONFIG";
const CONFIG: &str = r#"{"project": {"projectId": "of-variable"}}"#;

fn configured(folder: &Path, args: &str, config: &str) -> Command {
    let mut command = program(folder, args);
    command.env(VARIABLE, config);
    command
}

#[test]
fn the_config_of_the_variable_is_served_and_overridden_by_other_variables() {
    let folder = folder();
    std::fs::write(folder.path().join("config.json"), r#"{"project": {"projectId": "of-file"}}"#).unwrap();
    let mut command = configured(folder.path(), "--port 0", CONFIG);
    command.env("GOOGLE_NUMERIC_PROJECT_ID", "42");
    let running = Running::start(command);
    assert!(running.out[0].starts_with("# Serving the config of GCE_METADATA_CONFIG at "), "{:?}", running.out);
    assert_eq!(running.get("project/project-id"), "of-variable", "config.json is the default of --config-file only");
    assert_eq!(running.get("project/numeric-project-id"), "42");
    assert!(!running.stop("-TERM").1.contains("WARN"));
}

#[test]
fn an_empty_variable_is_unset() {
    let folder = folder();
    let running = Running::start(configured(folder.path(), "--port 0", ""));
    assert_eq!(running.get("project/project-id"), "sample-project");
}

#[test]
fn the_config_file_overrides_the_variable_with_a_warning() {
    let folder = folder();
    std::fs::write(folder.path().join("vm.json"), r#"{"project": {"projectId": "of-file"}}"#).unwrap();
    let running = Running::start(configured(folder.path(), "--port 0 --config-file vm.json", CONFIG));
    assert_eq!(running.get("project/project-id"), "of-file");
    let (_, log) = running.stop("-TERM");
    let warning = log.lines().find(|line| line.contains(VARIABLE)).unwrap();
    assert!(warning.contains("WARN") && warning.contains("--config-file vm.json overrides "), "{warning}");
}

#[test]
fn errors_name_the_variable_with_line_and_column() {
    let folder = folder();
    for (config, expected) in [
        ("{\n\"instance\": {\"id\": 1,,}}", ":2:22: at instance: key must be a string"),
        (
            "{\"computeMetadata\": {\"v1\": {\n\"instance\": {\"disks\": 5}}}}",
            ":2:23: at computeMetadata.v1.instance.disks: a list is expected, not a number",
        ),
        ("[]", ":1:1: at top level: an object is expected, not a list"),
    ] {
        let error = error_line(configured(folder.path(), "--port 0", config));
        assert_eq!(error, format!("environment variable {VARIABLE}{expected}"));
    }
}
