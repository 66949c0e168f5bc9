//! The commands `pkcs11 show` and `pkcs11 certify`.

use crate::support::hsm::{Hsm, PIN, run, softhsm};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_server::signer::PemSigner;
use std::process::{Command, Output};

fn command(hsm: &Hsm, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.env_clear();
    hsm.expose_to(&mut command);
    command.arg("pkcs11").args(line.split(' ')).arg("--pkcs11-module").arg(softhsm()).current_dir(hsm.path());
    command
}

fn refused(hsm: &Hsm, line: &str) -> String {
    let Output { status, stderr, .. } = command(hsm, line).output().unwrap();
    assert_eq!(status.code(), Some(1), "{line}");
    String::from_utf8(stderr).unwrap()
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn pkcs11_show_describes_tokens_and_keys() {
    let hsm = Hsm::new();
    let shown = run(&mut command(&hsm, "show"));
    assert!(shown.starts_with("token:       pkcs11:token=gce%20token;serial="), "{shown}");
    assert!(shown.contains("keys:        visible with the PIN of the token"), "{shown}");

    let fingerprint = PemSigner::from_pem(&hsm.pem).unwrap().info().spki_sha256;
    let uri = "pkcs11:token=gce%20token?pin-source=file:pin";
    for shown in [
        run(&mut command(&hsm, "show --pkcs11-pin-file pin")),
        run(&mut command(&hsm, &format!("show --pkcs11-uri {uri}"))),
        run(command(&hsm, "show").env("GCE_METADATA_PKCS11_PIN", PIN)),
    ] {
        assert!(shown.contains(&format!("fingerprint: {}\n", BASE64_STANDARD.encode(fingerprint))), "{shown}");
        assert!(shown.contains("key:         RSA, 2048 bits\n") && shown.contains(";object=vm;id=%01\n"), "{shown}");
        assert!(shown.contains("\nsigns:       RS256, PS256\n") && shown.contains("can't be exported"), "{shown}");
        assert!(shown.contains("\n-----BEGIN PUBLIC KEY-----\n") && !shown.contains(PIN), "{shown}");
        assert!(
            shown.contains("\nserve with:  --pkcs11-module '/usr/lib/softhsm/libsofthsm2.so' --pkcs11-uri 'pkcs11:")
        );
    }

    // The PIN is not tried on several tokens: for all but one of them it would be a wrong PIN.
    hsm.add_token("other");
    let shown = run(&mut command(&hsm, "show --pkcs11-pin-file pin"));
    assert_eq!(shown.matches("visible with the PIN of the token").count(), 2, "{shown}");
    let shown = run(&mut command(&hsm, "show --pkcs11-pin-file pin --pkcs11-uri pkcs11:token=other"));
    assert!(shown.ends_with("keys:        no private key\n"), "{shown}");
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn pkcs11_certify_makes_a_certificate_of_the_key() {
    let hsm = Hsm::new();
    hsm.generate("EC:prime256v1", "ec", "02", &[]);
    let certify = "certify --pkcs11-pin-file pin --pkcs11-uri";
    let printed = run(&mut command(&hsm, &format!("{certify} pkcs11:object=vm --cert vm.crt --name made-up")));
    assert!(printed.contains("keys upload vm.crt --iam-account EMAIL"), "{printed}");
    let openssl = |line: &str| run(hsm.command("openssl").args(line.split(' ')));
    assert_eq!(openssl("verify -CAfile vm.crt vm.crt").trim(), "vm.crt: OK");
    assert!(openssl("x509 -in vm.crt -noout -subject").contains("made-up"));
    let public = openssl("pkey -pubin -inform DER -in vm.pub.der");
    assert_eq!(openssl("x509 -in vm.crt -noout -pubkey"), public);

    let again = refused(&hsm, &format!("{certify} pkcs11:object=vm --cert vm.crt"));
    assert!(again.contains("vm.crt already exists"), "{again}");
    let error = refused(&hsm, &format!("{certify} pkcs11:object=ec --cert ec.crt"));
    assert!(error.contains("RS256: the key (elliptic curve P-256) can't sign with it"), "{error}");
    assert!(!hsm.file("ec.crt").exists());
}

#[test]
#[ignore = "needs SoftHSM and OpenSC, which scripts/test installs"]
fn a_pin_in_a_uri_is_refused_and_not_quoted() {
    let hsm = Hsm::new();
    for line in ["show --pkcs11-uri pkcs11:?pin-value=98765", "certify --cert c --pkcs11-uri pkcs11:pin-value=98765"] {
        let error = refused(&hsm, line);
        assert!(error.contains("pin-value would show the PIN in the list of processes: "), "{error}");
        assert!(!error.contains("98765"), "{error}");
    }
    let both = refused(&hsm, "show --pkcs11-pin-file pin --pkcs11-uri pkcs11:?pin-source=file:pin");
    assert!(both.contains("exclude each other: give one of them"), "{both}");
}
