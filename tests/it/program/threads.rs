//! A limit on threads, as a container or `ulimit -u` sets it: where a thread can't be started, the program reports an error and
//! does not panic.

use super::{Running, folder};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// More threads than the program starts with the options of [`limited`].
const ENOUGH: u32 = 16;

/// The program as a user with this limit on threads. The limit counts all processes of the user, so each test process uses a
/// distinct user.
fn limited(folder: &Path, threads: u32) -> Command {
    let user = 20_000 + std::process::id() % 40_000;
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "prlimit"]);
    command.arg(format!("--nproc={threads}")).arg(folder.join("program"));
    command.args("--port 0 --threads 3 --config-file config.json --guest-attributes-file kept/guests.json".split(' '));
    command.args("--tls-port 0 --mds-mtls-dir kept/mds --interface localhost".split(' '));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn config(name: &str) -> String {
    format!(r#"{{"instance": {{"name": "{name}", "serviceAccounts": {{"default": {{}}}}}}}}"#)
}

#[test]
#[ignore = "needs root, to become another user"]
fn a_start_without_enough_threads_is_an_error_and_no_panic() {
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_gce-metadata-server"), folder.path().join("program")).unwrap();
    fs::write(folder.path().join("config.json"), config("before")).unwrap();
    let kept = folder.path().join("kept");
    let mut refused = 0;
    for threads in 1..=ENOUGH {
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir(&kept).unwrap();
        fs::set_permissions(&kept, Permissions::from_mode(0o777)).unwrap();
        let mut child = limited(folder.path(), threads).spawn().unwrap();
        let mut out = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut out).unwrap();
        if out.is_empty() {
            let output = child.wait_with_output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{threads}: {error}");
            let last = error.lines().last().unwrap();
            assert!(
                last.starts_with("error: ") && last.contains("thread") && last.contains("ulimit -u"),
                "{threads}: {error}"
            );
            assert!(!error.contains("panicked"), "{threads}: {error}");
            refused += 1;
            continue;
        }
        // The server started with just enough threads or more. Work that needs another thread fails or is retried.
        let url = out.trim_end().rsplit(' ').next().unwrap().to_owned();
        let running = Running { child, out: vec![out], url };
        fs::write(folder.path().join("config.json"), config("after")).unwrap();
        running.signal("-HUP");
        let identity = running.curl(&format!(
            "-o /dev/null -w %{{http_code}} {}/computeMetadata/v1/instance/service-accounts/default/identity?audience=a",
            running.url
        ));
        assert!(["200", "503"].contains(&&*identity), "{threads}: {identity}");
        let (status, log) = running.stop("-TERM");
        assert_eq!(status, Some(0), "{threads}: {log}");
        assert!(!log.contains("panicked"), "{threads}: {log}");
    }
    assert!((1..ENOUGH).contains(&refused), "{refused} of {ENOUGH} starts were refused");
}
