//! The live source: tokens that Google accepts, from every type of credentials that Google issues.
//!
//! `file.rs` opens a credentials file as a pair of token services. This module assigns them to accounts and composes
//! the token path with them as its innermost services; the supervisor reloads and probes them.

mod accounts;
mod by_account;
#[cfg(feature = "device")]
mod device;
mod document;
mod error;
mod external;
mod file;
mod file_digests;
mod form;
mod iam;
mod jwt_bearer;
mod key;
mod loaded;
mod location;
mod open_context;
mod options;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod redact;
mod reloadable;
mod retry;
mod sts;
mod supervisor;
mod upstream;
mod user;

pub use document::{DocumentError, get_document};
pub use error::CredentialError;
pub use options::{AccessTokenKind, AwsEnvironment, Endpoints, LiveOptions, LiveSource};

use super::cache::CacheTokensLayer;
use super::control::TokenControl;
use super::events::SharedTokenEvents;
use super::sign_on_workers::workers;
use super::stack::{Answers, TokenStack};
use super::{Credentials, SourceInfo, Supervise};
use accounts::Accounts;
use by_account::ByAccount;
#[cfg(feature = "device")]
use device::DeviceKey;
use file::CredentialFile;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{AccessTokenRequest, IdTokenRequest};
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::TpmKey;
use location::Location;
use open_context::{ExpectedType, OpenContext};
use std::sync::Arc;
use supervisor::Supervisor;
use tower::ServiceExt;
use upstream::Upstream;

/// The source's name in logs and metrics.
const SOURCE: &str = "live";

pub(super) fn open(
    options: LiveOptions,
    events: SharedTokenEvents,
    limit: Option<Arc<RateLimit>>,
) -> Result<Credentials, CredentialError> {
    Ok(serve(Arc::new(options.accounts()?), events, limit))
}

impl LiveOptions {
    /// Opens the credentials, and assigns them to accounts.
    fn accounts(self) -> Result<Accounts, CredentialError> {
        let context = OpenContext {
            upstream: Upstream::new(),
            workers: workers(),
            endpoints: self.endpoints,
            kind: self.access_token_kind,
            allow_executables: self.allow_executables,
            withheld_variables: self.withheld_variables,
            certificate_config: self.certificate_config,
            aws: self.aws,
            #[cfg(feature = "tpm")]
            tpm: self.tpm,
            #[cfg(feature = "pkcs11")]
            pkcs11: self.pkcs11,
            #[cfg(feature = "pkcs11")]
            pkcs11_module: self.pkcs11_module,
            key_email: None,
            key_email_hint: "use a key in Google's JSON format, which contains its account's e-mail".to_owned(),
            acts_as_any: false,
            expected: None,
        };
        let expected = |credential_type, in_words| Some(ExpectedType { credential_type, in_words });
        Ok(match self.source {
            LiveSource::Key { path, email } => {
                let expected = expected("serviceAccountKey", "service_account or a key in PEM");
                let key_email_hint = "set its account with --service-account-email".to_owned();
                let context = OpenContext { key_email: email.clone(), key_email_hint, expected, ..context };
                let file = CredentialFile::open(Location::File(path), context)?;
                match (email, &file.current().email) {
                    (Some(given), Some(own)) if given != *own => {
                        let problem = format!("a key of {own}, not of {given}: leave --service-account-email out");
                        return Err(CredentialError::File { place: file.location().to_string(), problem });
                    }
                    _ => Accounts::Default(file),
                }
            }
            LiveSource::Federate { path } => Accounts::Default(CredentialFile::open(Location::File(path), context)?),
            LiveSource::Impersonate { path } => Accounts::Every(CredentialFile::open(
                Location::File(path),
                OpenContext { acts_as_any: true, ..context },
            )?),
            #[cfg(feature = "tpm")]
            LiveSource::Tpm { key } => {
                let context = OpenContext { expected: expected("TPM", "a key in a TPM"), ..context };
                let location = match key {
                    TpmKey::File(path) => Location::File(path),
                    key => Location::Device(DeviceKey::Tpm(key)),
                };
                Accounts::Default(CredentialFile::open(location, context)?)
            }
            #[cfg(feature = "tpm")]
            LiveSource::TpmFederated { key, certificate, audience } => {
                let location = Location::Certificate { key: DeviceKey::Tpm(key), certificate, audience };
                Accounts::Default(CredentialFile::open(location, context)?)
            }
            #[cfg(feature = "pkcs11")]
            LiveSource::Pkcs11 { key } => {
                Accounts::Default(CredentialFile::open(Location::Device(DeviceKey::Pkcs11(key)), context)?)
            }
            #[cfg(feature = "pkcs11")]
            LiveSource::Pkcs11Federated { key, certificate, audience } => {
                let location = Location::Certificate { key: DeviceKey::Pkcs11(key), certificate, audience };
                Accounts::Default(CredentialFile::open(location, context)?)
            }
            LiveSource::PerAccount { path } => Accounts::named(&path, &context)?,
        })
    }
}

/// Composes the token paths of these accounts.
fn serve(accounts: Arc<Accounts>, events: SharedTokenEvents, limit: Option<Arc<RateLimit>>) -> Credentials {
    let only = accounts.only();
    let is_for_default_account = matches!(*accounts, Accounts::Default(_));
    let current = Arc::clone(&accounts);
    let info = SourceInfo {
        fingerprint: Some(Arc::new(move || current.only().and_then(|it| it.fingerprint))),
        ..SourceInfo::new(only.as_ref().map_or("PerAccount", |it| it.credential_type))
    };
    let stack = TokenStack::new(SOURCE, Answers::New, Arc::clone(&events), info.health.clone());
    let control = TokenControl::new(&info, stack.overrides());
    let cache = CacheTokensLayer::new().count_hits(info.hits.clone()).refresh_ahead();
    let access = ByAccount::new(Arc::clone(&accounts), |it| &it.access);
    let access = stack.clone().limit(limit).service::<AccessTokenRequest, _, _>(cache, access);
    let cache = CacheTokensLayer::new().count_hits(info.hits.clone()).refresh_ahead();
    let id = ByAccount::new(Arc::clone(&accounts), |it| &it.id);
    let id = stack.service::<IdTokenRequest, _, _>(cache, id);
    let control = control.with_caches(access.cache().clone(), id.cache().clone());
    let formats = Arc::clone(&accounts);
    let supervisor = Arc::new(Supervisor {
        accounts,
        access: access.cache().clone(),
        id: id.cache().clone(),
        health: info.health.clone(),
        events,
    });
    // Above the cache, whose key is the request.
    let id = id.map_request(move |request: IdTokenRequest| match formats.current(&request.account) {
        Some(loaded) => loaded.tokens.id_format.normalized(request),
        None => request,
    });
    let tokens = TokenSources::default().with_access(access).with_id(id);
    let default_email = only.and_then(|it| it.email.clone());
    let supervise: Supervise = Arc::new(move |reader| Box::pin(Arc::clone(&supervisor).run(reader)));
    let (routes, supervise) = (Vec::new(), Some(supervise));
    Credentials { tokens, control, routes, info, default_email, is_for_default_account, supervise, advice: None }
}
