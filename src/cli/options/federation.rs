//! Options of workload identity federation with a certificate whose key is in a TPM or a PKCS#11 token.

use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;

/// Looks up the project number of the environment or the config.
pub(super) type ProjectNumber<'a> = dyn Fn() -> anyhow::Result<Option<String>> + 'a;

/// The provider in a workload identity pool, and the workload's certificate.
#[derive(Debug, Args)]
#[command(next_help_heading = "Certificate Federation Options")]
pub(super) struct Federation {
    /// Number of the project of the workload identity pool [default: numeric-project-id of the config]
    #[arg(long, visible_alias = "projectNumber", value_name = "NUMBER")]
    project_number: Option<String>,

    /// ID of the workload identity pool
    #[arg(long, visible_alias = "poolID", value_name = "ID")]
    pool_id: Option<String>,

    /// ID of the provider in the pool
    #[arg(long, visible_alias = "providerID", value_name = "ID")]
    provider_id: Option<String>,

    /// Certificate chain of the workload, in PEM
    #[arg(long, visible_alias = "pubCert", value_name = "FILE")]
    pub_cert: Option<PathBuf>,
}

/// A workload's certificate and what it is exchanged for.
#[cfg_attr(not(any(feature = "tpm", feature = "pkcs11")), allow(dead_code))]
pub(super) struct Workload {
    pub(super) certificate: PathBuf,
    /// The full resource name of the provider.
    pub(super) audience: String,
}

impl Federation {
    /// Refuses options that have no effect without an option that federates.
    pub(super) fn check(&self, is_used: bool) -> anyhow::Result<()> {
        let given = [
            ("--project-number", self.project_number.is_some()),
            ("--pool-id", self.pool_id.is_some()),
            ("--provider-id", self.provider_id.is_some()),
            ("--pub-cert", self.pub_cert.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given && !is_used) {
            Some((option, _)) => bail!("{option} does nothing without --use-tpm-mtls or --use-pkcs11-mtls"),
            None => Ok(()),
        }
    }

    /// The workload of `option`, for which clap requires the other options.
    #[cfg_attr(not(any(feature = "tpm", feature = "pkcs11")), allow(dead_code))]
    pub(super) fn workload(&self, option: &str, number: &ProjectNumber<'_>) -> anyhow::Result<Workload> {
        let (Some(pool), Some(provider), Some(certificate)) = (&self.pool_id, &self.provider_id, &self.pub_cert) else {
            bail!("{option} needs --pool-id, --provider-id and --pub-cert");
        };
        let project = self.project_number.clone().map_or_else(number, |number| Ok(Some(number)))?;
        let project = project.with_context(|| {
            format!("{option} needs the number of the project: add --project-number, or numericProjectId to the config")
        })?;
        let pool = format!("projects/{project}/locations/global/workloadIdentityPools/{pool}");
        let audience = format!("//iam.googleapis.com/{pool}/providers/{provider}");
        Ok(Workload { certificate: certificate.clone(), audience })
    }
}
