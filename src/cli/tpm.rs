//! `tpm import`, `generate`, `certify`, `show`, `ek-name`: keys for a TPM without any other tool.

mod output_file;

use super::file;
use super::options::TpmAccess;
use super::values::tpm_handle;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use gce_metadata_server::Environment;
use gce_metadata_server::signer::tpm::{
    KeyDescription, NewKey, ProvisionedKey, Provisioner, TpmKey, TpmOptions, TpmParent, describe,
    self_signed_certificate,
};
use output_file::OutputFile;
use std::io::Write;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file is useless without its TPM; with the TPM, every user who can read the file can use the key.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

#[derive(Debug, Subcommand)]
pub(crate) enum Tpm {
    /// Put a service account's key into the TPM
    Import {
        /// The key, in Google's JSON or in PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,

        #[command(flatten)]
        new: New,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Have the TPM make a key, and a certificate of it to be uploaded to the service account
    Generate {
        /// 2048 or 3072
        #[arg(long, default_value_t = 2048)]
        bits: u16,

        #[command(flatten)]
        certificate: Certificate,

        #[command(flatten)]
        new: New,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Make another certificate of a key
    Certify {
        #[command(flatten)]
        which: Which,

        #[command(flatten)]
        certificate: Certificate,

        #[command(flatten)]
        access: TpmAccess,
    },

    /// Show what anyone may know of a key
    Show {
        #[command(flatten)]
        which: Which,

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
pub(crate) struct New {
    /// Where the key's file goes to; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Keep the key in the TPM as well, at this handle
    #[arg(long, value_name = "HANDLE", value_parser = tpm_handle)]
    persistent: Option<u32>,

    /// Under which key it is kept: h2 is the owner's primary, ek the RSA endorsement key
    #[arg(long, default_value = "h2", value_name = "PARENT")]
    parent: Parent,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The key's file
    #[arg(long, value_name = "FILE", required_unless_present = "persistent")]
    key: Option<PathBuf>,

    /// The key's persistent handle
    #[arg(long, value_name = "HANDLE", value_parser = tpm_handle, conflicts_with = "key")]
    persistent: Option<u32>,

    /// The file's key is a child of the RSA endorsement key
    #[arg(long)]
    use_ek_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Certificate {
    /// Where the certificate goes to; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,

    /// The name in the certificate
    #[arg(long, default_value = "gce-metadata-server", value_name = "NAME")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Parent {
    H2,
    Ek,
}

impl New {
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

    fn done(&self, output: OutputFile<'_>, made: &ProvisionedKey) -> anyhow::Result<()> {
        output.write(&made.file)?;
        print(&made.description);
        let mut how = format!("--tpm --tpm-key-file {}", self.out.display());
        if let Some(handle) = self.persistent {
            how.push_str(&format!(", or --tpm --persistent-handle {handle:#x}"));
        }
        say(&format!("serve with:  {how}"));
        Ok(())
    }
}

impl Which {
    fn of(&self, options: TpmOptions) -> anyhow::Result<(TpmKey, TpmOptions)> {
        let key = match (&self.key, self.persistent) {
            (Some(path), _) => TpmKey::File(path.clone()),
            (None, Some(handle)) => TpmKey::Persistent(handle),
            (None, None) => bail!("which key? Give --key or --persistent"),
        };
        Ok((key, TpmOptions { use_ek_parent: self.use_ek_parent, ..options }))
    }
}

impl Certificate {
    fn done(&self, output: OutputFile<'_>, key: &TpmKey, options: &TpmOptions) -> anyhow::Result<()> {
        output.write(&self_signed_certificate(key, options, &self.name)?)?;
        let cert = self.cert.display();
        say(&format!("upload with: gcloud iam service-accounts keys upload {cert} --iam-account EMAIL"));
        Ok(())
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
                new.done(output, &made.with_context(|| key.display().to_string())?)
            }
            Self::Generate { bits, certificate, new, access } => {
                let output = OutputFile::checked(&new.out, PRIVATE)?;
                if output.is_at(&certificate.cert) {
                    bail!("--out and --cert are one file, and the certificate would take the key's place");
                }
                let of_certificate = OutputFile::checked(&certificate.cert, PUBLIC)?;
                let options = access.options(environment)?;
                let made = Provisioner::new(options.tpm.clone()).generate(*bits, &new.key(&options))?;
                new.done(output, &made)?;
                let certified = certificate.done(of_certificate, &TpmKey::File(new.out.clone()), &options);
                certified.with_context(|| {
                    let (key, cert) = (new.out.display(), certificate.cert.display());
                    format!("no certificate yet, which `tpm certify --key {key} --cert {cert}` makes")
                })
            }
            Self::Certify { which, certificate, access } => {
                let output = OutputFile::checked(&certificate.cert, PUBLIC)?;
                let (key, options) = which.of(access.options(environment)?)?;
                certificate.done(output, &key, &options)
            }
            Self::Show { which, access } => {
                let (key, options) = which.of(access.options(environment)?)?;
                print(&describe(&key, &options)?);
                Ok(())
            }
            Self::EkName { access } => {
                let options = access.options(environment)?;
                let names = Provisioner::new(options.tpm).endorsement_names(options.parent_password.as_ref())?;
                for (kind, name) in names {
                    say(&format!("{kind}: {name}"));
                }
                Ok(())
            }
        }
    }
}

/// The PEM in a service account's file, or the file itself.
fn read_key(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = file::read(path).with_context(|| path.display().to_string())?;
    if !text.trim_start().starts_with('{') {
        return Ok(text);
    }
    // An error of serde's could quote the key.
    let json = serde_json::from_str::<serde_json::Value>(&text).ok();
    let key = json.and_then(|mut json| match json["private_key"].take() {
        serde_json::Value::String(key) => Some(Zeroizing::new(key)),
        _ => None,
    });
    key.with_context(|| format!("{}: no service account's key (private_key is missing)", path.display()))
}

fn print(shown: &KeyDescription) {
    let padding = if shown.signs_pss { "PKCS#1 v1.5 and PSS" } else { "PKCS#1 v1.5" };
    say(&format!("key:         RSA, {} bits, {padding}", shown.bits));
    say(&format!("fingerprint: {}", shown.fingerprint));
    say(&format!("name:        {}", shown.name));
    say(&format!("policy:      {}", shown.policy.as_deref().unwrap_or("none")));
    say(shown.public_key.trim_end());
}

/// Prints a line; a closed standard output is no error.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
