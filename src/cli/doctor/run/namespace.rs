//! A network namespace in which a command runs with a metadata server at 169.254.169.254, and nothing else.
//!
//! `unshare` makes the namespaces, for root or with a user namespace. Inside, `doctor` runs again with a hidden option: it serves at the
//! fixed address, runs the command, and writes the journal to a file. The machine's own network, its `lo` and its /etc/hosts do not change.

use anyhow::Context;
use rustix::process::{getegid, geteuid};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The fixed address.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// The names of the fixed address.
const NAMES: &str = "169.254.169.254 metadata.google.internal metadata.goog metadata\n";

/// Sets the namespace up, and runs the command in the other arguments. `unshare` keeps mounts in the namespace.
const SETUP: &str = "ip link set lo up && ip address add 169.254.169.254/32 dev lo && mount --bind \"$1\" /etc/hosts && \
                     shift && exec \"$@\"";

const HOSTS: &str = "hosts";
const JOURNAL: &str = "journal";

/// A way into a new network namespace.
#[derive(Debug)]
pub(super) struct Isolated {
    /// Has the hosts file of the namespace, and the journal.
    folder: TempDir,
}

impl Isolated {
    /// Tries the set-up with a command that does nothing. An `Err` says why it fails.
    pub(super) fn new() -> Result<Self, String> {
        let folder = TempDir::new().map_err(|error| format!("no temporary folder: {error}"))?;
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        let written = fs::write(folder.path().join(HOSTS), format!("{NAMES}{hosts}"));
        written.map_err(|error| format!("no temporary file: {error}"))?;
        let isolated = Self { folder };
        let words = isolated.enter(as_user(&["true".into()]));
        let (program, arguments) = words.split_first().ok_or("no command")?;
        let tried = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = tried.map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
        if output.status.success() {
            return Ok(isolated);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(stderr.lines().next().unwrap_or("the set-up failed").to_owned())
    }

    /// The words that run `doctor` with this command in the namespace.
    pub(super) fn command(&self, config_file: Option<&Path>, command: &[OsString]) -> anyhow::Result<Vec<OsString>> {
        let doctor = std::env::current_exe().context("can't find this program")?;
        let mut words: Vec<OsString> = vec![doctor.into(), "doctor".into(), "--journal-in-namespace".into()];
        words.push(self.folder.path().join(JOURNAL).into());
        if let Some(file) = config_file {
            words.extend(["--config-file".into(), file.into()]);
        }
        words.push("--".into());
        words.extend(as_user(command));
        Ok(self.enter(words))
    }

    /// The requests of the command. An `Err` says why there are none.
    pub(super) fn events(&self) -> Result<Vec<Value>, String> {
        let text = fs::read_to_string(self.folder.path().join(JOURNAL));
        let text = text.map_err(|_| "the server in it did not start".to_owned())?;
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
    }

    /// The words that run these words in a new namespace.
    fn enter(&self, words: Vec<OsString>) -> Vec<OsString> {
        let unshare: &[&str] = match geteuid().is_root() {
            true => &["unshare", "--net", "--mount"],
            false => &["unshare", "--user", "--map-root-user", "--net", "--mount"],
        };
        let setup = ["sh", "-c", SETUP, "sh"];
        let hosts = self.folder.path().join(HOSTS);
        let before = unshare.iter().chain(&setup).map(OsString::from);
        before.chain([hosts.into()]).chain(words).collect()
    }
}

/// The words that run a command with the identity of this user, who is root in the user namespace.
fn as_user(command: &[OsString]) -> Vec<OsString> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return command.to_vec();
    }
    let options = [format!("--map-user={}", user.as_raw()), format!("--map-group={}", group.as_raw())];
    let unshare = [OsStr::new("unshare"), OsStr::new("--user")].map(OsString::from);
    unshare.into_iter().chain(options.map(OsString::from)).chain(["--".into()]).chain(command.iter().cloned()).collect()
}

/// Writes the requests for [`Isolated::events`].
pub(super) fn write(path: &Path, events: &[Value]) -> anyhow::Result<()> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        events.iter().try_for_each(|event| writeln!(file, "{event}"))?;
        file.flush()
    };
    write().with_context(|| path.display().to_string())
}
