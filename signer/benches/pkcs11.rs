//! Compares a signature by [`Pkcs11Signer`] with the bare calls of the module (`C_SignInit`, `C_Sign`) for the same key in
//! SoftHSM: the difference is the cost of the queue to the thread that owns the session. Needs SoftHSM and OpenSC.
//!
//! Single signatures of both are measured in turns, so that a busy neighbour affects both. A round gives the ratio of their medians.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use gce_metadata_signer::pkcs11::{Pkcs11Key, Pkcs11Options, Pkcs11Pin, Pkcs11Signer};
use gce_metadata_signer::{BoxSigner, JwsAlgorithm, SignRequest};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tower::ServiceExt;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CONFIG: &str = "SOFTHSM2_CONF";
const PIN: &str = "87654321";
const MESSAGE: &[u8] = &[b'x'; 600];
const ROUNDS: usize = 9;
/// Signatures of each kind in a round.
const SIGNATURES: usize = 500;

fn main() {
    // SoftHSM reads the location of its tokens from the environment of the process.
    match std::env::var_os(CONFIG) {
        Some(_) => measure(),
        None => run_with_a_token(),
    }
}

/// Makes a token with a key, and runs this program again with it.
fn run_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (tokens, config) = (folder.path().join("tokens"), folder.path().join("softhsm2.conf"));
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(&config, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).env(CONFIG, &config).status();
        assert!(status.expect("scripts/test installs SoftHSM and OpenSC").success(), "{program:?}");
    };
    let init = ["--init-token", "--free", "--label", "bench", "--so-pin", PIN, "--pin", PIN];
    run(Path::new("softhsm2-util"), &init);
    let generate =
        ["--module", MODULE, "--login", "--pin", PIN, "--keypairgen", "--key-type", "rsa:2048", "--label", "k"];
    run(Path::new("pkcs11-tool"), &generate);
    run(&std::env::current_exe().unwrap(), &[]);
}

fn measure() {
    let options = Pkcs11Options { pin: Some(Pkcs11Pin::Value(PIN.into())), ..Pkcs11Options::default() };
    let key = Pkcs11Key::new(Some(MODULE.into()), "pkcs11:token=bench".parse().unwrap()).unwrap();
    let signer = Pkcs11Signer::open(key, options).unwrap().boxed();
    let (session, key) = bare_session();
    // As the threads of the server that serve connections.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bare = || {
        black_box(session.sign(&Mechanism::Sha256RsaPkcs, key, MESSAGE).unwrap());
    };
    let ours = || {
        black_box(runtime.block_on(sign(&signer)));
    };
    let mut ratios = Vec::new();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let (mut bare_times, mut our_times) = (Vec::new(), Vec::new());
        for _ in 0..SIGNATURES {
            bare_times.push(time(&bare));
            our_times.push(time(&ours));
        }
        let (bare, ours) = (median(bare_times), median(our_times));
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!("round {round}: bare {bare:.1?}, signer {ours:.1?}, ratio {ratio:.3}");
        if round > 0 {
            ratios.push(ratio);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio of {ROUNDS} rounds: {:.3}", ratios[ROUNDS / 2]);
    let start = Instant::now();
    runtime.block_on(futures_util::future::join_all((0..64).map(|_| sign(&signer))));
    println!("64 callers at once: {:.0} signatures per second", 64.0 / start.elapsed().as_secs_f64());
}

async fn sign(signer: &BoxSigner) -> Vec<u8> {
    let request = SignRequest { alg: JwsAlgorithm::Rs256, message: MESSAGE.into() };
    signer.clone().oneshot(request).await.unwrap().0.to_vec()
}

/// The time of a signature.
fn time(sign: &dyn Fn()) -> Duration {
    let start = Instant::now();
    sign();
    start.elapsed()
}

/// The median, which an interruption by another process does not change.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A session of this benchmark's own with the key. The signer has initialized the module and logged in already.
fn bare_session() -> (Session, ObjectHandle) {
    let module = Pkcs11::new(MODULE).unwrap();
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let session = module.open_ro_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    let key = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap()[0];
    (session, key)
}
