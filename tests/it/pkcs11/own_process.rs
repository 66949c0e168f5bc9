//! Runs a test in a process of its own, because modules read the location of their token from the environment of the
//! process.

use crate::support::hsm::{Hsm, P11Kit, p11_kit_client, run};
use gce_metadata_server::signer::pkcs11::{Pkcs11Key, Pkcs11Modules, Pkcs11Options, Pkcs11Pin, Pkcs11Signer};
use gce_metadata_server::signer::{JwsAlgorithm, SignRequest};
use std::path::{Path, PathBuf};
use std::process::Command;
use tower::ServiceExt;

/// The folder of the token, in the test's own process.
const FOLDER: &str = "GCE_METADATA_TEST_FOLDER";

/// A token, as the test's own process sees it.
pub(super) struct Token {
    folder: PathBuf,
    module: PathBuf,
    modules: Pkcs11Modules,
}

/// The folder of the token, if this is the test's own process.
pub(super) fn own_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// The command that runs a test of this program in a process of its own.
pub(super) fn test_command(program: &str, before: &[&str], test: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(before).args([test, "--exact", "--include-ignored", "--nocapture"]).env(FOLDER, folder);
    command
}

/// Runs `work` in a process of its own with a token that `prepare` makes. `test` is the full name of the test, which the
/// process runs again.
pub(super) fn in_own_process(
    test: &str,
    module: PathBuf,
    prepare: impl FnOnce() -> Hsm,
    work: impl AsyncFnOnce(Token),
) {
    in_own_process_with(test, module, prepare, false, work);
}

/// As [`in_own_process`], with the paused clock of tokio.
pub(super) fn in_own_process_with(
    test: &str,
    module: PathBuf,
    prepare: impl FnOnce() -> Hsm,
    paused: bool,
    work: impl AsyncFnOnce(Token),
) {
    if own_folder().is_some() {
        return run_work(module, paused, work);
    }
    let hsm = prepare();
    let program = std::env::current_exe().unwrap();
    let mut command = test_command(program.to_str().unwrap(), &[], test, hsm.path());
    hsm.expose_to(&mut command);
    let printed = run(&mut command);
    assert!(printed.contains("1 passed"), "{test} is not the name of the test: {printed}");
}

/// Runs `work` in this process, which is the test's own.
#[cfg(feature = "tpm")]
pub(super) fn in_this_process(module: PathBuf, work: impl AsyncFnOnce(Token)) {
    run_work(module, false, work);
}

fn run_work(module: PathBuf, paused: bool, work: impl AsyncFnOnce(Token)) {
    let token = Token { folder: own_folder().unwrap(), module, modules: Pkcs11Modules::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
    runtime.block_on(work(token));
}

impl Token {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn module(&self) -> PathBuf {
        self.module.clone()
    }

    /// The private key in PEM that was imported with this label.
    pub(super) fn pem(&self, label: &str) -> String {
        std::fs::read_to_string(self.file(&format!("{label}.pem"))).unwrap()
    }

    /// The options of all keys of this process, with the PIN in a file.
    pub(super) fn options(&self) -> Pkcs11Options {
        Pkcs11Options { pin: Some(Pkcs11Pin::File(self.file("pin"))), modules: self.modules.clone() }
    }

    pub(super) fn key(&self, uri: &str) -> Pkcs11Key {
        Pkcs11Key::new(Some(self.module()), uri.parse().unwrap()).unwrap()
    }

    pub(super) fn open(&self, uri: &str) -> Pkcs11Signer {
        Pkcs11Signer::open(self.key(uri), self.options()).unwrap()
    }

    /// The error of opening a key.
    pub(super) fn refused(&self, uri: &str) -> String {
        Pkcs11Signer::open(self.key(uri), self.options()).map(|_| ()).unwrap_err().to_string()
    }

    /// Starts p11-kit's server, if the module is its client.
    pub(super) fn server(&self) -> Option<P11Kit> {
        (self.module == p11_kit_client()).then(|| P11Kit::start(&self.folder))
    }
}

pub(super) async fn sign(signer: &Pkcs11Signer, alg: JwsAlgorithm, message: &str) -> Result<Vec<u8>, String> {
    let request = SignRequest { alg, message: message.to_owned().into() };
    let signed = signer.clone().boxed().oneshot(request).await;
    signed.map(|it| it.0.to_vec()).map_err(|error| error.to_string())
}
