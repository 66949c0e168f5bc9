//! A second module with keys of its own: tpm2-pkcs11, whose keys are in a TPM.

use super::own_process::{in_this_process, own_folder, sign, test_command};
use crate::support::hsm::{PIN, run, tpm2_pkcs11};
use crate::support::repository;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use gce_metadata_server::signer::JwsAlgorithm::Rs256;
use tempfile::TempDir;

#[test]
#[ignore = "needs swtpm, tpm2-abrmd, tpm2-pkcs11 and dbus, which scripts/test installs"]
fn a_key_of_tpm2_pkcs11_signs() {
    if own_folder().is_none() {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("pin"), PIN).unwrap();
        let program = std::env::current_exe().unwrap();
        let script = repository("tests/pkcs11/tpm2.sh");
        let path = folder.path().to_str().unwrap();
        let before = ["--", script.to_str().unwrap(), path, program.to_str().unwrap()];
        let test = "pkcs11::tpm2::a_key_of_tpm2_pkcs11_signs";
        let printed = run(&mut test_command("dbus-run-session", &before, test, folder.path()));
        assert!(printed.contains("1 passed"), "{printed}");
        return;
    }
    in_this_process(tpm2_pkcs11(), async |token| {
        let signer = token.open("pkcs11:token=gce%20token;object=born");
        for message in ["one", "two"] {
            let signature = sign(&signer, Rs256, message).await.unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, signer.public_key());
            public.verify(message.as_bytes(), &signature).unwrap();
        }
        let error = token.refused("pkcs11:token=gce%20token;object=none");
        assert!(error.contains("the token's private keys are pkcs11:object=born"), "{error}");
    });
}
