//! Keys in a Trusted Platform Module.
//!
//! Every build has the options, so that one without the feature `tpm` can print a helpful error.

use crate::cli::values::{Hex, hex, secret, tpm_handle};
use anyhow::bail;
use clap::{ArgGroup, Args};
use gce_metadata_server::Environment;
use gce_metadata_server::certs::EndorsementKey;
use gce_metadata_server::routes::token::Secret;
use std::path::PathBuf;

#[cfg(feature = "tpm")]
use crate::cli::file;
#[cfg(feature = "tpm")]
use anyhow::Context;
#[cfg(feature = "tpm")]
use gce_metadata_server::LiveSource;
#[cfg(feature = "tpm")]
use gce_metadata_server::signer::tpm::{Provisioner, TpmKey, TpmOptions};
#[cfg(feature = "tpm")]
use std::path::Path;

/// Which TPM, and how the use of its keys is authorised.
#[derive(Debug, Args)]
#[command(next_help_heading = "TPM Authentication Options")]
pub(crate) struct TpmAccess {
    /// Where the TPM is: a device, HOST:PORT or a Unix socket of a swtpm, or what tpm2-tss calls a TCTI
    /// [default: /dev/tpmrm0]
    #[arg(long, visible_alias = "tpmPath", value_name = "PATH")]
    tpm_path: Option<String>,

    /// The parent's password; better in a file, or in GCE_METADATA_PARENT_PASS
    #[arg(long, visible_alias = "parentPass", value_name = "PASSWORD", value_parser = secret)]
    parent_pass: Option<Secret>,

    /// The file that has the parent's password
    #[arg(long, value_name = "FILE", conflicts_with = "parent_pass")]
    parent_pass_file: Option<PathBuf>,

    /// The key's password; better in a file, or in GCE_METADATA_KEY_PASS
    #[arg(long, visible_alias = "keyPass", value_name = "PASSWORD", value_parser = secret)]
    key_pass: Option<Secret>,

    /// The file that has the key's password
    #[arg(long, value_name = "FILE", conflicts_with = "key_pass")]
    key_pass_file: Option<PathBuf>,

    /// Registers that the key is bound to, such as 0,2,23 or sha1:0+sha256:23
    #[arg(long, value_name = "REGISTERS")]
    pcrs: Option<String>,
}

/// The default account's key in a TPM. The TPM and its parent's password also serve `--credentials` and `--mds-mtls-dir`; without any
/// of these, they are an error.
#[derive(Debug, Args)]
#[command(next_help_heading = "TPM Authentication Options")]
#[command(group = ArgGroup::new("a TPM").args(["tpm_path", "parent_pass", "parent_pass_file"]).multiple(true)
    .requires("who uses it"))]
#[command(group = ArgGroup::new("who uses it").args(["tpm", "credentials", "mds_mtls_dir"]).multiple(true))]
pub(crate) struct Tpm {
    /// The default account's key is in a TPM
    #[arg(long)]
    pub(super) tpm: bool,

    /// The key's persistent handle, such as 0x81010002
    #[arg(long, visible_alias = "persistentHandle", value_name = "HANDLE", value_parser = tpm_handle)]
    persistent_handle: Option<u32>,

    /// The key's file: PEM of the label TSS2 PRIVATE KEY
    #[arg(long, visible_aliases = ["tpmKeyFile", "keyfile"], value_name = "FILE", conflicts_with = "persistent_handle")]
    tpm_key_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) access: TpmAccess,

    /// The file's key is a child of the RSA endorsement key
    #[arg(long, visible_alias = "useEKParent")]
    use_ek_parent: bool,

    /// Encrypt what is sent to the TPM for the endorsement key of this name, in hex
    #[arg(long, visible_alias = "tpmSessionEncryptWithName", value_name = "NAME", value_parser = hex)]
    tpm_session_encrypt_with_name: Option<Hex>,

    /// Have Google's token endpoint make the access tokens, instead of signing them with the key
    #[arg(long, visible_alias = "useOauthToken")]
    pub(super) use_oauth_token: bool,

    /// The key is that of a federated workload's certificate
    #[arg(long, visible_alias = "useTPMmTLS", requires_ifs = [("true", "project_number"), ("true", "pool_id"),
        ("true", "provider_id"), ("true", "pub_cert")])]
    use_tpm_mtls: bool,

    /// Number of the project that has the workload identity pool
    #[arg(long, visible_alias = "projectNumber", value_name = "NUMBER")]
    project_number: Option<String>,

    /// The workload identity pool
    #[arg(long, visible_alias = "poolID", value_name = "ID")]
    pool_id: Option<String>,

    /// Its provider that knows the certificate
    #[arg(long, visible_alias = "providerID", value_name = "ID")]
    provider_id: Option<String>,

    /// The certificate in PEM, with those that lead to its root
    #[arg(long, visible_alias = "pubCert", value_name = "FILE")]
    pub_cert: Option<PathBuf>,
}

#[cfg(feature = "tpm")]
impl TpmAccess {
    pub(crate) fn options(&self, environment: &Environment) -> anyhow::Result<TpmOptions> {
        let password = |given: &Option<Secret>, file: &Option<PathBuf>, otherwise: &Option<Secret>| {
            let of_file = file.as_deref().map(read_password).transpose()?;
            Ok::<_, anyhow::Error>(given.clone().or(of_file).or_else(|| otherwise.clone()))
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

    /// Refuses options that have no effect, because their user expects tokens of a key in a TPM. `of_several`: keys of several
    /// accounts, which may be in a TPM too. `of_file`: a key in a file, for which `--use-oauth-token` has an effect.
    pub(super) fn check(&self, of_several: bool, of_file: bool) -> anyhow::Result<()> {
        let Self { access, .. } = self;
        let name_it = [
            ("--persistent-handle", self.persistent_handle.is_some()),
            ("--tpm-key-file", self.tpm_key_file.is_some()),
            ("--use-tpm-mtls", self.use_tpm_mtls),
        ];
        let use_it = [
            ("--key-pass", access.key_pass.is_some()),
            ("--key-pass-file", access.key_pass_file.is_some()),
            ("--pcrs", access.pcrs.is_some()),
            ("--use-ek-parent", self.use_ek_parent),
            ("--tpm-session-encrypt-with-name", self.tpm_session_encrypt_with_name.is_some()),
            ("--use-oauth-token", self.use_oauth_token && !of_file),
        ];
        let federate_it = [
            ("--project-number", self.project_number.is_some()),
            ("--pool-id", self.pool_id.is_some()),
            ("--provider-id", self.provider_id.is_some()),
            ("--pub-cert", self.pub_cert.is_some()),
        ];
        let use_it = use_it.into_iter().filter(|_| !of_several);
        let given = |(option, given): (&'static str, bool)| given.then_some(option);
        if let (Some(option), false) = (name_it.into_iter().chain(use_it).find_map(given), self.tpm) {
            bail!("{option} does nothing without --tpm");
        }
        if let (Some(option), false) = (federate_it.into_iter().find_map(given), self.use_tpm_mtls) {
            bail!("{option} does nothing without --use-tpm-mtls");
        }
        Ok(())
    }

    /// The endorsement key of that TPM.
    #[cfg(feature = "tpm")]
    pub(super) fn endorsement_key(&self, environment: &Environment) -> anyhow::Result<EndorsementKey> {
        let TpmOptions { tpm, parent_password, .. } = self.access.options(environment)?;
        let key = Provisioner::new(tpm).endorsement_key(parent_password.as_ref());
        key.context("the endorsement key for --mds-mtls-dir, which --mds-ek can also give")
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

    /// The source of tokens, if `--tpm` is set.
    pub(super) fn source(&self) -> anyhow::Result<Option<LiveSource>> {
        if !self.tpm {
            return Ok(None);
        }
        let key = match (&self.tpm_key_file, self.persistent_handle) {
            (Some(path), _) => TpmKey::File(path.clone()),
            (None, Some(handle)) => TpmKey::Persistent(handle),
            (None, None) => bail!("--tpm: which key? Give --persistent-handle or --tpm-key-file"),
        };
        let federated = (&self.project_number, &self.pool_id, &self.provider_id, &self.pub_cert);
        Ok(Some(match federated {
            (Some(project), Some(pool), Some(provider), Some(certificate)) if self.use_tpm_mtls => {
                let pool = format!("projects/{project}/locations/global/workloadIdentityPools/{pool}");
                let audience = format!("//iam.googleapis.com/{pool}/providers/{provider}");
                LiveSource::TpmFederated { key, certificate: certificate.clone(), audience }
            }
            _ => LiveSource::Tpm { key },
        }))
    }
}

/// Reads a password from a file, without the newline that editors append.
#[cfg(feature = "tpm")]
fn read_password(path: &Path) -> anyhow::Result<Secret> {
    Ok(file::read(path).with_context(|| path.display().to_string())?.trim_end_matches(['\r', '\n']).into())
}

/// The error of a build without the feature `tpm` when a TPM is needed.
#[cfg(not(feature = "tpm"))]
pub(crate) const MISSING: &str =
    "this program was built without TPM support: build it with `cargo build --release --features tpm`";
