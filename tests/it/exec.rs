//! `exec`: the command's environment, its exit status, its signals, and the folder that `exec` removes.

mod clients;
mod environment;
mod journal;
mod signals;

use std::process::{Command, Output, Stdio};

/// `exec` with these options and this command, in an environment that has `PATH` only.
fn exec(options: &[&str], command: &[&str]) -> Command {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    exec.arg("exec").args(options).arg("--").args(command);
    exec.env_clear().env("PATH", env!("PATH")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    exec
}

fn shell(options: &[&str], script: &str) -> Command {
    exec(options, &["sh", "-c", script])
}

/// Standard output and the exit status. Asserts that standard error is empty.
fn output(mut command: Command) -> (String, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    (String::from_utf8(stdout).unwrap(), status.code())
}

#[test]
fn the_command_can_ask_the_server_at_once_and_nothing_else_is_printed() {
    let ask = "curl -sf -H Metadata-Flavor:Google http://$GCE_METADATA_HOST/computeMetadata/v1/project/project-id";
    assert_eq!(output(shell(&[], ask)), ("sample-project".to_owned(), Some(0)));
}

#[test]
fn a_config_file_does_not_cause_a_warning_about_missing_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("vm.json");
    std::fs::write(&config, r#"{"instance": {"id": 7, "name": "vm", "zone": "projects/1/zones/a"}}"#).unwrap();
    assert_eq!(output(shell(&["--config-file", config.to_str().unwrap()], "true")), (String::new(), Some(0)));
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    for (script, status) in [("true", 0), ("exit 42", 42), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)] {
        assert_eq!(output(shell(&[], script)).1, Some(status), "{script}");
    }
}

#[test]
fn a_command_that_can_not_start_has_the_exit_status_of_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (command, status, reason) in [
        ("no-such-command", 127, "error: exec: no-such-command: command not found\n"),
        ("/no/such/command", 127, "error: exec: /no/such/command: command not found\n"),
        ("/dev/null", 126, "error: exec: /dev/null: Permission denied (os error 13)\n"),
        (script.to_str().unwrap(), 126, "No such file or directory (os error 2)\n"),
    ] {
        let output = exec(&[], &[command]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.ends_with(reason), "{stderr}");
        assert_eq!(output.status.code(), Some(status), "{command}");
    }
}

#[test]
fn a_server_that_can_not_start_ends_exec_without_the_command() {
    for (options, reason) in [
        (&["--config-file", "/no/such/file"][..], "/no/such/file"),
        (&["--domain-socket", "metadata.sock"], "clients have no environment variable for a Unix socket"),
        (&["--use-mtls"], "give exec --tls-port"),
        (&["--url", "http://127.0.0.1:1"], "no server answers"),
    ] {
        let output = shell(options, "echo started").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
        assert_eq!((&*output.stdout, output.status.code()), (&b""[..], Some(1)));
    }
}

#[test]
fn usage_errors_name_the_remedy() {
    let refused = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let mut without_dashes = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    without_dashes.args(["exec", "python3", "test.py"]);
    let expected =
        "error: unexpected argument 'python3'; put -- before the command: exec [OPTIONS] -- python3 (see --help)\n";
    assert_eq!(refused(&mut without_dashes), expected);
    let expected = "error: --port configures a new server, but --url names a running one (see --help)\n";
    assert_eq!(refused(&mut exec(&["--port", "1", "--url", "http://127.0.0.1:1"], &["true"])), expected);
}

#[test]
fn verbose_output_ends_with_a_summary_of_the_requests() {
    let ask = "curl -s -H Metadata-Flavor:Google http://$GCE_METADATA_HOST/computeMetadata/v1/instance/";
    let script = format!("{ask}id; {ask}none; curl -s http://$GCE_METADATA_HOST/computeMetadata/v1/");
    let output = shell(&["-v"], &script).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let summary = "answered 3 requests: 1 with status 200, 1 with status 403, 1 with status 404";
    assert!(stderr.lines().last().unwrap().contains(summary), "{stderr}");
}

#[test]
fn exec_over_a_running_server_directs_the_command_to_it() {
    let mut server = crate::support::program::Program::start(|_| {});
    let host = server.wait_for("export GCE_METADATA_HOST=");
    let url = format!("http://{host}");
    assert_eq!(output(shell(&["--url", &url], "echo $GCE_METADATA_HOST")), (format!("{host}\n"), Some(0)));
}

#[test]
fn the_server_is_the_proxy_of_programs_that_know_only_the_real_address() {
    let get = |url: &str| format!("curl -s -w '%{{http_code}}' -H Metadata-Flavor:Google {url}");
    let path = "/computeMetadata/v1/project/project-id";
    for host in ["metadata.google.internal", "169.254.169.254", "metadata"] {
        let asked = output(shell(&["--via-proxy"], &get(&format!("http://{host}{path}"))));
        assert_eq!(asked, ("sample-project200".to_owned(), Some(0)), "{host}");
    }
    let (refused, _) = output(shell(&["--via-proxy"], &get("http://www.example.com/")));
    assert!(refused.contains("which is set as the HTTP proxy") && refused.ends_with("403"), "{refused}");
    let (own, _) = output(shell(&["--via-proxy"], &get("http://$GCE_METADATA_HOST/")));
    assert!(own.ends_with("200"), "{own}");
}
