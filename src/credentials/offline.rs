//! The offline issuer: tokens for whoever has no Google account at hand.
//!
//! Its access tokens are random. Its identity tokens are what Google's are (the same header, the same claims, a real
//! signature) but for the key: who is to accept them must be told to fetch keys here. Both are cached.

mod claims;
mod discovery;

use super::cache::CacheTokensLayer;
use super::{Credentials, SourceFacts, observe};
use crate::blocking::blocking;
use crate::jws;
use crate::metrics::Metrics;
use crate::signer::{BoxSigner, KeyError, PemSigner};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use claims::Claims;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{
    AccessToken, AccessTokenRequest, AccessTokenSource, IdToken, IdTokenRequest, IdTokenSource, TokenError,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tower::{Layer, service_fn};

/// What logs and metrics call it.
const SOURCE: &str = "offline";

const ADVICE: &str = "tokens are made offline and no Google API accepts them; for real ones start the program with \
    --service-account-file, --impersonate or --federate, or set GOOGLE_ACCESS_TOKEN (for example to the output of \
    `gcloud auth print-access-token`) and GOOGLE_ID_TOKEN";

/// How the offline issuer is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OfflineOptions {
    /// The `iss` claim of its identity tokens. By default it is Google's, as on a real VM.
    pub issuer: String,
    /// How long its tokens live.
    pub token_lifetime: Duration,
    /// The key it signs with. Without one, a new one is made at each start.
    pub key: Option<PemSigner>,
}

impl OfflineOptions {
    /// Whose tokens a real VM's are.
    pub const GOOGLE: &'static str = "https://accounts.google.com";
}

impl Default for OfflineOptions {
    fn default() -> Self {
        Self { issuer: Self::GOOGLE.into(), token_lifetime: Duration::from_secs(3600), key: None }
    }
}

pub(super) fn open(
    options: OfflineOptions,
    metrics: Option<&Metrics>,
    limit: Option<Arc<RateLimit>>,
) -> Result<Credentials, KeyError> {
    let key = Key(Arc::new(OnceCell::new_with(options.key)));
    // Making a key takes longer than all else at start together, and most servers are asked for an access token first.
    let early = key.clone();
    tokio::spawn(async move { early.get().await.map(|_| ()) });

    let lifetime = options.token_lifetime;
    let looked = key.clone();
    let fingerprint = Arc::new(move || looked.spki_sha256());
    let facts = SourceFacts { fingerprint: Some(fingerprint), ..SourceFacts::new("Offline") };
    let hits = facts.hits.clone();
    let made = service_fn(move |_: AccessTokenRequest| std::future::ready(access_token(lifetime)));
    let access = CacheTokensLayer::new().count_hits(hits.clone()).layer(observe::told(made, SOURCE, metrics, limit));
    let routes = discovery::routes(&options.issuer, &key);
    let issuer: Arc<str> = options.issuer.into();
    let id = service_fn(move |request| id_token(key.clone(), Arc::clone(&issuer), lifetime, request));
    let id = CacheTokensLayer::new().count_hits(hits).layer(observe::told(id, SOURCE, metrics, None));
    let tokens = TokenSources::default().with_access(AccessTokenSource::new(access)).with_id(IdTokenSource::new(id));
    let tokens = observe::counted(tokens, SOURCE, metrics);
    Ok(Credentials { tokens, routes, facts, default_email: None, attend: None, advice: Some(ADVICE) })
}

/// The issuer's key, as soon as it is made.
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

/// A token that looks like Google's and is accepted by nobody.
fn access_token(lifetime: Duration) -> Result<AccessToken, TokenError> {
    let mut random = [0; 96];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| TokenError::Unavailable { reason: "the system has no randomness to give".into() })?;
    let token = format!("ya29.c.{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    Ok(AccessToken::new(token, lifetime))
}

async fn id_token(
    key: Key,
    issuer: Arc<str>,
    lifetime: Duration,
    request: IdTokenRequest,
) -> Result<IdToken, TokenError> {
    let signer = key.get().await?;
    let claims = Claims::new(&request, &issuer, SystemTime::now(), lifetime);
    let key = signer.info();
    let signed = jws::sign(BoxSigner::new(signer.clone()), key.alg, Some(&key.key_id), &claims).await;
    let token = signed.map_err(|error| TokenError::Unavailable { reason: error.to_string() })?;
    Ok(IdToken::new(token))
}

#[cfg(test)]
mod tests;
