//! The source of tokens.

use super::tpm::Tpm;
use crate::cli::file;
use crate::cli::values::url;
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::signer::PemSigner;
use gce_metadata_server::{AccessTokenKind, CredentialSource, Environment, LiveOptions, LiveSource, OfflineOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication Options")]
pub(crate) struct Authentication {
    /// Service account key, in Google's JSON or in PEM, that makes the default account's tokens
    #[arg(long, visible_alias = "serviceAccountFile", value_name = "FILE")]
    service_account_file: Option<PathBuf>,

    /// Whose the key of --service-account-file is, if it is in PEM
    #[arg(long, visible_alias = "serviceAccountEmail", value_name = "EMAIL")]
    service_account_email: Option<String>,

    /// Act as the config's accounts, with Application Default Credentials
    #[arg(long)]
    impersonate: bool,

    /// Take the default account's tokens from the external account of Application Default Credentials
    #[arg(long)]
    federate: bool,

    /// Credentials of several accounts: a JSON object of credentials files by e-mail
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// What a key's access tokens are: oauth has Google's token endpoint make them, jwt signs them itself [default: oauth, and
    /// jwt for a key in a TPM]
    #[arg(long, value_name = "KIND", value_parser = ["oauth", "jwt"])]
    access_token_kind: Option<String>,

    /// Token endpoint, instead of the credentials' or Google's own
    #[arg(long, value_name = "URL", value_parser = url)]
    token_url: Option<String>,

    /// Security token service, instead of the credentials' or Google's own
    #[arg(long, value_name = "URL", value_parser = url)]
    sts_url: Option<String>,

    /// IAM Credentials API, instead of the credentials' or Google's own
    #[arg(long, value_name = "URL", value_parser = url)]
    iam_url: Option<String>,

    #[command(flatten)]
    pub(super) tpm: Tpm,

    /// The `iss` of identity tokens that are made offline
    #[arg(long, default_value = OfflineOptions::GOOGLE, value_name = "URL")]
    offline_issuer: String,

    /// RSA private key in PEM that signs identity tokens offline [default: a new one at each start]
    #[arg(long, value_name = "FILE")]
    offline_key: Option<PathBuf>,

    /// How long tokens that are made offline live
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=43200))]
    offline_token_lifetime: u64,
}

impl Authentication {
    /// The source of tokens that the command line or the environment names.
    pub(super) fn source(&self, environment: &Environment) -> anyhow::Result<CredentialSource> {
        // As in the Go emulator, these come before all options.
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

    /// The source of live tokens, if one is configured. More than one is an error.
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
        let several = self.credentials.clone().map(|path| LiveSource::PerAccount { path });
        let acted = self.impersonate.then(|| default_credentials("--impersonate")).transpose()?;
        let federated = self.federate.then(|| default_credentials("--federate")).transpose()?;
        let acted = acted.map(|path| LiveSource::Impersonate { path });
        let federated = federated.map(|path| LiveSource::Federate { path });
        self.tpm.check(several.is_some(), key.is_some())?;
        #[cfg(feature = "tpm")]
        let in_tpm = self.tpm.source()?;
        #[cfg(not(feature = "tpm"))]
        let in_tpm = if self.tpm.tpm { bail!(super::tpm::MISSING) } else { None };
        let mut asked = [key, several, acted, federated, in_tpm].into_iter().flatten();
        match (asked.next(), asked.next()) {
            (_, Some(_)) => {
                bail!(
                    "one of --service-account-file, --impersonate, --federate, --credentials and --tpm can be given, not several"
                )
            }
            (one, None) => Ok(one),
        }
    }

    fn offline(&self) -> anyhow::Result<CredentialSource> {
        let key = self.offline_key.as_deref().map(read_key).transpose()?;
        let mut options = OfflineOptions::default();
        options.issuer.clone_from(&self.offline_issuer);
        options.token_lifetime = Duration::from_secs(self.offline_token_lifetime);
        options.key = key;
        options.generate_key_at_start = true;
        Ok(CredentialSource::Offline(options))
    }
}

fn read_key(path: &Path) -> anyhow::Result<PemSigner> {
    let named = || format!("--offline-key {}", path.display());
    PemSigner::from_pem(&file::read(path).with_context(named)?).with_context(named)
}
