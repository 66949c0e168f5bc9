//! Options that choose the token source.

use super::federation::{Federation, ProjectNumber};
use super::ignored;
use super::pkcs11::Pkcs11;
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

    /// Use Application Default Credentials, usually an external account, for the tokens of the default account
    #[arg(long)]
    federate: bool,

    /// JSON file that maps the e-mail of each account to its credentials file
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// Access tokens of a key: oauth for tokens of Google's token endpoint, jwt for self-signed ones [default: oauth, or jwt for
    /// a key in a TPM or a PKCS#11 token]
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

    #[command(flatten)]
    pkcs11: Pkcs11,

    #[command(flatten)]
    federation: Federation,

    /// The issuer (iss) of offline identity tokens [default: https://accounts.google.com]
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    offline_issuer: Option<String>,

    /// RSA private key in PEM (PKCS#8 or PKCS#1) that signs offline identity tokens [default: a new key at each start]
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    offline_key: Option<PathBuf>,

    /// Lifetime of offline tokens, 1 to 43200 seconds or with a unit: 90s, 5m, 1h [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = token_lifetime, help_heading = HEADING)]
    offline_token_lifetime: Option<Duration>,
}

/// A source of live tokens that the command line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Impersonate,
    Federate,
    Tpm,
    Key,
    Pkcs11,
    PerAccount,
}

impl Named {
    fn option(self) -> &'static str {
        match self {
            Self::Impersonate => "--impersonate",
            Self::Federate => "--federate",
            Self::Tpm => "--tpm",
            Self::Key => "--service-account-file",
            Self::Pkcs11 => "--pkcs11-uri",
            Self::PerAccount => "--credentials",
        }
    }
}

impl Authentication {
    /// The token source that the command line or the environment configures. `project_number` is the number of the config, for
    /// federation.
    pub(super) fn source(
        &self,
        environment: &Environment,
        project_number: &ProjectNumber<'_>,
    ) -> anyhow::Result<CredentialSource> {
        self.check()?;
        let Some(CredentialSource::Fixed { access_token, id_token }) = &environment.fixed_tokens else {
            return match self.live(environment, project_number)? {
                Some(live) => self.with_options(live, environment),
                None => self.offline(),
            };
        };
        let (access_token, id_token) = (access_token.clone(), id_token.clone());
        // As in the Go emulator, a given token takes precedence, and a source makes the other kind of tokens.
        if (access_token.is_none() || id_token.is_none())
            && let Some(live) = self.live(environment, project_number)?
        {
            let source = Box::new(self.with_options(live, environment)?);
            return Ok(CredentialSource::FixedBeside { access_token, id_token, source });
        }
        Ok(CredentialSource::Fixed { access_token, id_token })
    }

    /// Refuses options that have no effect without another one.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.service_account_email.is_some() && self.service_account_file.is_none() {
            bail!("--service-account-email does nothing without --service-account-file");
        }
        let per_account = self.credentials.is_some();
        self.tpm.check(per_account, self.service_account_file.is_some() || self.pkcs11.is_given())?;
        self.pkcs11.check(per_account)?;
        self.federation.check(self.tpm.use_tpm_mtls || self.pkcs11.use_pkcs11_mtls)
    }

    fn with_options(&self, source: LiveSource, environment: &Environment) -> anyhow::Result<CredentialSource> {
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
        #[cfg(feature = "pkcs11")]
        {
            options.pkcs11 = self.pkcs11.options(environment);
            options.pkcs11_module = self.pkcs11.module();
        }
        Ok(CredentialSource::from(options))
    }

    /// The named sources in the Go emulator's order of precedence.
    fn named(&self) -> impl Iterator<Item = Named> {
        let named = [
            (Named::Impersonate, self.impersonate),
            (Named::Federate, self.federate),
            (Named::Tpm, self.tpm.tpm),
            (Named::Key, self.service_account_file.is_some()),
            (Named::Pkcs11, self.pkcs11.is_given()),
            (Named::PerAccount, self.credentials.is_some()),
        ];
        named.into_iter().filter_map(|(source, is_named)| is_named.then_some(source))
    }

    /// The source of live tokens that takes precedence. `--credentials` or `--pkcs11-uri` beside another one is an error: they are
    /// not options of the Go emulator, and have no place in its order.
    fn live(&self, environment: &Environment, number: &ProjectNumber<'_>) -> anyhow::Result<Option<LiveSource>> {
        let Some(first) = self.named().next() else { return Ok(None) };
        let mut others = self.named().skip(1);
        if let Some(other) = others.find(|other| matches!(other, Named::Pkcs11 | Named::PerAccount)) {
            bail!("{} and {} exclude each other: give one of them", first.option(), other.option());
        }
        let default_credentials = || {
            environment.application_credentials.clone().with_context(|| {
                format!(
                    "{}: no Application Default Credentials; set GOOGLE_APPLICATION_CREDENTIALS, or run \
                     `gcloud auth application-default login`",
                    first.option()
                )
            })
        };
        Ok(match first {
            Named::Impersonate => Some(LiveSource::Impersonate { path: default_credentials()? }),
            Named::Federate => Some(LiveSource::Federate { path: default_credentials()? }),
            Named::Tpm => Some(self.tpm.source(&self.federation, number)?),
            Named::Key => {
                let email = self.service_account_email.clone();
                self.service_account_file.clone().map(|path| LiveSource::Key { path, email })
            }
            Named::Pkcs11 => Some(self.pkcs11.source(&self.federation, number)?),
            Named::PerAccount => self.credentials.clone().map(|path| LiveSource::PerAccount { path }),
        })
    }

    /// Whether a file names the credentials of each account.
    pub(super) fn is_per_account(&self) -> bool {
        self.credentials.is_some()
    }

    /// Warnings about options and tokens that are given without effect.
    pub(super) fn without_effect(&self, environment: &Environment) -> Vec<String> {
        let (has_access, has_id) = match &environment.fixed_tokens {
            Some(CredentialSource::Fixed { access_token, id_token }) => (access_token.is_some(), id_token.is_some()),
            _ => (false, false),
        };
        let named: Vec<Named> = self.named().collect();
        let source = named.first().copied().filter(|_| !(has_access && has_id));
        let mut warnings = fixed_tokens_without_effect(&named, has_access, has_id);
        if source.is_some() {
            let others: Vec<_> = named[1..].iter().map(|other| (other.option(), true)).collect();
            warnings.extend(ignored(&others, &format!("{} takes precedence", named[0].option())));
        }
        let federated = match source {
            Some(Named::Tpm) if self.tpm.use_tpm_mtls => Some("--use-tpm-mtls"),
            Some(Named::Pkcs11) if self.pkcs11.use_pkcs11_mtls => Some("--use-pkcs11-mtls"),
            _ => None,
        };
        let (token, sts, iam) = (self.token_url.is_some(), self.sts_url.is_some(), self.iam_url.is_some());
        let urls = [("--token-url", token), ("--sts-url", sts), ("--iam-url", iam)];
        let kinds = [
            ("--access-token-kind", self.access_token_kind.is_some()),
            ("--use-oauth-token", self.tpm.use_oauth_token),
        ];
        warnings.extend(match (source, federated) {
            (None, _) => ignored(&[&urls[..], &kinds[..1]].concat(), "no tokens of Google are served"),
            (Some(_), Some(option)) => {
                let options = [&urls[..1], &kinds].concat();
                ignored(&options, &format!("with {option} the security token service makes the tokens"))
            }
            (Some(Named::Key), _) => ignored(&urls[1..2], "a key needs no security token service"),
            (Some(Named::Tpm), _) => ignored(&urls[1..], "the key in the TPM needs the token endpoint only"),
            (Some(Named::Pkcs11), _) => {
                ignored(&urls[1..], "the key in the PKCS#11 token needs the token endpoint only")
            }
            (Some(_), _) => None,
        });
        if source.is_some() && federated.is_none() && kinds[0].1 {
            warnings.extend(ignored(&kinds[1..], "--access-token-kind takes precedence"));
        }
        if source.is_some() || has_access || has_id {
            let offline = [
                ("--offline-issuer", self.offline_issuer.is_some()),
                ("--offline-key", self.offline_key.is_some()),
                ("--offline-token-lifetime", self.offline_token_lifetime.is_some()),
            ];
            warnings.extend(ignored(&offline, "tokens are not made offline"));
        }
        warnings
    }

    fn offline(&self) -> anyhow::Result<CredentialSource> {
        let key = self.offline_key.as_deref().map(read_key).transpose()?;
        let mut options = OfflineOptions::default();
        if let Some(issuer) = &self.offline_issuer {
            options.issuer.clone_from(issuer);
        }
        if let Some(lifetime) = self.offline_token_lifetime {
            options.token_lifetime = lifetime;
        }
        options.key = key;
        options.generate_key_at_start = true;
        Ok(CredentialSource::Offline(options))
    }
}

/// Warnings about given tokens: sources whose tokens are replaced, and a kind of tokens that nothing makes.
fn fixed_tokens_without_effect(named: &[Named], has_access: bool, has_id: bool) -> Vec<String> {
    let (given, other, other_variable) = match (has_access, has_id) {
        (false, false) => return Vec::new(),
        (true, true) => {
            let named: Vec<_> = named.iter().map(|source| (source.option(), true)).collect();
            return ignored(&named, "GOOGLE_ACCESS_TOKEN and GOOGLE_ID_TOKEN are served").into_iter().collect();
        }
        (true, false) => ("GOOGLE_ACCESS_TOKEN", "identity", "GOOGLE_ID_TOKEN"),
        (false, true) => ("GOOGLE_ID_TOKEN", "access", "GOOGLE_ACCESS_TOKEN"),
    };
    vec![match named.first() {
        Some(source) => {
            let source = source.option();
            format!("{given} is served to the default account; {source} makes its {other} tokens only")
        }
        None => format!("{other} tokens are answered 404: {other_variable} is not set, and no credentials are given"),
    }]
}

fn read_key(path: &Path) -> anyhow::Result<PemSigner> {
    let context = || format!("--offline-key {}", path.display());
    PemSigner::from_pem(&file::read(path).with_context(context)?).with_context(context)
}
