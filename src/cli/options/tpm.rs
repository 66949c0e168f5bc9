//! Options for keys in a Trusted Platform Module (TPM).
//!
//! Every build has the options, so that one without the feature `tpm` can print a helpful error.

use super::federation::{Federation, ProjectNumber};
use super::ignored;
use crate::cli::values::{Hex, hex, secret, tpm_handle_or_zero};
use anyhow::bail;
use clap::{ArgGroup, Args};
use gce_metadata_server::certs::EndorsementKey;
use gce_metadata_server::routes::token::Secret;
use gce_metadata_server::{Environment, LiveSource};
use std::path::PathBuf;

#[cfg(feature = "tpm")]
use crate::cli::file;
#[cfg(feature = "tpm")]
use anyhow::Context;
#[cfg(feature = "tpm")]
use gce_metadata_server::signer::tpm::{Provisioner, TpmKey, TpmOptions};
#[cfg(feature = "tpm")]
use std::path::Path;

pub(super) const HEADING: &str = "TPM Authentication Options";

/// The TPM, and the authorisation of its keys.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct TpmAccess {
    /// Address of the TPM: a device, HOST:PORT or Unix socket of a swtpm, or a TCTI of tpm2-tss [default: /dev/tpmrm0]
    #[arg(long, visible_alias = "tpmPath", value_name = "PATH")]
    tpm_path: Option<String>,

    /// Password of the parent key or of its hierarchy; a file or GCE_METADATA_PARENT_PASS is safer
    #[arg(long, visible_alias = "parentPass", value_name = "PASSWORD", value_parser = secret)]
    parent_pass: Option<Secret>,

    /// File with the password of the parent key
    #[arg(long, value_name = "FILE", conflicts_with = "parent_pass")]
    parent_pass_file: Option<PathBuf>,

    /// Password of the key; a file or GCE_METADATA_KEY_PASS is safer
    #[arg(long, visible_alias = "keyPass", value_name = "PASSWORD", value_parser = secret)]
    key_pass: Option<Secret>,

    /// File with the password of the key
    #[arg(long, value_name = "FILE", conflicts_with = "key_pass")]
    key_pass_file: Option<PathBuf>,

    /// Platform configuration registers that the key is bound to, such as 0,2,23 or sha1:0+sha256:23
    #[arg(long, value_name = "REGISTERS")]
    pcrs: Option<String>,
}

/// The default account's key in a TPM. The address of the TPM and the password of the parent are also used by `--credentials` and
/// `--mds-mtls-dir`; without any of these options, they are an error.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
#[command(group = ArgGroup::new("tpm_access").args(["tpm_path", "parent_pass", "parent_pass_file"]).multiple(true)
    .requires("tpm_user"))]
#[command(group = ArgGroup::new("tpm_user").args(["tpm", "credentials", "mds_mtls_dir"]).multiple(true))]
pub(crate) struct Tpm {
    /// Use a key in a TPM for the tokens of the default account
    #[arg(long)]
    pub(super) tpm: bool,

    /// Persistent handle of the key, in hex as 0x81010002 or in decimal; 0 is none
    #[arg(long, visible_alias = "persistentHandle", value_name = "HANDLE", value_parser = tpm_handle_or_zero)]
    persistent_handle: Option<u32>,

    /// File of the key, in PEM with the label TSS2 PRIVATE KEY
    #[arg(long, visible_aliases = ["tpmKeyFile", "keyfile"], value_name = "FILE")]
    tpm_key_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) access: TpmAccess,

    /// The parent of the key in the file is the RSA endorsement key
    #[arg(long, visible_alias = "useEKParent")]
    use_ek_parent: bool,

    /// Encrypt the sessions with the TPM for the endorsement key with this name, in hex
    #[arg(long, visible_alias = "tpmSessionEncryptWithName", value_name = "NAME", value_parser = hex)]
    tpm_session_encrypt_with_name: Option<Hex>,

    /// Get access tokens from Google's token endpoint, instead of signing them with the key
    #[arg(long, visible_alias = "useOauthToken")]
    pub(super) use_oauth_token: bool,

    /// Use workload identity federation: the key is that of the workload's certificate
    #[arg(long, visible_alias = "useTPMmTLS", requires_ifs = [("true", "pool_id"), ("true", "provider_id"),
        ("true", "pub_cert")])]
    pub(super) use_tpm_mtls: bool,
}

#[cfg(feature = "tpm")]
impl TpmAccess {
    /// A warning about options that a command without a key does not use.
    pub(crate) fn without_key(&self) -> Option<String> {
        let key = [
            ("--key-pass", self.key_pass.is_some()),
            ("--key-pass-file", self.key_pass_file.is_some()),
            ("--pcrs", self.pcrs.is_some()),
        ];
        ignored(&key, "endorsement keys need no authorisation of a key")
    }

    /// These options, and the passwords of the environment.
    pub(crate) fn options(&self, environment: &Environment) -> anyhow::Result<TpmOptions> {
        let password = |option: &Option<Secret>, file: &Option<PathBuf>, variable: &Option<Secret>| {
            let from_file = file.as_deref().map(read_password).transpose()?;
            Ok::<_, anyhow::Error>(option.clone().or(from_file).or_else(|| variable.clone()))
        };
        Ok(TpmOptions {
            tpm: self.tpm_path.as_deref().map(str::parse).transpose().context("--tpm-path")?.unwrap_or_default(),
            parent_password: password(&self.parent_pass, &self.parent_pass_file, &environment.parent_password)?,
            key_password: password(&self.key_pass, &self.key_pass_file, &environment.key_password)?,
            pcrs: self.pcrs.as_deref().map(str::parse).transpose().context("--pcrs")?,
            ..TpmOptions::default()
        })
    }
}

impl Tpm {
    /// Whether the command line names a TPM.
    pub(super) fn is_configured(&self) -> bool {
        self.tpm || self.access.tpm_path.is_some()
    }

    /// Refuses options that have no effect without `--tpm`: the user expects tokens of a key in a TPM. `per_account`: whether
    /// `--credentials` is given; its keys may be in a TPM too. `other_key`: whether another option gives a key, which
    /// `--use-oauth-token` affects.
    pub(super) fn check(&self, per_account: bool, other_key: bool) -> anyhow::Result<()> {
        let Self { access, .. } = self;
        let key = [
            ("--persistent-handle", self.handle().is_some()),
            ("--tpm-key-file", self.tpm_key_file.is_some()),
            ("--use-tpm-mtls", self.use_tpm_mtls),
        ];
        let access_options = [
            ("--key-pass", access.key_pass.is_some()),
            ("--key-pass-file", access.key_pass_file.is_some()),
            ("--pcrs", access.pcrs.is_some()),
            ("--use-ek-parent", self.use_ek_parent),
            ("--tpm-session-encrypt-with-name", self.tpm_session_encrypt_with_name.is_some()),
            ("--use-oauth-token", self.use_oauth_token && !other_key),
        ];
        let access_options = access_options.into_iter().filter(|_| !per_account);
        let given = |(option, given): (&'static str, bool)| given.then_some(option);
        if let (Some(option), false) = (key.into_iter().chain(access_options).find_map(given), self.tpm) {
            bail!("{option} does nothing without --tpm");
        }
        Ok(())
    }

    /// The persistent handle. The Go emulator's default value 0 means none.
    fn handle(&self) -> Option<u32> {
        self.persistent_handle.filter(|handle| *handle != 0)
    }

    /// Warnings about options that are given without effect. `has_user`: whether another option uses the address of the TPM.
    pub(super) fn without_effect(&self, has_user: bool) -> Vec<String> {
        let Self { access, .. } = self;
        let handle = [("--persistent-handle", self.handle().is_some() && self.tpm_key_file.is_some())];
        let access = [
            ("--tpm-path", access.tpm_path.is_some()),
            ("--parent-pass", access.parent_pass.is_some()),
            ("--parent-pass-file", access.parent_pass_file.is_some()),
        ];
        let access = if self.tpm || has_user { None } else { ignored(&access, "no option uses the TPM") };
        ignored(&handle, "--tpm-key-file takes precedence").into_iter().chain(access).collect()
    }

    /// The endorsement key of the TPM.
    #[cfg(feature = "tpm")]
    pub(super) fn endorsement_key(&self, environment: &Environment) -> anyhow::Result<EndorsementKey> {
        let TpmOptions { tpm, parent_password, .. } = self.access.options(environment)?;
        let key = Provisioner::new(tpm).endorsement_key(parent_password.as_ref());
        key.context("can't read the endorsement key for --mds-mtls-dir from the TPM; --mds-ek can name a file instead")
    }

    #[cfg(not(feature = "tpm"))]
    pub(super) fn source(&self, _: &Federation, _: &ProjectNumber<'_>) -> anyhow::Result<LiveSource> {
        bail!(MISSING)
    }

    #[cfg(not(feature = "tpm"))]
    pub(super) fn endorsement_key(&self, _: &Environment) -> anyhow::Result<EndorsementKey> {
        bail!(MISSING)
    }
}

#[cfg(feature = "tpm")]
impl Tpm {
    pub(super) fn options(&self, environment: &Environment) -> anyhow::Result<TpmOptions> {
        Ok(TpmOptions {
            use_ek_parent: self.use_ek_parent,
            encrypt_with_name: self.tpm_session_encrypt_with_name.as_ref().map(|name| name.0.clone()),
            ..self.access.options(environment)?
        })
    }

    /// The token source of `--tpm`.
    pub(super) fn source(&self, federation: &Federation, number: &ProjectNumber<'_>) -> anyhow::Result<LiveSource> {
        let key = match (&self.tpm_key_file, self.handle()) {
            (Some(path), _) => TpmKey::File(path.clone()),
            (None, Some(handle)) => TpmKey::Persistent(handle),
            (None, None) => bail!("--tpm needs a key: add --tpm-key-file or --persistent-handle"),
        };
        if !self.use_tpm_mtls {
            return Ok(LiveSource::Tpm { key });
        }
        let workload = federation.workload("--use-tpm-mtls", number)?;
        Ok(LiveSource::TpmFederated { key, certificate: workload.certificate, audience: workload.audience })
    }
}

/// Reads a password from a file, without the newline that editors append.
#[cfg(feature = "tpm")]
fn read_password(path: &Path) -> anyhow::Result<Secret> {
    Ok(file::read(path).with_context(|| path.display().to_string())?.trim_end_matches(['\r', '\n']).into())
}

/// The error of a build without the feature `tpm` if the command line uses a TPM.
#[cfg(not(feature = "tpm"))]
pub(crate) const MISSING: &str = missing_tpm!();
