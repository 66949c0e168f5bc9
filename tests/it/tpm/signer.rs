//! `TpmSigner`: signatures equal those of the same key in memory, for each kind of key, password and policy.

use crate::support::eventually;
use crate::support::swtpm::{Key, Swtpm};
use aws_lc_rs::digest::{SHA256, digest};
use gce_metadata_server::signer::tpm::{TpmError, TpmKey, TpmSigner};
use gce_metadata_server::signer::{JwsAlgorithm, PemSigner, SignRequest};
use tower::{Service, ServiceExt};

fn request(message: &str) -> SignRequest {
    SignRequest { alg: JwsAlgorithm::Rs256, message: message.to_owned().into() }
}

pub(super) async fn sign(signer: &TpmSigner, message: &str) -> Result<Vec<u8>, String> {
    let signed = signer.clone().boxed().oneshot(request(message)).await;
    signed.map(|it| it.0.to_vec()).map_err(|error| error.to_string())
}

/// Asserts that the TPM and `PemSigner` make equal signatures with the same key.
pub(super) async fn signs_alike(tpm: &Swtpm, key: Key) {
    let (chip, memory) = (open(key), PemSigner::from_pem(&tpm.pem).unwrap());
    assert_eq!(chip.info(), memory.info());
    // Several messages, because sessions and policies are reused.
    for message in ["one", "two", "three"] {
        let expected = memory.clone().oneshot(request(message)).await.unwrap().0;
        assert_eq!(sign(&chip, message).await.unwrap(), expected);
    }
}

pub(super) fn open(key: Key) -> TpmSigner {
    TpmSigner::open(key.key, key.options).unwrap()
}

fn refused(key: Key) -> TpmError {
    TpmSigner::open(key.key, key.options).map(|_| ()).unwrap_err()
}

/// The name of the RSA endorsement key, by the commands from the Go emulator's documentation.
fn endorsement_name(tpm: &Swtpm) -> Vec<u8> {
    tpm.run("tpm2_createek -Q -c ek.ctx -G rsa -u ek.pub");
    tpm.run("tpm2_readpublic -Q -c ek.ctx -n ek.name");
    tpm.run("tpm2_flushcontext -t");
    std::fs::read(tpm.file("ek.name")).unwrap()
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn keys_imported_by_tpm2_tools_sign() {
    let tpm = Swtpm::with(&["persistent", "password", "pcr", "banks", "ek"]);
    signs_alike(&tpm, tpm.key("private.pem")).await;
    signs_alike(&tpm, tpm.at(TpmKey::Persistent(0x8101_0002))).await;
    signs_alike(&tpm, tpm.key("private-password.pem").password("pass1")).await;
    signs_alike(&tpm, tpm.key("private-pcr.pem").pcrs("23")).await;
    let banks = "sha1:16+sha256:23";
    signs_alike(&tpm, tpm.key("private-banks.pem").pcrs(banks)).await;
    signs_alike(&tpm, tpm.key("private-ek.pem").below_endorsement_key()).await;
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn duplicated_keys_below_the_endorsement_key_sign() {
    let tpm = Swtpm::with(&["sent-password", "sent-pcr"]);
    for file in ["sent-password.pem", "importable-password.pem"] {
        let options = tpm.key(file).password("bar");
        signs_alike(&tpm, options.below_endorsement_key()).await;
    }
    for file in ["sent-pcr.pem", "importable-pcr.pem"] {
        let options = tpm.key(file).pcrs("sha256:23");
        signs_alike(&tpm, options.below_endorsement_key()).await;
    }
    signs_alike(&tpm, tpm.at(TpmKey::Persistent(0x8100_8001)).password("bar")).await;
    signs_alike(&tpm, tpm.at(TpmKey::Persistent(0x8100_8002)).pcrs("23")).await;
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn the_parents_password_and_the_owner_password_are_used() {
    let tpm = Swtpm::with(&["parent", "owner"]);
    let below = tpm.key("private-below.pem");
    signs_alike(&tpm, below.clone().with(|it| it.parent_password = Some("parent".into()))).await;
    assert!(matches!(refused(below), TpmError::WrongPassword { of: "parent" }));

    // The owner hierarchy has a password; the endorsement hierarchy, which the encrypted session uses, has none.
    let name = Some(endorsement_name(&tpm));
    let owned = tpm.key("private-owner.pem").with(|it| it.encrypt_with_name = name);
    signs_alike(&tpm, owned.clone().with(|it| it.parent_password = Some("owner".into()))).await;
    let error = refused(owned).to_string();
    assert!(error.starts_with("wrong password of the parent's hierarchy"), "{error}");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn encrypted_sessions_use_the_endorsement_key_of_the_given_name() {
    let tpm = Swtpm::with(&["password", "pcr", "plain"]);
    let name = Some(endorsement_name(&tpm));
    signs_alike(&tpm, tpm.key("private.pem").with(|it| it.encrypt_with_name = name.clone())).await;
    let options = tpm.key("private-password.pem").password("pass1");
    signs_alike(&tpm, options.with(|it| it.encrypt_with_name = name.clone())).await;
    let options = tpm.key("private-pcr.pem").pcrs("23");
    signs_alike(&tpm, options.with(|it| it.encrypt_with_name = name)).await;
    let other = refused(tpm.key("private.pem").with(|it| it.encrypt_with_name = Some(vec![0, 11, 1])));
    assert!(other.to_string().contains("not 000b01: this is another TPM"), "{other}");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn passwords_are_not_sent_in_the_clear_and_encrypted_sessions_hide_the_digest() {
    let tpm = Swtpm::with(&["password"]);
    let name = endorsement_name(&tpm);
    let (address, tap) = tpm.tapped();
    let options = tpm.key("private-password.pem").password("pass1");
    let options = options.with(|it| it.tpm = address);
    let encrypted = options.clone().with(|it| it.encrypt_with_name = Some(name));
    sign(&open(encrypted), "message").await.unwrap();
    let hash = digest(&SHA256, b"message");
    assert!(!tap.has_seen(hash.as_ref()));
    sign(&open(options), "message").await.unwrap();
    assert!(tap.has_seen(hash.as_ref()), "the tap works");
    assert!(!tap.has_seen(b"pass1"));
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn keys_generated_by_the_tpm_sign() {
    let tpm = Swtpm::with(&["generated", "openssl"]);
    for (key, length) in [
        (tpm.key("private-generated.pem"), 384),
        (tpm.key("private-openssl.pem"), 256),
        (tpm.key("private-openssl-password.pem").password("pass1"), 256),
    ] {
        let signer = open(key);
        let signature = sign(&signer, "message").await.unwrap();
        assert_eq!(signature.len(), length);
        std::fs::write(tpm.file("public.der"), signer.public_key()).unwrap();
        std::fs::write(tpm.file("message"), "message").unwrap();
        std::fs::write(tpm.file("signature"), signature).unwrap();
        let checked = tpm.run("openssl dgst -sha256 -verify public.der -signature signature message");
        assert_eq!(checked.trim(), "Verified OK");
    }
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn unusable_keys_are_refused_with_a_reason() {
    let tpm = Swtpm::with(&["plain", "pcr", "restricted", "decrypt", "ecc", "ek", "sent-password"]);
    let assert_refused = |key: Key, text: &str| {
        let error = refused(key).to_string();
        assert!(error.contains(text), "{error}: should contain {text}");
    };
    assert_refused(tpm.key("private-restricted.pem"), "restricted");
    assert_refused(tpm.key("private-decrypt.pem"), "it is a decryption key");
    assert_refused(tpm.key("private-ecc.pem"), "not an RSA key");
    assert_refused(tpm.key("rsa.pem"), "no key of a TPM in PEM (TSS2 PRIVATE KEY) found");
    assert_refused(tpm.key("nowhere.pem"), "nowhere.pem: No such file");
    assert_refused(tpm.key("private-ek.pem"), "--use-ek-parent");
    assert_refused(tpm.at(TpmKey::Persistent(0x8101_0009)), "no key at the persistent handle 0x81010009");
    // The policy needs PCRs, and the options have none.
    assert_refused(tpm.key("private-pcr.pem"), "--pcrs");
    let registers = tpm.key("private-pcr.pem").pcrs("22");
    assert_refused(registers, "while sha256:22 is ffffffff");
    let other = Swtpm::with(&[]);
    let of_another = other.at(TpmKey::File(tpm.file("private.pem")));
    assert_refused(of_another, "it was made by another TPM");
    assert_refused(tpm.key("private.pem").with(|it| it.tpm = "/nowhere/tpm".parse().unwrap()), "no TPM at ");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn a_wrong_password_is_tried_once() {
    let tpm = Swtpm::with(&["password"]);
    let failures = |tpm: &Swtpm| {
        let text = tpm.run("tpm2_getcap properties-variable");
        text.lines().find_map(|line| line.strip_prefix("TPM2_PT_LOCKOUT_COUNTER: ")).unwrap().to_owned()
    };
    assert_eq!(failures(&tpm), "0x0");
    let signer = open(tpm.key("private-password.pem").password("wrong"));
    for _ in 0..5 {
        let error = sign(&signer, "message").await.unwrap_err();
        assert!(error.contains("wrong password of the key; it is not tried again"), "{error}");
    }
    drop(signer);
    assert_eq!(failures(&tpm), "0x1");
    // After too many failures the TPM is locked and refuses the right password too.
    tpm.run("tpm2_dictionarylockout -s -n 1 -t 600 -l 600");
    let signer = open(tpm.key("private-password.pem").password("pass1"));
    let error = sign(&signer, "message").await.unwrap_err();
    assert!(error.contains("the TPM is locked") && error.contains("in at most 600 seconds"), "{error}");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn a_missing_password_is_an_error_that_names_the_option() {
    let tpm = Swtpm::with(&["password"]);
    let signer = open(tpm.key("private-password.pem"));
    for _ in 0..5 {
        let error = sign(&signer, "message").await.unwrap_err();
        assert!(error.contains("the key needs a password: give it with --key-pass-file"), "{error}");
    }
    drop(signer);
    let text = tpm.run("tpm2_getcap properties-variable");
    assert!(text.contains("TPM2_PT_LOCKOUT_COUNTER: 0x1\n"), "tried once: {text}");
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn changed_pcrs_make_the_key_unusable() {
    let tpm = Swtpm::with(&["pcr"]);
    let options = tpm.key("private-pcr.pem").pcrs("23");
    let signer = open(options.clone());
    sign(&signer, "message").await.unwrap();
    tpm.run(&format!("tpm2_pcrextend 23:sha256={}", "01".repeat(32)));
    let in_use = sign(&signer, "message").await.unwrap_err();
    drop(signer);
    let value = tpm.run("tpm2_pcrread sha256:23").to_lowercase();
    let (_, value) = value.trim().rsplit_once("0x").unwrap();
    for error in [in_use, refused(options).to_string()] {
        assert!(error.contains(&format!("while sha256:23 is {value}")), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn the_key_is_reopened_after_the_tpm_restarts() {
    let mut tpm = Swtpm::with(&["plain", "pcr"]);
    let options = tpm.key("private-pcr.pem").pcrs("23");
    let signer = open(options);
    let before = sign(&signer, "message").await.unwrap();
    tpm.kill();
    let error = sign(&signer, "message").await.unwrap_err();
    assert!(error.contains("no TPM at "), "{error}");
    tpm.restart();
    assert_eq!(sign(&signer, "message").await.unwrap(), before);
    tpm.kill();
    tpm.restart();
    assert_eq!(sign(&signer, "message").await.unwrap(), before);
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn the_key_is_reopened_after_the_tpm_dies_during_a_signature() {
    let mut tpm = Swtpm::with(&["plain"]);
    let (address, tap) = tpm.tapped();
    let signer = open(tpm.key("private.pem").with(|it| it.tpm = address));
    let before = sign(&signer, "message").await.unwrap();
    tpm.stop_answering();
    let under_way = tokio::spawn({
        let signer = signer.clone();
        async move { sign(&signer, "another").await }
    });
    let asked = digest(&SHA256, b"another");
    eventually("the TPM has received the command", async || tap.has_seen(asked.as_ref())).await;
    tpm.kill();
    under_way.await.unwrap().unwrap_err();
    tpm.restart();
    assert_eq!(sign(&signer, "message").await.unwrap(), before);
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn signatures_are_made_in_request_order() {
    let tpm = Swtpm::with(&["plain"]);
    let (address, tap) = tpm.tapped();
    let signer = open(tpm.key("private.pem").with(|it| it.tpm = address));
    let callers: Vec<_> = (0..64)
        .map(|number| {
            let signer = signer.clone();
            tokio::spawn(async move { sign(&signer, &number.to_string()).await.unwrap() })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let position = |number: i32| tap.position(digest(&SHA256, number.to_string().as_bytes()).as_ref()).unwrap();
    assert!((0..64).map(position).is_sorted());
}

#[tokio::test]
#[ignore = "needs swtpm and tpm2-tools, which scripts/test installs"]
async fn poll_ready_is_pending_while_the_queue_is_full() {
    let tpm = Swtpm::with(&["plain"]);
    let signer = open(tpm.key("private.pem"));
    // Reserves every place in the queue without using it.
    let mut waiting = Vec::new();
    loop {
        let mut caller = ready(signer.clone()).await;
        match caller.take() {
            Some(ready) => waiting.push(ready),
            None => break,
        }
    }
    assert_eq!(waiting.len(), 32);
    // A caller with a reserved place is served, which frees the place.
    let mut first = waiting.remove(0);
    first.call(request("message")).await.unwrap();
    assert!(ready(signer.clone()).await.is_some());
}

/// Reserves a place in the queue; `None` if the queue is full.
async fn ready(mut signer: TpmSigner) -> Option<TpmSigner> {
    let polled = futures_util::future::poll_fn(|context| std::task::Poll::Ready(signer.poll_ready(context).is_ready()));
    polled.await.then_some(signer)
}
