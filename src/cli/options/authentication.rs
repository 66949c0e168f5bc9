//! Options that choose the token source.

use super::tpm::Tpm;
use crate::cli::file;
use crate::cli::values::{token_lifetime, url};
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::signer::PemSigner;
use gce_metadata_server::{AccessTokenKind, CredentialSource, Environment, LiveOptions, LiveSource, OfflineOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEADING: &str = "Authentication Options";

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Authentication {
    /// Service account key for the tokens of the default account, in Google's JSON or in PEM (PKCS#8 or PKCS#1)
    #[arg(long, visible_alias = "serviceAccountFile", value_name = "FILE")]
    service_account_file: Option<PathBuf>,

    /// Service account of the key of --service-account-file, if that is in PEM
    #[arg(long, visible_alias = "serviceAccountEmail", value_name = "EMAIL")]
    service_account_email: Option<String>,

    /// Impersonate the accounts of the config, with Application Default Credentials
    #[arg(long)]
    impersonate: bool,

    /// Use the external account of Application Default Credentials for the tokens of the default account
    #[arg(long)]
    federate: bool,

    /// JSON file that maps the e-mail of each account to its credentials file
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// Access tokens of a key: oauth for tokens of Google's token endpoint, jwt for self-signed ones [default: oauth, or jwt for
    /// a key in a TPM]
    #[arg(long, value_name = "KIND", value_parser = ["oauth", "jwt"])]
    access_token_kind: Option<String>,

    /// Token endpoint, instead of that of the credentials or Google's
    #[arg(long, value_name = "URL", value_parser = url)]
    token_url: Option<String>,

    /// Security token service, instead of that of the credentials or Google's
    #[arg(long, value_name = "URL", value_parser = url)]
    sts_url: Option<String>,

    /// IAM Credentials API, instead of that of the credentials or Google's
    #[arg(long, value_name = "URL", value_parser = url)]
    iam_url: Option<String>,

    #[command(flatten)]
    pub(super) tpm: Tpm,

    /// The issuer (iss) of offline identity tokens
    #[arg(long, default_value = OfflineOptions::GOOGLE, value_name = "URL", help_heading = HEADING)]
    offline_issuer: String,

    /// RSA private key in PEM (PKCS#8 or PKCS#1) that signs offline identity tokens [default: a new key at each start]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    offline_key: Option<PathBuf>,

    /// Lifetime of offline tokens, 1 to 43200 seconds or with a unit: 90s, 5m, 1h
    #[arg(long, default_value = "3600", value_name = "SECONDS", value_parser = token_lifetime, help_heading = HEADING)]
    offline_token_lifetime: Duration,
}

impl Authentication {
    /// The token source that the command line or the environment configures.
    pub(super) fn source(&self, environment: &Environment) -> anyhow::Result<CredentialSource> {
        // Fixed tokens override all options, as in the Go emulator.
        if let Some(fixed) = &environment.fixed_tokens {
            return Ok(fixed.clone());
        }
        let Some(source) = self.live(environment)? else { return self.offline() };
        let mut options = LiveOptions::new(source);
        options.access_token_kind = match self.access_token_kind.as_deref() {
            Some("jwt") => Some(AccessTokenKind::Jwt),
            Some(_) => Some(AccessTokenKind::Oauth),
            None => self.tpm.use_oauth_token.then_some(AccessTokenKind::Oauth),
        };
        options.endpoints.token_url.clone_from(&self.token_url);
        options.endpoints.sts_url.clone_from(&self.sts_url);
        options.endpoints.iam_url.clone_from(&self.iam_url);
        options.allow_executables = environment.allow_executables;
        options.certificate_config.clone_from(&environment.certificate_config);
        options.aws = environment.aws.clone();
        #[cfg(feature = "tpm")]
        {
            options.tpm = self.tpm.options(environment)?;
        }
        Ok(CredentialSource::from(options))
    }

    /// The source of live tokens, if one is configured. Several are an error.
    fn live(&self, environment: &Environment) -> anyhow::Result<Option<LiveSource>> {
        let default_credentials = |option: &str| {
            environment.application_credentials.clone().with_context(|| {
                format!(
                    "{option}: no Application Default Credentials; set GOOGLE_APPLICATION_CREDENTIALS, or run \
                     `gcloud auth application-default login`"
                )
            })
        };
        if self.service_account_email.is_some() && self.service_account_file.is_none() {
            bail!("--service-account-email does nothing without --service-account-file");
        }
        let key = self.service_account_file.clone();
        let key = key.map(|path| LiveSource::Key { path, email: self.service_account_email.clone() });
        let per_account = self.credentials.clone().map(|path| LiveSource::PerAccount { path });
        let impersonated = self.impersonate.then(|| default_credentials("--impersonate")).transpose()?;
        let federated = self.federate.then(|| default_credentials("--federate")).transpose()?;
        let impersonated = impersonated.map(|path| LiveSource::Impersonate { path });
        let federated = federated.map(|path| LiveSource::Federate { path });
        self.tpm.check(per_account.is_some(), key.is_some())?;
        #[cfg(feature = "tpm")]
        let in_tpm = self.tpm.source()?;
        #[cfg(not(feature = "tpm"))]
        let in_tpm = if self.tpm.tpm { bail!(super::tpm::MISSING) } else { None };
        let mut sources = [key, per_account, impersonated, federated, in_tpm].into_iter().flatten();
        match (sources.next(), sources.next()) {
            (_, Some(_)) => {
                bail!(
                    "--service-account-file, --impersonate, --federate, --credentials and --tpm exclude each other: give one of them"
                )
            }
            (source, None) => Ok(source),
        }
    }

    fn offline(&self) -> anyhow::Result<CredentialSource> {
        let key = self.offline_key.as_deref().map(read_key).transpose()?;
        let mut options = OfflineOptions::default();
        options.issuer.clone_from(&self.offline_issuer);
        options.token_lifetime = self.offline_token_lifetime;
        options.key = key;
        options.generate_key_at_start = true;
        Ok(CredentialSource::Offline(options))
    }
}

fn read_key(path: &Path) -> anyhow::Result<PemSigner> {
    let context = || format!("--offline-key {}", path.display());
    PemSigner::from_pem(&file::read(path).with_context(context)?).with_context(context)
}
