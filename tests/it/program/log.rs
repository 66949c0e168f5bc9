//! The log of the program: levels, readable durations, signals.

use super::{Running, folder, program};
use crate::support::kubernetes_volume::KubernetesVolume;

#[test]
fn a_quiet_server_logs_no_info_lines() {
    let folder = folder();
    for options in ["-q", "--log-level error"] {
        let running = Running::start(program(folder.path(), &format!("--port 0 --metrics-port 1 {options}")));
        assert_eq!(running.get("project/project-id"), "sample-project");
        let (status, log) = running.stop("-TERM");
        assert_eq!(status, Some(0));
        assert!(!log.contains(" INFO "), "{options}: {log}");
        assert_eq!(log.contains(" WARN "), options == "-q", "{options}: {log}");
    }
}

#[test]
fn durations_are_readable_in_text_and_numbers_in_json() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 -v 1"));
    running.get("project/project-id");
    let (_, log) = running.stop("-TERM");
    let line = log.lines().find(|line| line.contains("answered")).unwrap();
    assert!(line.contains(" latency=") && (line.ends_with(" µs") || line.ends_with(" ms")), "{line}");

    let running = Running::start(program(folder.path(), "--port 0 -v 1 --log-format json"));
    running.get("project/project-id");
    let (_, log) = running.stop("-TERM");
    let line = log.lines().find(|line| line.contains("answered")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["latency_seconds"].is_f64(), "{line}");
}

#[test]
fn sigusr1_does_not_kill_the_server() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    running.signal("-USR1");
    assert_eq!(running.get("project/project-id"), "sample-project");
    assert_eq!(running.stop("-TERM").0, Some(0));
}

#[test]
fn the_swap_of_a_kubernetes_volume_logs_no_warning() {
    let folder = folder();
    let config = |value: &str| format!(r#"{{"instance":{{"name":"vm-1","description":"{value}"}}}}"#);
    let mut volume = KubernetesVolume::new(folder.path(), &[("config.json", &config("1"))]);
    let mut command = program(folder.path(), "--port 0 --config-file config.json");
    command.env("GOOGLE_ACCESS_TOKEN", "a").env("GOOGLE_ID_TOKEN", "b");
    let running = Running::start(command);
    for new in ["2", "3"] {
        let headers = running
            .curl(&format!("-i http://metadata.google.internal/computeMetadata/v1/instance/description?last={new}"));
        let tag = headers.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("etag: ").map(str::to_owned));
        let tag = tag.unwrap();
        volume.update(&[("config.json", &config(new))]);
        let changed = running.get(&format!("instance/description?wait_for_change=true&last_etag={}", tag.trim()));
        assert_eq!(changed, new);
    }
    let (_, log) = running.stop("-TERM");
    assert!(!log.contains("notify") && log.contains("changed=\"instance/description\""), "{log}");
}
