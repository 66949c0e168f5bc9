//! Failed starts: one error line with the reason and the remedy, and no files left behind.

use super::{folder, program};
use std::path::Path;
use std::process::Command;

/// Expects a failed start; returns its error line.
pub(super) fn refused(folder: &Path, args: &str) -> String {
    error_line(program(folder, args))
}

pub(super) fn error_line(command: Command) -> String {
    let stderr = crate::support::program::failed_start(command);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let error = stderr.trim_end().strip_prefix("error: ").expect("the line starts with `error: `");
    assert!(!repeats_its_cause(error), "{error}");
    error.to_owned()
}

/// Whether the error repeats the text of its cause.
fn repeats_its_cause(error: &str) -> bool {
    error.match_indices(": ").any(|(place, _)| error[..place].ends_with(&error[place + 2..]))
}

#[test]
fn a_file_beyond_its_size_limit_is_refused() {
    let folder = folder();
    let large = |name: &str, mib: u64| {
        std::fs::File::create(folder.path().join(name)).unwrap().set_len(mib * 1024 * 1024 + 1).unwrap();
    };
    large("large", 1);
    large("huge", 64);
    for (options, start) in [
        ("--offline-key large", "--offline-key large: larger than 1 MiB, "),
        ("--use-mtls --mds-mtls-dir mds --mds-ek large", "--mds-ek large: larger than 1 MiB, "),
        ("--service-account-file large", "credentials: large: larger than 1 MiB, "),
        ("--credentials large", "credentials: large: larger than 1 MiB, "),
        // In any order.
        ("--use-mtls --server-key huge --server-cert huge --root-ca-mtls huge", "HTTPS: huge: larger than 1"),
        ("--config-file huge", "huge: larger than 64 MiB, "),
        ("--guest-attributes-file huge", "guest attributes: huge: larger than 64 MiB, "),
    ] {
        let error = refused(folder.path(), &format!("{options} --port 0"));
        assert!(error.starts_with(start) && error.contains("give another file"), "{error}");
    }
}

#[test]
fn a_failed_start_prints_one_line_with_reason_and_remedy() {
    let folder = folder();
    assert!(refused(folder.path(), "--configFile=none.json").starts_with("none.json: No such file or directory"));
    assert!(refused(folder.path(), "--prot 1").contains("a similar argument exists: '--port'"));
    assert!(
        refused(folder.path(), "--interface no.such.host.invalid --port 0")
            .starts_with("--interface no.such.host.invalid: ")
    );
    assert!(refused(folder.path(), "--offline-key none.pem --port 0").starts_with("--offline-key none.pem: "));
    assert!(refused(folder.path(), "--service-account-file none.json").starts_with("credentials: none.json: No such"));
    let error = refused(folder.path(), "--use-mtls --port 0");
    assert!(error.starts_with("HTTPS: certs/server.key does not exist: create the certificates with `"), "{error}");
    assert!(error.contains("gce-metadata-server certs init certs`"), "{error}");
    for option in [
        "--tpm-key-file x.pem",
        "--persistent-handle 0x81010002",
        "--key-pass x",
        "--key-pass-file x",
        "--pcrs 7",
        "--use-ek-parent",
        "--use-oauth-token",
        "--tpm-session-encrypt-with-name 000b",
    ] {
        let error = refused(folder.path(), &format!("{option} --port 0"));
        let name = option.split(' ').next().unwrap();
        assert_eq!(error, format!("{name} does nothing without --tpm"));
    }
    for option in ["", "--impersonate", "--credentials all.json"] {
        let error = refused(folder.path(), &format!("{option} --service-account-email a@example.com --port 0"));
        assert_eq!(error, "--service-account-email does nothing without --service-account-file");
    }
    let mtls = "--use-tpm-mtls --project-number 1 --pool-id p --provider-id q --pub-cert c.pem --port 0";
    assert_eq!(refused(folder.path(), mtls), "--use-tpm-mtls does nothing without --tpm");
    if cfg!(not(feature = "tpm")) {
        assert!(refused(folder.path(), "--tpm --keyfile x.pem").contains("--features tpm"));
        assert!(refused(folder.path(), "tpm generate --bits 2048").contains("--features tpm"));
    }

    let config = |json: &str| std::fs::write(folder.path().join("config.json"), json).unwrap();
    config("{\n  \"instance\": {\n    \"id\": 12,,\n  }\n}");
    assert_eq!(refused(folder.path(), "--port 0"), "config.json:3:14: at instance: key must be a string");
    config("{\"computeMetadata\": {\"v1\": {\n\"instance\": {\"disks\": 5}}}}");
    let error = refused(folder.path(), "--port 0");
    assert!(error.starts_with("config.json:2:"), "{error}");
    assert!(error.ends_with("at computeMetadata.v1.instance.disks: a list is expected, not a number"), "{error}");
    config("{\"instance\": {\"name\": \"vm-1\"}}");

    assert!(refused(folder.path(), "--use-mtls --tls-port 1").contains("cannot be used with"));
    assert!(refused(folder.path(), "--mtls-allow vm-1 --port 0").contains("--use-mtls or --tls-port 443"));
    for option in ["--mds-ek ek.pem", "--mds-mtls-client vm-1", "--mds-mtls-mode 644"] {
        let name = option.split(' ').next().unwrap();
        for https in ["", " --use-mtls"] {
            let error = refused(folder.path(), &format!("{option}{https} --port 0"));
            assert_eq!(error, format!("{name} does nothing without --mds-mtls-dir"));
        }
    }
    let open_to_all = refused(folder.path(), "--use-mtls --mtls-allow= --mds-mtls-dir mtls --port 0");
    assert!(open_to_all.starts_with("--mtls-allow: the name is empty; omit the option"), "{open_to_all}");
    for misspelled in ["--use-mtls --mtlsAllow= --mds-mtls-dir mtls --port 0", "--prot= --port 0"] {
        assert!(refused(folder.path(), misspelled).starts_with("unexpected argument"), "{misspelled}");
    }
    assert!(refused(folder.path(), "--mds-mtls-mode 4 --mds-mtls-dir m").contains("three octal digits"));
    let nothing = refused(folder.path(), "certs");
    assert!(nothing.contains("requires a subcommand") && nothing.contains("[subcommands: init"), "{nothing}");
    assert!(refused(folder.path(), "check-config").ends_with("were not provided: <FILE>... (see --help)"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused(folder.path(), &format!("--port {port}"));
    assert!(error.starts_with(&format!("can't listen at 127.0.0.1:{port}: ")) && error.contains("--port 0"), "{error}");

    let error = refused(folder.path(), &format!("--port 0 --metricsEnabled --metricsPort {port}"));
    assert!(error.ends_with("choose another port (--metrics-port 0 takes any free port)"), "{error}");
    assert!(
        refused(folder.path(), "--metrics-path /healthz").contains("the metrics listener answers this path itself")
    );

    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(refused(folder.path(), "--configFile=fifo"), "fifo: not a regular file");
}

/// Threads are started before the file of guest attributes is created, so a failure leaves no file.
#[test]
fn a_failed_start_leaves_no_file() {
    let folder = folder();
    let mut command = Command::new("sh");
    command.current_dir(folder.path()).env_clear().env("RUST_LOG", "error");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args("--port 0 --threads 100 --guest-attributes-file kept.json".split(' '));
    let error = error_line(command);
    assert!(error.starts_with("can't start threads for connections: Too many open files"), "{error}");
    assert!(error.contains("; ask for fewer of them (--threads), or raise the limits"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
