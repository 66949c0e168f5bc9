//! swtpm, a TPM in software. Each test starts its own in a new folder.

use super::google::new_key;
use super::repository;
use gce_metadata_server::signer::tpm::{TpmAddress, TpmKey, TpmOptions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A key and the options to open it with.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) key: TpmKey,
    pub(crate) options: TpmOptions,
}

impl Key {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut TpmOptions)) -> Self {
        change(&mut self.options);
        self
    }

    pub(crate) fn password(self, password: &str) -> Self {
        self.with(|it| it.key_password = Some(password.into()))
    }

    pub(crate) fn pcrs(self, pcrs: &str) -> Self {
        self.with(|it| it.pcrs = Some(pcrs.parse().unwrap()))
    }

    pub(crate) fn below_endorsement_key(self) -> Self {
        self.with(|it| it.use_ek_parent = true)
    }
}

/// A running swtpm; killed when dropped.
pub(crate) struct Swtpm {
    pub(crate) folder: TempDir,
    child: Child,
    /// The private key in PEM that the fixtures import.
    pub(crate) pem: String,
}

impl Swtpm {
    /// Starts a TPM with the keys of these cases of `tests/tpm/fixtures.sh`.
    pub(crate) fn with(cases: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let (pem, _) = new_key();
        std::fs::write(folder.path().join("rsa.pem"), &pem).unwrap();
        let child = start(&folder);
        let this = Self { folder, child, pem };
        if !cases.is_empty() {
            let script = repository("tests/tpm/fixtures.sh");
            let made = this.tool(script.to_str().unwrap()).arg(this.folder.path()).args(cases).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        this
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The TPM's address.
    pub(crate) fn address(&self) -> TpmAddress {
        self.file("socket").to_str().unwrap().parse().unwrap()
    }

    /// A key file in the TPM's folder.
    pub(crate) fn key(&self, name: &str) -> Key {
        self.at(TpmKey::File(self.file(name)))
    }

    /// A key of this TPM.
    pub(crate) fn at(&self, key: TpmKey) -> Key {
        Key { key, options: TpmOptions { tpm: self.address(), ..TpmOptions::default() } }
    }

    /// A command of tpm2-tools for this TPM. swtpm serves one connection at a time.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env("TPM2TOOLS_TCTI", format!("swtpm:path={}", self.file("socket").display()));
        command.env("TSS2_LOG", "all+none").current_dir(self.folder.path());
        command
    }

    /// Runs a command of tpm2-tools and returns its output.
    pub(crate) fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let output = self.tool(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Suspends swtpm, so that it accepts commands and answers none.
    pub(crate) fn stop_answering(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status();
        assert!(stopped.unwrap().success());
    }

    /// Kills swtpm.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.file("socket")).unwrap();
    }

    /// Starts swtpm again with its stored state.
    pub(crate) fn restart(&mut self) {
        self.child = start(&self.folder);
    }
}

fn start(folder: &TempDir) -> Child {
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("state")).unwrap();
    let _ = std::fs::remove_file(path("socket.ctrl"));
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
    command.arg("--tpmstate").arg(format!("dir={}", path("state").display()));
    command.arg("--server").arg(format!("type=unixio,path={}", path("socket").display()));
    command.arg("--ctrl").arg(format!("type=unixio,path={}", path("socket.ctrl").display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("scripts/test installs swtpm");
    // swtpm accepts commands once both sockets exist.
    while !(path("socket").exists() && path("socket.ctrl").exists()) {
        assert!(child.try_wait().unwrap().is_none(), "swtpm has exited");
        std::thread::yield_now();
    }
    child
}

/// Records the bytes between a client and the TPM, as an eavesdropper would.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Vec<u8>>>);

impl Tap {
    /// Whether these bytes were transferred.
    pub(crate) fn has_seen(&self, bytes: &[u8]) -> bool {
        self.position(bytes).is_some()
    }

    /// The offset of these bytes in the recorded stream.
    pub(crate) fn position(&self, bytes: &[u8]) -> Option<usize> {
        self.0.lock().unwrap().windows(bytes.len()).position(|window| window == bytes)
    }

    fn forward(&self, mut from: UnixStream, mut to: UnixStream) {
        let mut bytes = [0; 4096];
        while let Ok(1..) = from.read(&mut bytes).inspect(|count| {
            self.0.lock().unwrap().extend(&bytes[..*count]);
            let _ = to.write_all(&bytes[..*count]);
        }) {}
        let _ = to.shutdown(Shutdown::Both);
    }
}

impl Swtpm {
    /// An address that forwards to the TPM through a [`Tap`].
    pub(crate) fn tapped(&self) -> (TpmAddress, Tap) {
        let (path, tap) = (self.file("tapped"), Tap::default());
        let (listener, socket, heard) = (UnixListener::bind(&path).unwrap(), self.file("socket"), tap.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = UnixStream::connect(&socket) else { continue };
                let (there, back) = (heard.clone(), heard.clone());
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || there.forward(near, far));
                std::thread::spawn(move || back.forward(far_too, near_too));
            }
        });
        (path.to_str().unwrap().parse().unwrap(), tap)
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
