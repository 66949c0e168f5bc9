//! Tokens that Google accepts, from every kind of credentials that Google gives out.
//!
//! A credentials file becomes a pair of token services ([`file`]), whatever is in it. Here they are given to accounts, put
//! behind a cache, counted, and looked at once at start.

mod external;
mod file;
mod iam;
mod jwt_bearer;
mod retry;
mod sts;
mod upstream;

pub use jwt_bearer::AccessTokenKind;

use super::cache::CacheTokensLayer;
use super::doctor::{Doctor, Found};
use super::{Credentials, Identity, observe};
use crate::metrics::Metrics;
use file::{CredentialFile, Opened, Plan};
use gce_metadata_routes::token::{AccessTokenRequest, AccessTokenSource, IdTokenRequest, IdTokenSource, TokenError};
use gce_metadata_routes::{ServiceAccount, TokenSources};
use iam::Impersonation;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tower::{ServiceExt, service_fn};
use upstream::Upstream;

/// What logs and metrics call it.
const SOURCE: &str = "live";
const DEFAULT: &str = "default";

/// How live tokens are had.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Whose credentials.
    pub source: LiveSource,
    /// What a service account key's access tokens are.
    pub access_token_kind: AccessTokenKind,
    /// URLs that stand over those of the credentials.
    pub endpoints: Endpoints,
    /// Whether a program that credentials name may be run.
    pub allow_executables: bool,
    /// gcloud's `certificate_config.json`.
    pub certificate_config: Option<PathBuf>,
}

impl LiveOptions {
    /// The usual ways with this source.
    pub fn new(source: LiveSource) -> Self {
        Self {
            source,
            access_token_kind: AccessTokenKind::Oauth,
            endpoints: Endpoints::default(),
            allow_executables: false,
            certificate_config: None,
        }
    }
}

/// Whose credentials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LiveSource {
    /// Those of a service account are the default account's.
    Key {
        /// A key as Google gives it out, or in bare PEM.
        path: PathBuf,
        /// Whose a bare one is.
        email: Option<String>,
    },
    /// Those of whoever may act as any account of the config.
    Impersonate {
        /// Application Default Credentials.
        path: PathBuf,
    },
    /// Those of an external account are the default account's.
    Federate {
        /// A file of `type` `external_account`.
        path: PathBuf,
    },
    /// A file of their own for each account: a JSON object of files by e-mail or alias. The others have none.
    PerAccount {
        /// Where the object is. Relative paths in it begin at its folder.
        path: PathBuf,
    },
}

/// URLs that stand over those of the credentials, for other universes, private endpoints and tests.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// The token endpoint of keys and of people, instead of `https://oauth2.googleapis.com/token`.
    pub token_url: Option<String>,
    /// The security token service, instead of `https://sts.googleapis.com/v1/token`.
    pub sts_url: Option<String>,
    /// The IAM Credentials API, instead of `https://iamcredentials.googleapis.com`.
    pub iam_url: Option<String>,
}

impl Endpoints {
    fn token(&self, of_file: Option<String>) -> String {
        let given = self.token_url.clone().or(of_file);
        given.unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned())
    }

    fn sts(&self, of_file: Option<String>) -> Option<String> {
        self.sts_url.clone().or(of_file)
    }

    fn iam(&self, of_file: Option<String>, universe: &str) -> String {
        let given = self.iam_url.clone().or(of_file);
        let url = given.unwrap_or_else(|| format!("https://iamcredentials.{universe}"));
        url.trim_end_matches('/').to_owned()
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, without secrets.
        problem: String,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

pub(super) fn open(options: LiveOptions, metrics: Option<&Metrics>) -> Result<Credentials, CredentialError> {
    let mut plan = Plan {
        upstream: Upstream::new().map_err(|error| CredentialError::Tls(error.to_string()))?,
        endpoints: options.endpoints,
        kind: options.access_token_kind,
        allow_executables: options.allow_executables,
        certificate_config: options.certificate_config,
        key_email: None,
    };
    let accounts = match options.source {
        LiveSource::Key { path, email } => {
            plan.key_email = email;
            of_type(&path, plan, "ServiceAccountKey", "service_account or a key in PEM").map(Accounts::default_only)?
        }
        LiveSource::Federate { path } => {
            of_type(&path, plan, "Federated", "external_account").map(Accounts::default_only)?
        }
        LiveSource::Impersonate { path } => Accounts::Acted(CredentialFile::open(&path, plan.clone())?, Box::new(plan)),
        LiveSource::PerAccount { path } => per_account(&path, &plan)?,
    };
    let accounts = Arc::new(accounts);
    let cache = CacheTokensLayer::new().refresh_ahead();
    let told = observe::access_tokens_told(access(&accounts), SOURCE, metrics.cloned());
    let access = cache.layer::<_, AccessTokenRequest>(AccessTokenSource::new(told));
    let id = cache.layer::<_, IdTokenRequest>(id(&accounts));
    let caches = vec![access.forget(), id.forget()];
    let tokens = TokenSources { access: Some(AccessTokenSource::new(access)), id: Some(IdTokenSource::new(id)) };
    let tokens = observe::counted(tokens, SOURCE, metrics);
    let (looked, found, renewed) = (Arc::clone(&accounts), Arc::clone(&accounts), Arc::clone(&accounts));
    let identity = Identity {
        fingerprint: Some(Arc::new(move || looked.only().and_then(|it| it.fingerprint))),
        hits: cache.hits(),
        ..Identity::new(accounts.credential_type())
    };
    let default_email = accounts.only().and_then(|it| it.email);
    let doctor = Doctor {
        tokens: tokens.clone(),
        found: Arc::new(move |account| found.found(account)),
        renew: Arc::new(move || renewed.renew()),
        caches,
    };
    Ok(Credentials { tokens, routes: Vec::new(), identity, default_email, doctor: Some(doctor), advice: None })
}

fn of_type(path: &Path, plan: Plan, wanted: &str, in_words: &str) -> Result<Arc<CredentialFile>, CredentialError> {
    let file = CredentialFile::open(path, plan)?;
    if file.current().credential_type != wanted {
        let problem = format!("credentials of another type; {in_words} is expected here");
        return Err(CredentialError::File { path: path.to_owned(), problem });
    }
    Ok(file)
}

fn per_account(path: &Path, plan: &Plan) -> Result<Accounts, CredentialError> {
    let wrong = |problem: String| CredentialError::File { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let files: BTreeMap<String, PathBuf> = serde_json::from_slice(&bytes)
        .map_err(|_| wrong("an object is expected: a credentials file by the e-mail of each account".to_owned()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let open = |(name, file): (String, PathBuf)| {
        let plan = Plan { key_email: name.contains('@').then(|| name.clone()), ..plan.clone() };
        Ok((name, CredentialFile::open(&folder.join(file), plan)?))
    };
    files.into_iter().map(open).collect::<Result<_, _>>().map(Accounts::Named)
}

/// Which account's tokens come from where.
enum Accounts {
    /// From a file of its own, by e-mail or alias.
    Named(BTreeMap<String, Arc<CredentialFile>>),
    /// Each from whoever may act as it.
    Acted(Arc<CredentialFile>, Box<Plan>),
}

impl Accounts {
    fn default_only(file: Arc<CredentialFile>) -> Self {
        Self::Named(BTreeMap::from([(DEFAULT.to_owned(), file)]))
    }

    fn file(&self, account: &ServiceAccount) -> Option<&Arc<CredentialFile>> {
        match self {
            Self::Named(files) => {
                let mut names = [&account.email].into_iter().chain(&account.aliases);
                names.find_map(|name| files.get(name))
            }
            Self::Acted(file, _) => Some(file),
        }
    }

    /// What the account's tokens come from now. Never another account's.
    fn sources(&self, account: &ServiceAccount) -> Result<TokenSources, TokenError> {
        let none = || TokenError::NoSource { account: account.email.clone() };
        let file = self.file(account).ok_or_else(none)?;
        let opened = file.current();
        match self {
            Self::Named(_) => Ok(opened.tokens),
            Self::Acted(_, plan) => Ok(Impersonation {
                upstream: plan.upstream.clone(),
                actor: opened.tokens.access.ok_or_else(none)?,
                base: plan.endpoints.iam(None, "googleapis.com"),
                target: None,
                delegates: Vec::new(),
                lifetime: None,
            }
            .tokens()),
        }
    }

    /// Takes over what has changed on disk, and says whether anything has.
    fn renew(&self) -> bool {
        match self {
            Self::Named(files) => files.values().filter(|file| file.renew()).count() > 0,
            Self::Acted(file, _) => file.renew(),
        }
    }

    /// The one file, if there is one only.
    fn only(&self) -> Option<Opened> {
        match self {
            Self::Named(files) if files.len() == 1 => files.values().next().map(|file| file.current()),
            _ => None,
        }
    }

    fn credential_type(&self) -> &'static str {
        match self {
            Self::Acted(..) => "Impersonated",
            Self::Named(_) => self.only().map_or("PerAccount", |opened| opened.credential_type),
        }
    }

    fn found(&self, account: &ServiceAccount) -> Option<Found> {
        let file = self.file(account)?;
        let opened = file.current();
        let is_actor = matches!(self, Self::Acted(..));
        Some(Found {
            file: file.path().display().to_string(),
            credential_type: if is_actor { "Impersonated" } else { opened.credential_type },
            email: opened.email.filter(|_| !is_actor),
            project: opened.project.filter(|_| !is_actor),
        })
    }
}

fn access(accounts: &Arc<Accounts>) -> AccessTokenSource {
    let accounts = Arc::clone(accounts);
    AccessTokenSource::new(service_fn(move |request: AccessTokenRequest| {
        let accounts = Arc::clone(&accounts);
        async move {
            let source = accounts.sources(&request.account)?.access;
            let none = || TokenError::NoSource { account: request.account.email.clone() };
            source.ok_or_else(none)?.oneshot(request).await
        }
    }))
}

fn id(accounts: &Arc<Accounts>) -> IdTokenSource {
    let accounts = Arc::clone(accounts);
    IdTokenSource::new(service_fn(move |request: IdTokenRequest| {
        let accounts = Arc::clone(&accounts);
        async move {
            let source = accounts.sources(&request.account)?.id;
            let none = || TokenError::NoSource { account: request.account.email.clone() };
            source.ok_or_else(none)?.oneshot(request).await
        }
    }))
}
