//! Compares a signature by [`TpmSigner`] with the bare tpm2-tss call on the same TPM: the difference is the cost of the
//! queue to the thread that owns the TPM. Needs swtpm and tpm2-tools.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use aws_lc_rs::digest::{SHA256, digest};
use criterion::{Criterion, criterion_group, criterion_main};
use gce_metadata_signer::tpm::{TpmKey, TpmOptions, TpmSigner};
use gce_metadata_signer::{JwsAlgorithm, SignRequest};
use std::hint::black_box;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, HashScheme, HashcheckTicket, SignatureScheme};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

const HANDLE: u32 = 0x8101_0002;
const MESSAGE: &[u8] = &[b'x'; 600];
const MAX_ATTEMPTS: usize = 16;

/// A swtpm process with a key at [`HANDLE`]; killed when dropped.
struct Swtpm {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Swtpm {
    fn start() -> Self {
        (0..MAX_ATTEMPTS).find_map(|_| Self::start_once()).expect("swtpm exits each time")
    }

    /// Returns `None` if swtpm exits, because another process took one of its two consecutive ports.
    fn start_once() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tcp = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
        let mut child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--server", &tcp(port)])
            .args(["--ctrl", &tcp(port + 1), "--tpmstate", &format!("dir={}", folder.path().display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("swtpm:host=127.0.0.1,port={port}");
        let succeeds = |line: &str| {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap());
            let command = command.args(words).current_dir(folder.path()).env("TPM2TOOLS_TCTI", &address);
            command.env("TSS2_LOG", "all+none").output().unwrap().status.success()
        };
        while !succeeds("tpm2_flushcontext -t") {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        for line in [
            "tpm2_createprimary -Q -C o -G ecc -c primary.ctx",
            "tpm2_flushcontext -t",
            "tpm2_create -Q -C primary.ctx -G rsa2048:rsassa:null -g sha256 -u k.pub -r k.prv",
            "tpm2_flushcontext -t",
            "tpm2_load -Q -C primary.ctx -u k.pub -r k.prv -c k.ctx",
            "tpm2_evictcontrol -Q -C o -c k.ctx 0x81010002",
            "tpm2_flushcontext -t",
        ] {
            assert!(succeeds(line), "{line}");
        }
        Some(Self { child, address, _folder: folder })
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bare(criterion: &mut Criterion, tpm: &Swtpm) {
    let mut context = tss_esapi::Context::new(tpm.address.parse().unwrap()).unwrap();
    let handle = TpmHandle::Persistent(PersistentTpmHandle::new(HANDLE).unwrap());
    let key: KeyHandle = context.tr_from_tpm_public(handle).unwrap().into();
    context.set_sessions((Some(AuthSession::Password), None, None));
    criterion.bench_function("tpm/bare call", |bencher| {
        bencher.iter(|| {
            let digest = Digest::try_from(digest(&SHA256, MESSAGE).as_ref()).unwrap();
            let scheme = SignatureScheme::RsaSsa { hash_scheme: HashScheme::new(HashingAlgorithm::Sha256) };
            let ticket =
                TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
            black_box(context.sign(key, digest, scheme, HashcheckTicket::try_from(ticket).unwrap()).unwrap())
        });
    });
}

fn tpm(criterion: &mut Criterion) {
    let (tpm, runtime) = (Swtpm::start(), Runtime::new().unwrap());
    bare(criterion, &tpm);
    let options = TpmOptions { tpm: tpm.address.parse().unwrap(), ..TpmOptions::default() };
    let signer = TpmSigner::open(TpmKey::Persistent(HANDLE), options).unwrap().boxed();
    let sign = || {
        let signer = signer.clone();
        async move { signer.oneshot(SignRequest { alg: JwsAlgorithm::Rs256, message: MESSAGE.into() }).await.unwrap() }
    };
    criterion.bench_function("tpm/signer", |bencher| bencher.iter(|| runtime.block_on(sign())));
    criterion.bench_function("tpm/64 callers", |bencher| {
        bencher.iter(|| runtime.block_on(futures_util::future::join_all((0..64).map(|_| sign()))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = tpm
}
criterion_main!(benches);
