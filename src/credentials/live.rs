//! Tokens that Google accepts, from every kind of credentials that Google gives out.
//!
//! A credentials file becomes a pair of token services ([`file`]), whatever is in it. Here they are given to accounts, put
//! behind a cache, counted, and looked at once at start.

mod accounts;
mod doctor;
mod external;
mod file;
mod form;
mod iam;
mod jwt_bearer;
mod key;
mod options;
mod redact;
mod renewed;
mod retry;
mod seen;
mod sts;
#[cfg(feature = "tpm")]
mod tpm;
mod upstream;
mod user;

pub use external::AwsEnvironment;
pub use jwt_bearer::AccessTokenKind;
pub use options::{Endpoints, LiveOptions, LiveSource};

use super::cache::CacheTokensLayer;
use super::failure::Failure;
use super::kind::TokenRequest;
use super::{Attend, Credentials, SourceFacts, observe};
use crate::metrics::Metrics;
use accounts::Accounts;
use doctor::Doctor;
use file::{CredentialFile, Origin, Plan, Wanted};
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{
    AccessToken, AccessTokenRequest, AccessTokenSource, IdToken, IdTokenRequest, IdTokenSource, TokenError,
};
use std::sync::Arc;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};
use upstream::Upstream;

/// What logs and metrics call it.
const SOURCE: &str = "live";

/// Sources of either kind, from one file. Beside the error their failures have what the cache and each other need to know.
#[derive(Clone)]
struct Sources {
    access: Option<AccessSource>,
    id: Option<IdSource>,
}

type AccessSource = BoxCloneSyncService<AccessTokenRequest, AccessToken, Failure>;
type IdSource = BoxCloneSyncService<IdTokenRequest, IdToken, Failure>;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file can't be used.
    #[error("{place}: {problem}")]
    File {
        /// The file, or where else they are.
        place: String,
        /// What is wrong, without secrets.
        problem: String,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

pub(super) fn open(
    options: LiveOptions,
    metrics: Option<&Metrics>,
    limit: Option<Arc<RateLimit>>,
) -> Result<Credentials, CredentialError> {
    Ok(serve(Arc::new(options.accounts()?), metrics, limit))
}

impl LiveOptions {
    /// Whose tokens come from where.
    fn accounts(self) -> Result<Accounts, CredentialError> {
        let plan = Plan {
            upstream: Upstream::new().map_err(|error| CredentialError::Tls(error.to_string()))?,
            endpoints: self.endpoints,
            kind: self.access_token_kind,
            allow_executables: self.allow_executables,
            certificate_config: self.certificate_config,
            aws: self.aws,
            #[cfg(feature = "tpm")]
            tpm: self.tpm,
            key_email: None,
            whose: "a key in Google's JSON says whose it is".to_owned(),
            acts_as_any: false,
            wanted: None,
        };
        let wanted = |credential_type, in_words| Some(Wanted { credential_type, in_words });
        Ok(match self.source {
            LiveSource::Key { path, email } => {
                let wanted = wanted("serviceAccountKey", "service_account or a key in PEM");
                let whose = "say whose it is with --service-account-email".to_owned();
                let plan = Plan { key_email: email.clone(), whose, wanted, ..plan };
                let file = CredentialFile::open(Origin::File(path), plan)?;
                match (email, &file.current().email) {
                    (Some(said), Some(own)) if said != *own => {
                        let problem = format!("a key of {own}, not of {said}: leave --service-account-email out");
                        return Err(CredentialError::File { place: file.origin().to_string(), problem });
                    }
                    _ => Accounts::Default(file),
                }
            }
            LiveSource::Federate { path } => {
                let plan = Plan { wanted: wanted("Federated", "external_account"), ..plan };
                Accounts::Default(CredentialFile::open(Origin::File(path), plan)?)
            }
            LiveSource::Impersonate { path } => {
                Accounts::Every(CredentialFile::open(Origin::File(path), Plan { acts_as_any: true, ..plan })?)
            }
            #[cfg(feature = "tpm")]
            LiveSource::Tpm { key } => {
                let plan = Plan { wanted: wanted("TPM", "a key in a TPM"), ..plan };
                Accounts::Default(CredentialFile::open(Origin::of(key), plan)?)
            }
            #[cfg(feature = "tpm")]
            LiveSource::TpmFederated { key, certificate, audience } => {
                let origin = Origin::Certificate { key, certificate, audience };
                Accounts::Default(CredentialFile::open(origin, plan)?)
            }
            LiveSource::PerAccount { path } => Accounts::named(&path, &plan)?,
        })
    }
}

/// The tokens of these accounts, cached, counted and looked after.
fn serve(accounts: Arc<Accounts>, metrics: Option<&Metrics>, limit: Option<Arc<RateLimit>>) -> Credentials {
    let only = accounts.only();
    let looked = Arc::clone(&accounts);
    let facts = SourceFacts {
        fingerprint: Some(Arc::new(move || looked.only().and_then(|it| it.fingerprint))),
        ..SourceFacts::new(only.as_ref().map_or("PerAccount", |it| it.credential_type))
    };
    let hits = facts.hits.clone();
    let access = observe::told(by_account(&accounts, |it| &it.access), SOURCE, metrics, limit);
    let access = CacheTokensLayer::new().count_hits(hits.clone()).refresh_ahead().layer(AccessSource::new(access));
    let id = observe::told(by_account(&accounts, |it| &it.id), SOURCE, metrics, None);
    let id = CacheTokensLayer::new().count_hits(hits).refresh_ahead().layer(IdSource::new(id));
    let doctor = Doctor { accounts, access: access.clone(), id: id.clone(), metrics: metrics.cloned() };
    let doctor = Arc::new(doctor);
    let tokens = TokenSources::default().with_access(AccessTokenSource::new(access)).with_id(IdTokenSource::new(id));
    let default_email = only.and_then(|it| it.email.clone());
    let tokens = observe::counted(tokens, SOURCE, metrics);
    let attend: Attend = Arc::new(move |reader| Box::pin(Arc::clone(&doctor).attend(reader)));
    Credentials { tokens, routes: Vec::new(), facts, default_email, attend: Some(attend), advice: None }
}

/// Tokens of one kind, from what the account that asks has now.
fn by_account<S, R>(
    accounts: &Arc<Accounts>,
    kind: fn(&Sources) -> &Option<S>,
) -> impl Service<R, Response = R::Token, Error = Failure, Future: Send> + Clone + Send + Sync + use<S, R>
where
    S: Service<R, Response = R::Token, Error = Failure, Future: Send> + Clone + Send + Sync + 'static,
    R: TokenRequest,
{
    let accounts = Arc::clone(accounts);
    service_fn(move |request: R| {
        let source = accounts.current(request.account()).and_then(|opened| kind(&opened.tokens).clone());
        async move {
            let none = || Failure::from(TokenError::NoSource { account: request.account().email.clone() });
            source.ok_or_else(none)?.oneshot(request).await
        }
    })
}
