//! `tpm import`, `generate`, `certify`, `show` and `ek-name` manage keys in a TPM, without tpm2-tools.

use super::file;
use super::key_output::{CertificateArgs, print_fingerprint, print_line};
use super::options::TpmAccess;
use super::output_file::OutputFile;
use super::values::{number, tpm_handle};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use gce_metadata_server::Environment;
use gce_metadata_server::signer::tpm::{
    KeyDescription, NewKey, ProvisionedKey, Provisioner, TpmKey, TpmOptions, TpmParent, describe,
    self_signed_certificate,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file is useless without its TPM; with the TPM, every user who can read the file can use the key.
const PRIVATE: u32 = 0o600;

#[derive(Debug, Subcommand)]
pub(crate) enum Tpm {
    /// Import a service account key into the TPM
    Import {
        /// Service account key, in Google's JSON or in PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,

        #[command(flatten)]
        new: NewKeyArgs,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Generate a key in the TPM, and a certificate of it to upload to the service account
    Generate {
        /// Size of the key in bits, 2048 or 3072
        #[arg(long, default_value_t = 2048, value_parser = number::<u16>)]
        bits: u16,

        #[command(flatten)]
        certificate: CertificateArgs,

        #[command(flatten)]
        new: NewKeyArgs,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Create another certificate of a key
    Certify {
        #[command(flatten)]
        key: KeyArgs,

        #[command(flatten)]
        certificate: CertificateArgs,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Show the public properties of a key
    Show {
        #[command(flatten)]
        key: KeyArgs,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Show the names of the endorsement keys, for --tpm-session-encrypt-with-name
    EkName {
        #[command(flatten)]
        access: TpmAccess,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// File for the key; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Also keep the key in the TPM, at this persistent handle
    #[arg(long, value_name = "HANDLE", value_parser = tpm_handle)]
    persistent: Option<u32>,

    /// Parent of the key: h2 is the owner's primary key, ek the RSA endorsement key
    #[arg(long, default_value = "h2", value_name = "PARENT")]
    parent: Parent,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// File of the key
    #[arg(long, value_name = "FILE", required_unless_present = "persistent")]
    key: Option<PathBuf>,

    /// Persistent handle of the key
    #[arg(long, value_name = "HANDLE", value_parser = tpm_handle, conflicts_with = "key")]
    persistent: Option<u32>,

    /// The parent of the key in the file is the RSA endorsement key
    #[arg(long)]
    use_ek_parent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Parent {
    H2,
    Ek,
}

impl NewKeyArgs {
    fn key(&self, options: &TpmOptions) -> NewKey {
        NewKey {
            parent: match self.parent {
                Parent::H2 => TpmParent::Owner,
                Parent::Ek => TpmParent::Endorsement,
            },
            parent_password: options.parent_password.clone(),
            key_password: options.key_password.clone(),
            pcrs: options.pcrs.clone(),
            persistent: self.persistent,
        }
    }

    /// Writes the key file, and prints how to serve with it.
    fn write(&self, output: OutputFile<'_>, made: &ProvisionedKey) -> anyhow::Result<()> {
        output.write(&made.file)?;
        print_key(&made.description);
        let mut options = format!("--tpm --tpm-key-file {}", self.out.display());
        if let Some(handle) = self.persistent {
            options.push_str(&format!(", or --tpm --persistent-handle {handle:#x}"));
        }
        print_line(&format!("serve with:  {options}"));
        Ok(())
    }
}

impl KeyArgs {
    /// The key that the options name.
    fn locate(&self, options: TpmOptions) -> anyhow::Result<(TpmKey, TpmOptions)> {
        let key = match (&self.key, self.persistent) {
            (Some(path), _) => TpmKey::File(path.clone()),
            (None, Some(handle)) => TpmKey::Persistent(handle),
            (None, None) => bail!("no key is given: add --key or --persistent"),
        };
        Ok((key, TpmOptions { use_ek_parent: self.use_ek_parent, ..options }))
    }
}

impl Tpm {
    pub(super) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Import { key, new, access } => {
                let output = OutputFile::checked(&new.out, PRIVATE)?;
                let options = access.options(environment)?;
                let pem = read_key(key)?;
                let made = Provisioner::new(options.tpm.clone()).import(&pem, &new.key(&options));
                new.write(output, &made.with_context(|| key.display().to_string())?)
            }
            Self::Generate { bits, certificate, new, access } => {
                let output = OutputFile::checked(&new.out, PRIVATE)?;
                if output.is_at(&certificate.cert) {
                    bail!("--out and --cert name the same file: the certificate would overwrite the key");
                }
                let certificate_output = certificate.output()?;
                let options = access.options(environment)?;
                let made = Provisioner::new(options.tpm.clone()).generate(*bits, &new.key(&options))?;
                new.write(output, &made)?;
                let pem = self_signed_certificate(&TpmKey::File(new.out.clone()), &options, &certificate.name);
                let certified = pem.map_err(Into::into).and_then(|pem| certificate.write(certificate_output, &pem));
                certified.with_context(|| {
                    let (key, cert) = (new.out.display(), certificate.cert.display());
                    format!("the key is created, but not its certificate; `tpm certify --key {key} --cert {cert}` creates it")
                })
            }
            Self::Certify { key, certificate, access } => {
                let output = certificate.output()?;
                let (key, options) = key.locate(access.options(environment)?)?;
                certificate.write(output, &self_signed_certificate(&key, &options, &certificate.name)?)
            }
            Self::Show { key, access } => {
                let (key, options) = key.locate(access.options(environment)?)?;
                print_key(&describe(&key, &options)?);
                Ok(())
            }
            Self::EkName { access } => {
                if let Some(warning) = access.without_key() {
                    let _ = writeln!(std::io::stderr(), "warning: {warning}");
                }
                let options = access.options(environment)?;
                let names = Provisioner::new(options.tpm).endorsement_names(options.parent_password.as_ref())?;
                for (kind, name) in names {
                    print_line(&format!("{kind}: {name}"));
                }
                Ok(())
            }
        }
    }
}

/// Reads a private key in PEM: the file itself, or `private_key` of a service account's JSON.
fn read_key(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = file::read(path).with_context(|| path.display().to_string())?;
    if !text.trim_start().starts_with('{') {
        return Ok(text);
    }
    // The error of serde_json is dropped, because it could quote the key.
    let json = serde_json::from_str::<serde_json::Value>(&text).ok();
    let key = json.and_then(|mut json| match json["private_key"].take() {
        serde_json::Value::String(key) => Some(Zeroizing::new(key)),
        _ => None,
    });
    key.with_context(|| format!("{}: not a service account key: `private_key` is missing", path.display()))
}

/// Prints the public properties of a key.
fn print_key(shown: &KeyDescription) {
    let padding = if shown.signs_pss { "PKCS#1 v1.5 and PSS" } else { "PKCS#1 v1.5" };
    print_line(&format!("key:         RSA, {} bits, {padding}", shown.bits));
    print_fingerprint(&shown.spki_sha256);
    print_line(&format!("name:        {}", shown.name));
    print_line(&format!("policy:      {}", shown.policy.as_deref().unwrap_or("none")));
    print_line(shown.public_key.trim_end());
}
