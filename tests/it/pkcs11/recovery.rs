//! `Pkcs11Signer` logs in again after a token was removed or restarted, and a module that hangs delays only its own keys.

use super::own_process::{in_own_process, in_own_process_with, sign};
use crate::support::eventually;
use crate::support::hsm::{Hsm, P11Kit, p11_kit_client};
use gce_metadata_server::signer::JwsAlgorithm::Rs256;

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn the_key_is_opened_again_after_the_token_restarts() {
    let test = "pkcs11::recovery::the_key_is_opened_again_after_the_token_restarts";
    in_own_process(test, p11_kit_client(), Hsm::new, async |token| {
        let mut server = P11Kit::start(&token.file(""));
        let signer = token.open("pkcs11:object=vm");
        let before = sign(&signer, Rs256, "message").await.unwrap();
        server.kill();
        let server = P11Kit::start(&token.file(""));
        assert_eq!(sign(&signer, Rs256, "message").await.unwrap(), before);

        // A token that is away for longer is an error, until it has come back.
        drop(server);
        std::fs::remove_file(token.file("p11-kit.sock")).unwrap();
        let error = sign(&signer, Rs256, "message").await.unwrap_err();
        assert!(error.contains("no token fits pkcs11:object=vm; the module has no token"), "{error}");
        let _server = P11Kit::start(&token.file(""));
        eventually("the signer has logged in again", async || {
            sign(&signer, Rs256, "message").await.as_ref() == Ok(&before)
        })
        .await;
    });
}

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn keys_of_one_module_survive_its_restart_for_another_key() {
    let test = "pkcs11::recovery::keys_of_one_module_survive_its_restart_for_another_key";
    in_own_process(test, p11_kit_client(), Hsm::new, async |token| {
        let mut server = P11Kit::start(&token.file(""));
        let (one, other) = (token.open("pkcs11:object=vm"), token.open("pkcs11:object=vm"));
        let before = sign(&other, Rs256, "message").await.unwrap();
        server.kill();
        let _server = P11Kit::start(&token.file(""));
        // The first key restarts the module, which ends the sessions of all keys.
        for signer in [&one, &other, &one] {
            assert_eq!(sign(signer, Rs256, "message").await.unwrap(), before);
        }
        drop(one);
        assert_eq!(sign(&other, Rs256, "message").await.unwrap(), before);
    });
}

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn a_signature_in_a_hung_module_times_out() {
    let test = "pkcs11::recovery::a_signature_in_a_hung_module_times_out";
    // The clock is paused: the time-out has passed as soon as nothing but the token is waited for.
    in_own_process_with(test, p11_kit_client(), Hsm::new, true, async |token| {
        let server = P11Kit::start(&token.file(""));
        let signer = token.open("pkcs11:object=vm");
        server.stop_answering();
        let error = sign(&signer, Rs256, "message").await.unwrap_err();
        assert_eq!(error, "signing failed: the PKCS#11 token did not sign within 10 seconds");
    });
}
