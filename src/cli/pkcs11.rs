//! `pkcs11 show` and `certify` describe the keys in PKCS#11 tokens. Keys are made by other tools, such as pkcs11-tool.

use super::key_output::{CertificateArgs, print_fingerprint, print_line};
use super::options::Pkcs11Access;
use super::shell::single_quoted;
use anyhow::Context;
use clap::Subcommand;
use gce_metadata_server::Environment;
use gce_metadata_server::signer::JwsAlgorithm;
use gce_metadata_server::signer::pkcs11::{
    KeyDescription, Pkcs11Key, TokenDescription, describe, self_signed_certificate,
};
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(crate) enum Pkcs11 {
    /// Show the tokens of a module, and the keys in a token
    Show {
        /// The tokens or keys to show, such as pkcs11:token=LABEL [default: all]
        #[arg(long, value_name = "URI", default_value = "pkcs11:", hide_default_value = true)]
        pkcs11_uri: String,

        #[command(flatten)]
        access: Pkcs11Access,
    },

    /// Create a certificate of an RSA key, to upload to the service account
    Certify {
        /// The key: pkcs11:token=LABEL;object=LABEL;id=%01 (RFC 7512)
        #[arg(long, value_name = "URI")]
        pkcs11_uri: String,

        #[command(flatten)]
        access: Pkcs11Access,

        #[command(flatten)]
        certificate: CertificateArgs,
    },
}

impl Pkcs11 {
    pub(super) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Show { pkcs11_uri, access } => {
                let (uri, options) = (access.uri(pkcs11_uri)?, access.options(environment));
                let module = uri.module_path().map(ToOwned::to_owned);
                let module = access.pkcs11_module.clone().or(module);
                let module = module.context("no module is given: add --pkcs11-module, or module-path to the URI")?;
                for (number, token) in describe(&module, &uri, &options)?.iter().enumerate() {
                    if number > 0 {
                        print_line("");
                    }
                    print_token(&module, token);
                }
                Ok(())
            }
            Self::Certify { pkcs11_uri, access, certificate } => {
                let output = certificate.output()?;
                let key = Pkcs11Key::new(access.pkcs11_module.clone(), access.uri(pkcs11_uri)?)?;
                let pem = self_signed_certificate(&key, &access.options(environment), &certificate.name)?;
                certificate.write(output, &pem)
            }
        }
    }
}

fn print_token(module: &Path, token: &TokenDescription) {
    print_line(&format!("token:       {}", token.uri));
    print_line(&format!("model:       {}, slot {}", token.model, token.slot));
    if !token.is_logged_in {
        print_line("keys:        visible with the PIN of the token; name one token if there are several");
    } else if token.keys.is_empty() {
        print_line("keys:        no private key");
    }
    for key in &token.keys {
        print_line("");
        print_key(module, key);
    }
}

fn print_key(module: &Path, key: &KeyDescription) {
    print_line(&format!("key:         {}", key.kind.as_deref().unwrap_or("of an unknown type")));
    print_line(&format!("uri:         {}", key.uri));
    if let Some(spki_sha256) = &key.spki_sha256 {
        print_fingerprint(spki_sha256);
    }
    let away = if key.is_extractable { "can be exported" } else { "can't be exported" };
    let usages = if key.usages.is_empty() { "nothing".to_owned() } else { key.usages.join(", ") };
    print_line(&format!("may:         {usages}; {away}"));
    match &key.algorithms {
        Ok(algorithms) => {
            let names: Vec<_> = algorithms.iter().map(ToString::to_string).collect();
            print_line(&format!("signs:       {}", names.join(", ")));
        }
        Err(problem) => print_line(&format!("signs:       no: {problem}")),
    }
    if key.algorithms.as_ref().is_ok_and(|algorithms| algorithms.contains(&JwsAlgorithm::Rs256)) {
        let (module, uri) = (module.display().to_string(), key.uri.to_string());
        print_line(&format!(
            "serve with:  --pkcs11-module {} --pkcs11-uri {}",
            single_quoted(&module),
            single_quoted(&uri)
        ));
    }
    if let Some(public_key) = &key.public_key {
        print_line(public_key.trim_end());
    }
}
