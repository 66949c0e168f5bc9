//! SoftHSM, a PKCS#11 token in software. Each test has its own in a new folder. The module reads the folder from the
//! environment, so it is used in child processes only: the program, tools, or a test in a process of its own.

use super::google::new_key;
pub(crate) use super::program::run;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub(crate) const PIN: &str = "87654321";
const SO_PIN: &str = "12345678";

/// Where distributions have modules.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/pkcs11";

/// A token `gce token` with the key `vm`, id 01, of `pem`.
pub(crate) struct Hsm {
    folder: TempDir,
    /// The private key in PEM that the token has.
    pub(crate) pem: String,
}

impl Hsm {
    pub(crate) fn new() -> Self {
        Self::configured("")
    }

    /// A token with these lines added to SoftHSM's configuration.
    pub(crate) fn configured(lines: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let tokens = folder.path().join("tokens");
        let config = format!("directories.tokendir = {}\nlog.level = ERROR\n{lines}\n", tokens.display());
        std::fs::write(folder.path().join("softhsm2.conf"), config).unwrap();
        std::fs::write(folder.path().join("pin"), format!("{PIN}\n")).unwrap();
        let (pem, _) = new_key();
        let hsm = Self { folder, pem };
        hsm.add_token("gce token");
        hsm.import(&hsm.pem, "vm", "01");
        hsm
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Initializes another token.
    pub(crate) fn add_token(&self, label: &str) {
        let arguments = ["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN];
        run(self.command("softhsm2-util").args(arguments));
    }

    /// Imports a private key in PEM, and its public key.
    pub(crate) fn import(&self, pem: &str, label: &str, id: &str) {
        let (private, public) = (self.file(&format!("{label}.pem")), self.file(&format!("{label}.pub.der")));
        let der = self.file(&format!("{label}.der"));
        std::fs::write(&private, pem).unwrap();
        let openssl = |options: &[&str], out: &Path| {
            run(self.command("openssl").arg("pkey").arg("-in").arg(&private).args(options).arg("-out").arg(out));
        };
        openssl(&["-outform", "DER"], &der);
        openssl(&["-pubout", "-outform", "DER"], &public);
        for (file, class) in [(&der, "privkey"), (&public, "pubkey")] {
            let mut tool = self.tool("gce token");
            run(tool.arg("--write-object").arg(file).args([
                "--type",
                class,
                "--label",
                label,
                "--id",
                id,
                "--usage-sign",
            ]));
        }
    }

    /// Generates a key pair in the token: `rsa:3072`, `EC:prime256v1`.
    pub(crate) fn generate(&self, kind: &str, label: &str, id: &str, more: &[&str]) {
        let mut tool = self.tool("gce token");
        run(tool.args(["--keypairgen", "--key-type", kind, "--label", label, "--id", id, "--usage-sign"]).args(more));
    }

    /// pkcs11-tool, logged in to a token.
    pub(crate) fn tool(&self, token: &str) -> Command {
        let mut command = self.command("pkcs11-tool");
        command.args(["--module", SOFTHSM, "--token-label", token, "--login", "--pin", PIN]);
        command
    }

    /// A command that uses this token.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        self.expose_to(&mut command);
        command.current_dir(self.path());
        command
    }

    /// Sets the variables by which modules find this token.
    pub(crate) fn expose_to(&self, command: &mut Command) {
        command.env("SOFTHSM2_CONF", self.file("softhsm2.conf"));
        command.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", self.file("p11-kit.sock").display()));
        command.env("PKCS11SPY", SOFTHSM).env("PKCS11SPY_OUTPUT", self.file("spy.log"));
    }
}

/// SoftHSM's module.
pub(crate) fn softhsm() -> PathBuf {
    SOFTHSM.into()
}

/// The module that records the calls of SoftHSM.
pub(crate) fn spy() -> PathBuf {
    Path::new(MODULES).join("pkcs11-spy.so")
}

/// The client module of [`P11Kit`].
pub(crate) fn p11_kit_client() -> PathBuf {
    Path::new(MODULES).join("p11-kit-client.so")
}

/// The module of TPMs.
#[cfg(feature = "tpm")]
pub(crate) fn tpm2_pkcs11() -> PathBuf {
    Path::new(MODULES).join("libtpm2_pkcs11.so")
}

/// p11-kit's server in front of a [`Hsm`], which can be restarted; killed when dropped.
pub(crate) struct P11Kit {
    child: Child,
    socket: PathBuf,
}

impl P11Kit {
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("p11-kit.sock");
        let mut command = Command::new("p11-kit");
        command.args(["server", "--foreground", "--provider", SOFTHSM, "--name"]).arg(&socket).arg("pkcs11:");
        command.env("SOFTHSM2_CONF", folder.join("softhsm2.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("scripts/test installs p11-kit");
        while !socket.exists() {
            assert!(child.try_wait().unwrap().is_none(), "p11-kit server has exited");
            std::thread::yield_now();
        }
        Self { child, socket }
    }

    /// Suspends the server and the processes of its connections, so that they accept calls and answer none.
    pub(crate) fn stop_answering(&self) {
        self.signal("-STOP");
    }

    /// Kills the server with its connections, as when a token is taken out.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Sends a signal to the server's child processes, each of which serves a connection, and to the server.
    fn signal(&self, signal: &str) {
        let server = self.child.id().to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &server]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        for process in children.split_whitespace().chain([server.as_str()]) {
            // A connection may have ended meanwhile.
            let _ = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for P11Kit {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}
