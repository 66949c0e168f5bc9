//! The endpoint options of the program, tested through the binary: guest attributes, legacy endpoints, rate limits.

use crate::support::get_at;
use crate::support::program::Program;
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts the program with this config and these options; returns it and its `HOST:PORT`.
fn start(folder: &Path, options: &str, config: &str) -> (Program, String) {
    std::fs::write(folder.join("config.json"), config).unwrap();
    let mut program = Program::start(|command| {
        command.current_dir(folder).args(options.split(' ').filter(|option| !option.is_empty()));
    });
    let host = program.wait_for("export GCE_METADATA_HOST=");
    (program, host)
}

const CONFIG: &str = r#"{"instance": {"name": "vm-1", "id": 7, "attributes": {"enable-guest-attributes": "TRUE"}}}"#;

/// Runs curl; returns the body, followed by the status code.
fn curl(host: &str, options: &[&str], path: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "Metadata-Flavor: Google", "-w", "%{http_code}"]).args(options);
    let output = curl.arg(format!("http://{host}/{path}")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const ATTRIBUTES: &str = "computeMetadata/v1/instance/guest-attributes";

#[tokio::test]
async fn guest_attributes_are_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = "--guest-attributes-file attributes.json";
    let (program, host) = start(folder.path(), options, CONFIG);
    let large = folder.path().join("large");
    std::fs::write(&large, "x".repeat(256 * 1024)).unwrap();
    assert_eq!(curl(&host, &["-X", "PUT", "--data", "value"], &format!("{ATTRIBUTES}/ns/key")), "200");
    assert_eq!(curl(&host, &["-T", large.to_str().unwrap()], &format!("{ATTRIBUTES}/ns/large")), "200");
    std::fs::write(&large, "x".repeat(2 << 20)).unwrap();
    assert!(curl(&host, &["-T", large.to_str().unwrap()], &format!("{ATTRIBUTES}/ns/large")).ends_with("413"));
    assert_eq!(curl(&host, &["-X", "DELETE"], &format!("{ATTRIBUTES}/ns/large")), "200");
    program.stop();

    let (program, host) = start(folder.path(), options, CONFIG);
    assert_eq!(get_at(&host, "instance/guest-attributes/?recursive=true").await.body, r#"{"ns":{"key":"value"}}"#);
    program.stop();
}

#[tokio::test]
async fn with_sync_a_killed_program_loses_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let options = "--guest-attributes-file attributes.json --guest-attributes-sync";
    for number in 0..10 {
        let (program, host) = start(folder.path(), options, CONFIG);
        let key = format!("{ATTRIBUTES}/ns/key-{number}");
        assert_eq!(curl(&host, &["-X", "PUT", "--data", "value"], &key), "200");
        program.kill();
        let saved = std::fs::read_to_string(folder.path().join("attributes.json")).unwrap();
        assert!(saved.contains(&format!("\"key-{number}\":\"value\"")), "{saved}");
    }
    let (program, host) = start(folder.path(), options, CONFIG);
    let refused = refusal_of(folder.path(), &["--guest-attributes-file", "attributes.json"]);
    assert_eq!(
        refused,
        "error: guest attributes: attributes.json: another server keeps guest attributes in this file: stop it, or choose \
         another file\n"
    );
    assert_eq!(get_at(&host, "instance/guest-attributes/ns/key-0").await.body, "value");
    program.stop();
}

/// A limit on file size (`ulimit -f`) stands in for a full disk, because it needs no mount.
#[tokio::test]
async fn readyz_is_503_while_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_gce-metadata-server")]);
    shell.args(["--port", "0", "--metrics-enabled", "--metrics-port", "0", "--guest-attributes-sync"]);
    shell.args(["--guest-attributes-file", "attributes.json"]).current_dir(folder.path());
    let mut program = Program::of({
        shell.stdin(Stdio::null()).stderr(Stdio::null());
        shell
    });
    let host = program.wait_for("export GCE_METADATA_HOST=");
    let metrics = program.wait_for("# Metrics and health at http://");
    assert_eq!(curl(&metrics, &[], "readyz"), "ok\n200");
    let (large, key) = ("x".repeat(100_000), format!("{ATTRIBUTES}/ns/key"));
    assert!(curl(&host, &["-X", "PUT", "--data", &large], &key).ends_with("503"));
    let said = curl(&metrics, &[], "readyz");
    assert!(said.starts_with("guest attributes can't be saved: ") && said.ends_with("\n503"), "{said}");
    assert!(said.contains("File too large") && !said.contains('x'), "{said}");
    assert_eq!(curl(&host, &["-X", "PUT", "--data", "small"], &key), "200");
    assert_eq!(curl(&metrics, &[], "readyz"), "ok\n200");
    program.stop();
    let saved = std::fs::read_to_string(folder.path().join("attributes.json")).unwrap();
    assert_eq!(saved, r#"{"ns":{"key":"small"}}"#);
}

#[tokio::test]
async fn maintenance_legacy_and_rate_limit_options_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, host) = start(folder.path(), "", CONFIG);
    assert_eq!(get_at(&host, "instance/upcoming-maintenance").await.body, "NONE");
    assert!(curl(&host, &[], "0.1/meta-data/instance-id").ends_with("403"));
    plain.stop();

    let options = "--without-maintenance unavailable --enable-legacy-endpoints --enforce-rate-limits";
    let (program, host) = start(folder.path(), options, CONFIG);
    assert_eq!(get_at(&host, "instance/upcoming-maintenance").await.status, 503);
    assert_eq!(curl(&host, &[], "0.1/meta-data/instance-id"), "7200");
    assert_eq!(curl(&host, &[], "computeMetadata/v1beta1/instance/id"), "7200");
    let mut statuses = Vec::new();
    for _ in 0..50 {
        statuses.push(get_at(&host, "instance/guest-attributes/").await.status.as_u16());
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    program.stop();
}

/// The error line of a failed start.
fn refusal_of(folder: &Path, options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    let output = command.current_dir(folder).env_clear().args(["--port", "0"]).args(options).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn invalid_endpoint_options_fail_with_one_error_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.json"), "[]").unwrap();
    let refused = |options: &[&str]| refusal_of(folder.path(), options);
    let broken = refused(&["--guest-attributes-file", "broken.json"]);
    assert!(
        broken
            .starts_with("error: guest attributes: broken.json:1:1: at top level: an object is expected, not a list; "),
        "{broken}"
    );
    assert!(broken.contains("mend the file, or remove it"), "{broken}");
    let nowhere = refused(&["--guest-attributes-file", "none/attributes.json"]);
    assert!(
        nowhere.starts_with("error: guest attributes: none/attributes.json.lock: can't be written: No such"),
        "{nowhere}"
    );
    assert!(refused(&["--without-maintenance", "perhaps"]).contains("none, empty, unavailable"));
    assert!(
        refused(&["--guest-attributes-sync"])
            .contains("--guest-attributes-sync does nothing without --guest-attributes-file")
    );
}
