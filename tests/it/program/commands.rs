//! The commands besides `serve`: `check-config`, help and version.

use super::refused::refused;
use super::{folder, program};
use crate::support::program::Program;
use crate::support::repository;
use std::process::Output;
use std::time::{Duration, Instant};

#[test]
fn version_and_help_go_to_standard_output() {
    let folder = folder();
    for version in ["-version", "--version", "-V"] {
        let output = program(folder.path(), version).output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("gce-metadata-server {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
    let help = String::from_utf8(program(folder.path(), "-help").output().unwrap().stdout).unwrap();
    for heading in ["Base Options:", "Authentication Options:", "Misc Options:", "Logging Options:"] {
        assert!(help.contains(heading), "{help}");
    }
    assert_eq!(program(folder.path(), "help").output().unwrap().stdout, help.as_bytes());
    let short = program(folder.path(), "-h").output().unwrap().stdout;
    assert!(short.len() < help.len() / 3, "{}", String::from_utf8_lossy(&short));
}

#[test]
fn start_lines_of_https_without_http_are_for_clients_with_certificates() {
    let folder = folder();
    let mut server = Program::start(|command| {
        command.current_dir(folder.path()).args(["--use-mtls", "--mds-mtls-dir", "mds"]);
    });
    assert!(server.wait_for("# Serving the built-in sample at ").starts_with("https://127.0.0.1:"));
    assert_eq!(
        server.wait_for("export "),
        "GCE_METADATA_MTLS_MODE=strict",
        "no GCE_METADATA_HOST, which google-auth refuses"
    );
    server.stop();
}

/// Runs `check-config` on this config; returns its exit status and its lines.
fn checked(json: &str) -> (Option<i32>, Vec<String>) {
    let folder = folder();
    std::fs::write(folder.path().join("c.json"), json).unwrap();
    let Output { status, stdout, stderr } = program(folder.path(), "check-config c.json").output().unwrap();
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn check_config_exits_with_the_severity_of_the_worst_finding() {
    let sample = std::fs::read_to_string(repository("config.json")).unwrap();
    assert_eq!(checked(&sample), (Some(0), vec!["c.json: ok".to_owned()]));
    let guest = std::fs::read_to_string(repository("tests/clients/guest/vm.json")).unwrap();
    assert_eq!(checked(&guest), (Some(0), vec!["c.json: ok".to_owned()]));

    let (status, lines) = checked("{\"instance\": {\"name\": \"vm-1\",\n  \"colour\": \"red\"}}");
    assert_eq!((status, lines.len()), (Some(0), 1), "{lines:?}");
    assert!(lines[0].starts_with("c.json:2:13: notice: at instance.colour: "), "{lines:?}");

    let (status, lines) =
        checked("{\"instance\": {\"zone\": \"projects/1/zones/z\", \"colour\": 1, \"preempted\": \"maybe\"}}");
    assert_eq!((status, lines.len()), (Some(2), 2), "{lines:?}");
    assert_eq!(lines[1], "c.json:1:71: warning: at instance.preempted: expected TRUE or FALSE, found `\"maybe\"`");

    let (status, lines) = checked("[]");
    assert_eq!(status, Some(1));
    assert_eq!(lines, ["c.json:1:1: error: at top level: an object is expected, not a list"]);

    let (status, lines) =
        checked("{\"instance\": {\"preempted\": \"maybe\", \"name\": \"a\", \"disks\": 1, \"licenses\": 1}}");
    assert_eq!((status, lines.len()), (Some(1), 3), "{lines:?}");
    assert_eq!(lines[1], "c.json:1:59: error: at instance.disks: a list is expected, not a number");

    let smallest = std::fs::read_to_string(repository("tests/conformance/smallest.json")).unwrap();
    let (status, lines) = checked(&smallest);
    assert_eq!((status, lines.len()), (Some(0), 1), "{lines:?}");
    let notice = "c.json:4:19: notice: at computeMetadata.v1.instance: neither `name` nor `zone` is given; filled in from the \
                  built-in VM: cpuPlatform, ";
    assert!(lines[0].starts_with(notice), "{lines:?}");

    let (status, lines) = checked("{\"instance\": nothing}");
    assert_eq!((status, lines.len()), (Some(1), 1), "{lines:?}");
    assert!(lines[0].starts_with("c.json:1:15: error: at instance: "), "{lines:?}");
}

#[test]
fn check_config_takes_several_files_and_standard_input() {
    let folder = folder();
    let write = |name: &str, json: &str| std::fs::write(folder.path().join(name), json).unwrap();
    write("good.json", r#"{"instance": {"name": "a"}}"#);
    write("typo.json", r#"{"instance": {"name": "a", "premepted": "TRUE"}}"#);
    write("part.json", r#"{"attributes": {}, "id": 1, "name": "vm-1"}"#);
    let mut command = program(folder.path(), "check-config good.json none.json - typo.json part.json");
    command.stdin(std::fs::File::open(folder.path().join("good.json")).unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: none.json: No such file"), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "good.json: ok",
            "<stdin>: ok",
            "typo.json:1:41: notice: at instance.premepted: GCE is not known to have this key; it is served unchanged: did you \
             mean `preempted`?",
            "part.json:1:1: error: at top level: this is an instance alone, as instance/?recursive=true answers it: wrap it as \
             {\"instance\": …}",
        ]
    );
}

#[test]
fn a_start_and_a_reload_log_that_check_config_has_findings() {
    let folder = folder();
    let file = folder.path().join("vm.json");
    std::fs::write(&file, r#"{"instance": {"name": "a", "preempted": true}}"#).unwrap();
    let running = super::Running::start(program(folder.path(), "--port 0 --config-file vm.json"));
    let reload = |config: &str, name: &str| {
        assert!(running.get(&format!("instance/{name}")).contains("404"));
        std::fs::write(&file, config).unwrap();
        running.signal("-HUP");
        let path = format!("instance/{name}?wait_for_change=true&last_etag=0");
        let deadline = Instant::now() + Duration::from_secs(30);
        while running.get(&path).contains("404") {
            assert!(Instant::now() < deadline, "not reloaded");
        }
    };
    reload(r#"{"instance": {"name": "a", "odd": 1, "even": 2}}"#, "odd");
    // The findings are logged after the change, and before the next reload.
    reload(r#"{"instance": {"name": "a", "zone": "projects/1/zones/z"}}"#, "zone");
    let (_, log) = running.stop("-TERM");
    for text in
        [" WARN ", "vm.json: 1 warning: run check-config vm.json", "vm.json: 2 notices: run check-config vm.json"]
    {
        assert!(log.contains(text), "{text}: {log}");
    }
}

#[test]
fn log_target_names_the_file_of_the_log() {
    let folder = folder();
    let log = folder.path().join("server.log");
    for (options, both) in
        [("-jsonLog -debug -logTarget server.log", false), ("--log-target server.log -alsologtostderr", true)]
    {
        let running = super::Running::start(program(folder.path(), &format!("--port 0 {options}")));
        assert_eq!(running.get("instance/name"), "vm-1");
        let (status, stderr) = running.stop("-TERM");
        assert_eq!((status, stderr.contains("listening")), (Some(0), both), "{stderr}");
    }
    let lines = std::fs::read_to_string(&log).unwrap();
    let (json, text): (Vec<_>, Vec<_>) = lines.lines().partition(|line| line.starts_with('{'));
    assert!(json.iter().any(|line| line.contains(r#""level":"DEBUG""#)), "{lines}");
    assert!(text.iter().any(|line| line.contains("INFO") && line.contains("listening")), "appended: {lines}");
    let error = refused(folder.path(), "--log-target none/server.log --port 0");
    assert!(error.starts_with("--log-target none/server.log: No such file"), "{error}");
}

#[test]
fn each_command_has_its_own_help() {
    let folder = folder();
    let help = program(folder.path(), "check-config --help").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Exit status:\n  0 "));
    let help = program(folder.path(), "certs init -h").output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("--dns-name"));
}

#[test]
fn check_config_of_a_missing_file_fails() {
    let folder = folder();
    assert!(refused(folder.path(), "check-config none.json").starts_with("none.json: No such file"));
}

#[test]
fn health_exits_with_0_if_the_server_answers_and_with_1_if_not() {
    let folder = folder();
    let mut server = Program::start(|command| {
        command.current_dir(folder.path());
    });
    let host = server.wait_for("export GCE_METADATA_HOST=");
    let checked = program(folder.path(), "health").env("GCE_METADATA_HOST", &host).output().unwrap();
    assert!(checked.status.success() && checked.stdout.is_empty() && checked.stderr.is_empty(), "{checked:?}");
    let checked = program(folder.path(), &format!("health --url http://{host}")).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    server.stop();
    let error = refused(folder.path(), &format!("health --url http://{host}"));
    assert!(error.starts_with(&format!("{host}: can't connect: ")), "{error}");
    assert!(refused(folder.path(), "health --url localhost").contains("the URL of a server is http://HOST:PORT"));
}
