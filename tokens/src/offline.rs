//! The offline issuer: tokens without a Google account.
//!
//! Access tokens are random strings. Identity tokens have the header and claims of Google's tokens, signed by the
//! issuer's own key: services that are to accept them must fetch the public key from this server. Both kinds are
//! cached.

mod claims;
mod discovery;
mod same_second;

use super::cache::CacheTokensLayer;
use super::control::{Overrides, TokenControl};
use super::events::SharedTokenEvents;
use super::sign_on_workers::{sign_on_workers, workers};
use super::stack::{Answers, TokenStack};
use super::{Credentials, SourceInfo, Supervise};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use claims::Claims;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, TokenError};
use gce_metadata_signer::jws;
use gce_metadata_signer::{KeyError, PemSigner};
use gce_metadata_support::blocking::blocking;
use gce_metadata_support::workers::Workers;
use same_second::SameSecond;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tower::service_fn;

/// The source's name in logs and metrics.
const SOURCE: &str = "offline";

const ADVICE: &str = "tokens are made offline and no Google API accepts them; for real ones start the program with \
    --service-account-file, --impersonate or --federate, or set GOOGLE_ACCESS_TOKEN (for example to the output of \
    `gcloud auth print-access-token`) and GOOGLE_ID_TOKEN";

/// The options of the offline issuer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OfflineOptions {
    /// The `iss` claim of identity tokens. The default is [`GOOGLE`](Self::GOOGLE), as on a real VM.
    pub issuer: String,
    /// The lifetime of tokens. The default is one hour.
    pub token_lifetime: Duration,
    /// The signing key. Without one, a new key is generated, by default when a request first needs it.
    pub key: Option<PemSigner>,
    /// Generates the key when the [supervising task](Credentials::supervise) begins, so that the first identity token does not wait for
    /// it. Generating an RSA key takes up to a second of CPU time, which a test that needs no identity token saves.
    pub generate_key_at_start: bool,
}

impl OfflineOptions {
    /// The issuer of a real VM's identity tokens.
    pub const GOOGLE: &'static str = "https://accounts.google.com";
}

impl Default for OfflineOptions {
    fn default() -> Self {
        Self {
            issuer: Self::GOOGLE.into(),
            token_lifetime: Duration::from_secs(3600),
            key: None,
            generate_key_at_start: false,
        }
    }
}

pub(super) fn open(
    options: OfflineOptions,
    events: SharedTokenEvents,
    limit: Option<Arc<RateLimit>>,
) -> Result<Credentials, KeyError> {
    let key = Key(Arc::new(OnceCell::new_with(options.key)));
    // By the supervising task, which begins when the start has succeeded: a process that exits while another thread generates a key is
    // aborted by aws-lc, whose random numbers have ended.
    let generated = options.generate_key_at_start.then(|| key.clone());
    let supervise = generated.map(|key| -> Supervise {
        Arc::new(move |_| {
            let key = key.clone();
            Box::pin(async move { _ = key.get().await })
        })
    });

    let signer = key.clone();
    let fingerprint = Arc::new(move || signer.spki_sha256());
    let info = SourceInfo { fingerprint: Some(fingerprint), ..SourceInfo::new("Offline") };
    let stack = TokenStack::new(SOURCE, Answers::New, events, info.health.clone());
    let routes = discovery::routes(&options.issuer, &key);
    let lifetimes = Lifetimes { default: options.token_lifetime, overrides: stack.overrides() };
    let of_access = lifetimes.clone();
    let access = service_fn(move |request: AccessTokenRequest| {
        std::future::ready(access_token(of_access.of(&request.account.email)))
    });
    let access = stack.clone().limit(limit).service(CacheTokensLayer::new().count_hits(info.hits.clone()), access);
    let issuer: Arc<str> = options.issuer.into();
    let (same_second, workers) = (SameSecond::default(), workers());
    let id = service_fn(move |request: IdTokenRequest| {
        let lifetime = lifetimes.of(&request.account.email);
        id_token(key.clone(), workers.clone(), Arc::clone(&issuer), lifetime, same_second.clone(), request)
    });
    let overrides = stack.overrides();
    let id = stack.service(CacheTokensLayer::new().count_hits(info.hits.clone()), id);
    let control = TokenControl::new(&info, overrides).with_caches(access.cache().clone(), id.cache().clone()).offline();
    let tokens = TokenSources::default().with_access(access).with_id(id);
    let default_email = None;
    let is_for_default_account = false;
    Ok(Credentials {
        tokens,
        control,
        routes,
        info,
        default_email,
        is_for_default_account,
        supervise,
        advice: Some(ADVICE),
    })
}

/// The lifetime of new tokens.
#[derive(Clone)]
struct Lifetimes {
    default: Duration,
    overrides: Overrides,
}

impl Lifetimes {
    /// The lifetime of a new token of the account with this e-mail.
    fn of(&self, account: &str) -> Duration {
        let behaviour = self.overrides.behaviour(account);
        behaviour.and_then(|behaviour| behaviour.lifetime).unwrap_or(self.default)
    }
}

/// The issuer's key, which is generated at most once.
#[derive(Debug, Clone)]
pub(super) struct Key(Arc<OnceCell<PemSigner>>);

impl Key {
    pub(super) fn spki_sha256(&self) -> Option<[u8; 32]> {
        self.0.get().map(|signer| signer.info().spki_sha256)
    }

    async fn get(&self) -> Result<&PemSigner, TokenError> {
        let make = || async {
            let unavailable = |reason| TokenError::Unavailable { reason };
            let made = blocking(PemSigner::generate).await.map_err(|error| unavailable(error.to_string()))?;
            made.map_err(|error| unavailable(error.to_string()))
        };
        self.0.get_or_try_init(make).await
    }
}

/// A random token in the format of Google's, which no API accepts.
fn access_token(lifetime: Duration) -> Result<AccessToken, TokenError> {
    let mut random = [0; 96];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| TokenError::Unavailable { reason: "the system's random number generator failed".into() })?;
    let token = format!("ya29.c.{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    Ok(AccessToken::new(token, lifetime))
}

async fn id_token(
    key: Key,
    workers: Workers,
    issuer: Arc<str>,
    lifetime: Duration,
    same_second: SameSecond,
    request: IdTokenRequest,
) -> Result<IdToken, TokenError> {
    let signer = key.get().await?;
    let now = SystemTime::now();
    let earlier = Duration::from_secs(same_second.count(&request, now));
    let claims = Claims::new(&request, &issuer, now - earlier, lifetime + earlier);
    let key = signer.info();
    let signed = jws::sign(sign_on_workers(signer.clone(), workers), key.alg, Some(&key.key_id), &claims).await;
    let token = signed.map_err(|error| TokenError::Unavailable { reason: error.to_string() })?;
    Ok(IdToken::new(token))
}

#[cfg(test)]
mod tests;
