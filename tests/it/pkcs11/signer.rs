//! `Pkcs11Signer`: signatures equal those of the same key in memory, for each size of key and each mechanism.

use super::own_process::{Token, in_own_process, sign};
use crate::support::hsm::{Hsm, PIN, p11_kit_client, run, softhsm, spy};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_server::signer::pkcs11::{Pkcs11Options, Pkcs11Pin, Pkcs11Signer};
use gce_metadata_server::signer::{JwsAlgorithm, PemSigner, SignRequest};
use std::path::PathBuf;
use tower::{Service, ServiceExt};

/// SoftHSM alone, and behind p11-kit's server.
fn modules() -> [PathBuf; 2] {
    [softhsm(), p11_kit_client()]
}

fn pem_of(size: KeySize) -> String {
    let key = KeyPair::generate(size).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let label = "PRIVATE KEY";
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(pkcs8.as_ref()))
}

/// Asserts that the token and `PemSigner` make equal signatures with the key of this label.
async fn signs_alike(token: &Token, label: &str) {
    let (hsm, memory) =
        (token.open(&format!("pkcs11:object={label}")), PemSigner::from_pem(&token.pem(label)).unwrap());
    assert_eq!(hsm.info(), memory.info());
    for message in ["one", "two", "three"] {
        let request = SignRequest { alg: JwsAlgorithm::Rs256, message: message.to_owned().into() };
        let expected = memory.clone().oneshot(request).await.unwrap().0;
        assert_eq!(sign(&hsm, JwsAlgorithm::Rs256, message).await.unwrap(), expected);
    }
    verifies(&hsm, JwsAlgorithm::Ps256, &RSA_PSS_2048_8192_SHA256).await;
}

/// Asserts that a signature verifies under the public half of the key.
async fn verifies(signer: &Pkcs11Signer, alg: JwsAlgorithm, verification: &'static dyn VerificationAlgorithm) {
    let signature = sign(signer, alg, "message").await.unwrap();
    UnparsedPublicKey::new(verification, signer.public_key()).verify(b"message", &signature).unwrap();
}

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn imported_keys_sign_as_in_memory() {
    for module in modules() {
        let prepare = || {
            let hsm = Hsm::new();
            hsm.import(&pem_of(KeySize::Rsa3072), "long", "02");
            hsm.import(&pem_of(KeySize::Rsa4096), "longest", "03");
            hsm
        };
        in_own_process("pkcs11::signer::imported_keys_sign_as_in_memory", module, prepare, async |token| {
            let _server = token.server();
            for label in ["vm", "long", "longest"] {
                signs_alike(&token, label).await;
            }
        });
    }
}

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn a_token_that_does_not_hash_makes_the_same_signatures() {
    let without = "slots.mechanisms = -CKM_SHA256_RSA_PKCS,CKM_SHA256_RSA_PKCS_PSS";
    let prepare = || Hsm::configured(without);
    let test = "pkcs11::signer::a_token_that_does_not_hash_makes_the_same_signatures";
    in_own_process(test, softhsm(), prepare, async |token| signs_alike(&token, "vm").await);
}

#[test]
#[ignore = "needs SoftHSM, OpenSC and p11-kit, which scripts/test installs"]
fn keys_born_in_the_token_verify_under_their_public_half() {
    for module in modules() {
        let prepare = || {
            let hsm = Hsm::new();
            for (kind, label, id) in
                [("rsa:2048", "rsa", "02"), ("EC:prime256v1", "p256", "03"), ("EC:secp384r1", "p384", "04")]
            {
                hsm.generate(kind, label, id, &[]);
            }
            hsm
        };
        let test = "pkcs11::signer::keys_born_in_the_token_verify_under_their_public_half";
        in_own_process(test, module, prepare, async |token| {
            let _server = token.server();
            let rsa = token.open("pkcs11:token=gce%20token;object=rsa;id=%02");
            verifies(&rsa, JwsAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256).await;
            let p256 = token.open("pkcs11:object=p256");
            verifies(&p256, JwsAlgorithm::Es256, &ECDSA_P256_SHA256_FIXED).await;
            assert_eq!((p256.info().alg, p256.supports(JwsAlgorithm::Rs256)), (JwsAlgorithm::Es256, false));
            verifies(&token.open("pkcs11:id=%04"), JwsAlgorithm::Es384, &ECDSA_P384_SHA384_FIXED).await;
            let error = sign(&p256, JwsAlgorithm::Rs256, "message").await.unwrap_err();
            assert!(error.contains("RS256: the key (elliptic curve P-256) can't sign with it"), "{error}");
            // An error of one signature does not end the signer.
            verifies(&p256, JwsAlgorithm::Es256, &ECDSA_P256_SHA256_FIXED).await;
        });
    }
}

#[test]
#[ignore = "needs SoftHSM, OpenSC, GnuTLS and p11-kit, which scripts/test installs"]
fn unusable_keys_and_tokens_are_errors_with_a_remedy() {
    let prepare = || {
        let hsm = Hsm::new();
        hsm.generate("rsa:2048", "twin", "02", &[]);
        hsm.generate("rsa:2048", "twin", "03", &["--always-auth"]);
        hsm.generate("rsa:1024", "short", "04", &[]);
        hsm.generate("EC:secp521r1", "curve", "05", &[]);
        let mut p11tool = hsm.command("p11tool");
        p11tool.args(["--provider", softhsm().to_str().unwrap(), "--login", "--generate-privkey=rsa", "--bits=2048"]);
        p11tool.args(["--label=decrypt", "--id=06", "--mark-decrypt", "pkcs11:token=gce%20token"]);
        run(p11tool.env("GNUTLS_PIN", PIN));
        let public = hsm.file("vm.pub.der");
        let mut tool = hsm.tool("gce token");
        run(tool.arg("--write-object").arg(public).args(["--type", "pubkey", "--label", "public", "--id", "07"]));
        hsm.add_token("other");
        hsm
    };
    let test = "pkcs11::signer::unusable_keys_and_tokens_are_errors_with_a_remedy";
    in_own_process(test, softhsm(), prepare, async |token| {
        for (uri, text) in [
            ("object=vm", "several tokens fit pkcs11:object=vm: pkcs11:token="),
            ("token=none", "no token fits pkcs11:token=none; the module's tokens are pkcs11:token="),
            ("token=other", "no private key fits pkcs11:token=other; the token has no private key"),
            ("token=gce%20token;object=none", "the token's private keys are pkcs11:object="),
            (
                "token=gce%20token;object=twin",
                "several private keys fit pkcs11:token=gce%20token;object=twin: pkcs11:object=twin;id=",
            ),
            ("token=gce%20token;object=public", "the token has a public key of this name only"),
            ("token=gce%20token;id=%03", "the key wants the PIN before each signature"),
            ("token=gce%20token;object=short", "the key has 1024 bits; Google accepts RSA keys of 2048 bits or more"),
            ("token=gce%20token;object=curve", "neither P-256 nor P-384"),
            ("token=gce%20token;object=decrypt", "the key may not sign (CKA_SIGN is false)"),
        ] {
            let error = token.refused(&format!("pkcs11:{uri}"));
            assert!(error.contains(text), "{uri}: {error}");
        }
        let without_pin = Pkcs11Options { pin: None, ..token.options() };
        let error = Pkcs11Signer::open(token.key("pkcs11:token=gce%20token;object=vm"), without_pin).unwrap_err();
        assert!(error.to_string().contains("needs a PIN: give it with --pkcs11-pin-file"), "{error}");
        let nowhere = Pkcs11Options { pin: Some(Pkcs11Pin::File("nowhere".into())), ..token.options() };
        let error = Pkcs11Signer::open(token.key("pkcs11:token=gce%20token;object=vm"), nowhere).unwrap_err();
        assert!(error.to_string().starts_with("nowhere: No such file"), "{error}");
    });
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn a_wrong_pin_is_tried_once() {
    in_own_process("pkcs11::signer::a_wrong_pin_is_tried_once", spy(), Hsm::new, async |token| {
        let wrong = Pkcs11Options { pin: Some(Pkcs11Pin::Value("98765".into())), ..token.options() };
        for _ in 0..3 {
            let error = Pkcs11Signer::open(token.key("pkcs11:object=vm"), wrong.clone()).unwrap_err().to_string();
            assert!(error.contains("`gce token` refused the PIN; it is not tried again"), "{error}");
            assert!(!error.contains("98765") && !format!("{wrong:?}").contains("98765"), "{error}");
        }
        assert_eq!(spied(&token, "C_Login"), 1);
        // Another PIN is tried, and one login is enough for all keys of the token.
        let (_first, _second) = (token.open("pkcs11:object=vm"), token.open("pkcs11:object=vm"));
        assert_eq!(spied(&token, "C_Initialize"), 4, "a module without keys is finalized");
    });
}

/// The calls of a function of the module.
fn spied(token: &Token, function: &str) -> usize {
    let log = std::fs::read_to_string(token.file("spy.log")).unwrap();
    log.lines().filter(|line| line.split_once(": ").is_some_and(|(_, name)| name.trim() == function)).count()
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn signatures_are_made_in_request_order() {
    in_own_process("pkcs11::signer::signatures_are_made_in_request_order", spy(), Hsm::new, async |token| {
        let signer = token.open("pkcs11:object=vm");
        let callers: Vec<_> = (0..64)
            .map(|number| {
                let signer = signer.clone();
                tokio::spawn(async move { sign(&signer, JwsAlgorithm::Rs256, &format!("message-{number:02}")).await })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap().unwrap();
        }
        let log = std::fs::read_to_string(token.file("spy.log")).unwrap();
        let position = |number| log.find(&format!("message-{number:02}")).unwrap();
        assert!((0..64).map(position).is_sorted());
    });
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn poll_ready_is_pending_while_the_queue_is_full() {
    let test = "pkcs11::signer::poll_ready_is_pending_while_the_queue_is_full";
    in_own_process(test, softhsm(), Hsm::new, async |token| {
        let signer = token.open("pkcs11:object=vm");
        let mut waiting = Vec::new();
        while let Some(ready) = ready(signer.clone()).await {
            waiting.push(ready);
        }
        assert_eq!(waiting.len(), 32);
        // A caller with a reserved place is served, which frees the place.
        let request = SignRequest { alg: JwsAlgorithm::Rs256, message: "message".into() };
        waiting.remove(0).call(request).await.unwrap();
        assert!(ready(signer.clone()).await.is_some());
    });
}

/// Reserves a place in the queue; `None` if the queue is full.
async fn ready(mut signer: Pkcs11Signer) -> Option<Pkcs11Signer> {
    let polled = futures_util::future::poll_fn(|context| std::task::Poll::Ready(signer.poll_ready(context).is_ready()));
    polled.await.then_some(signer)
}
