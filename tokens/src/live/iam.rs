//! Impersonation: the IAM Credentials API issues tokens of a service account to an identity that may impersonate it.

use super::error::Problem;
use super::loaded::{AccessSource, GOOGLE, IdFormat, IdSource, LoadedCredentials, Owner, Sources};
use super::open_context::OpenContext;
use super::sts::{granted, name, token};
use super::upstream::{Upstream, unavailable};
use crate::cache::{CacheTokens, CacheTokensLayer};
use crate::fetch_error::FetchError;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, Secret};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tower::{Layer, ServiceExt, service_fn};

pub(super) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const LIFETIME: &str = "3600s";
const ACCOUNTS: &str = "/v1/projects/-/serviceAccounts/";

/// The impersonation of a service account by another identity, the actor.
#[derive(Clone)]
pub(super) struct Impersonation {
    pub(super) upstream: Upstream,
    /// The identity that impersonates.
    pub(super) actor: Actor,
    /// The URL of the API, such as `https://iamcredentials.googleapis.com`.
    pub(super) base: String,
    /// The impersonated account; `None` for the account of each request.
    pub(super) target: Option<String>,
    /// The delegation chain: accounts in between, each of which may impersonate the next.
    pub(super) delegates: Vec<String>,
    /// The lifetime of access tokens, such as `3600s`.
    pub(super) lifetime: Option<String>,
}

/// A credentials file of `type` `impersonated_service_account`.
#[derive(Deserialize)]
pub(super) struct ImpersonatedServiceAccount<'a> {
    service_account_impersonation_url: String,
    #[serde(borrow)]
    source_credentials: &'a RawValue,
    #[serde(default)]
    delegates: Vec<String>,
    #[serde(default, deserialize_with = "name")]
    universe_domain: Option<String>,
}

impl ImpersonatedServiceAccount<'_> {
    /// Opens the credentials. `open_source` opens the source credentials, which may be of any type.
    pub(super) fn open(
        self,
        context: &OpenContext,
        open_source: impl FnOnce(&str, &OpenContext) -> Result<LoadedCredentials, Problem>,
    ) -> Result<LoadedCredentials, Problem> {
        let (base, email) = parse_url(&self.service_account_impersonation_url)?;
        let actor = open_source(self.source_credentials.get(), context);
        let actor = actor.map_err(|problem| problem.at("source_credentials"))?;
        let universe = self.universe_domain.unwrap_or(actor.universe);
        let base = context.endpoints.iam(Some(base), &universe);
        let impersonation = Impersonation {
            target: Some(email.clone()),
            delegates: self.delegates,
            ..Impersonation::of_any(context, base, actor.tokens.access.unwrap_or_else(no_source))
        };
        let loaded = LoadedCredentials::new("Impersonated", impersonation.tokens());
        Ok(LoadedCredentials { universe, files: actor.files, ..loaded.of(email) })
    }
}

/// Credentials that impersonate the account of each request.
pub(super) fn as_any(actor: LoadedCredentials, context: &OpenContext) -> LoadedCredentials {
    let base = context.endpoints.iam(None, &actor.universe);
    let impersonation = Impersonation::of_any(context, base, actor.tokens.access.unwrap_or_else(no_source));
    let loaded = LoadedCredentials::new("Impersonated", impersonation.tokens());
    LoadedCredentials { owner: Some(Owner::Requested), universe: actor.universe, files: actor.files, ..loaded }
}

/// The cached access tokens of the impersonating identity. One of them serves many requests for tokens of the target.
#[derive(Clone)]
pub(super) struct Actor {
    tokens: CacheTokens<AccessSource, AccessTokenRequest>,
    request: AccessTokenRequest,
}

impl Actor {
    fn new(source: AccessSource) -> Self {
        let account = ServiceAccount::new("", Vec::new(), Vec::new()).into();
        let request = AccessTokenRequest::new(account, [CLOUD_PLATFORM.to_owned()]);
        Self { tokens: CacheTokensLayer::new().layer(source), request }
    }

    async fn bearer(&self) -> Result<Secret, FetchError> {
        Ok(self.tokens.clone().oneshot(self.request.clone()).await?.token)
    }

    fn evict(&self, bearer: &Secret) {
        self.tokens.evict_if(&self.request, |known| known.token == *bearer);
    }
}

fn no_source() -> AccessSource {
    let none = || std::future::ready(Err(unavailable("credentials without access tokens".to_owned())));
    AccessSource::new(service_fn(move |_| none()))
}

/// Splits a `service_account_impersonation_url` into its base URL and the account.
pub(super) fn parse_url(url: &str) -> Result<(String, String), String> {
    let parse = || {
        let (base, rest) = url.split_once(ACCOUNTS)?;
        let (email, _) = rest.split_once(':')?;
        Some((base.to_owned(), email.to_owned()))
    };
    parse().ok_or_else(|| {
        format!("service_account_impersonation_url: https://iamcredentials.{GOOGLE}{ACCOUNTS}EMAIL:generateAccessToken is expected")
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessTokenAnswer {
    #[serde(default, deserialize_with = "token")]
    access_token: Option<Secret>,
    expire_time: String,
}

#[derive(Deserialize)]
struct IdTokenAnswer {
    #[serde(default, deserialize_with = "token")]
    token: Option<Secret>,
}

impl Impersonation {
    /// Impersonation of the account of each request, by the identity with these access tokens.
    pub(super) fn of_any(context: &OpenContext, base: String, actor: AccessSource) -> Self {
        let (upstream, actor) = (context.upstream.clone(), Actor::new(actor));
        Self { upstream, actor, base, target: None, delegates: Vec::new(), lifetime: None }
    }

    /// The token services.
    pub(super) fn tokens(self) -> Sources {
        self.id_sources(self.access_source())
    }

    /// Identity tokens by impersonation beside these access tokens.
    pub(super) fn id_sources(&self, access: AccessSource) -> Sources {
        let id = Some(self.clone().id_source());
        Sources { access: Some(access), id, id_format: IdFormat::IncludesEmail }
    }

    fn access_source(&self) -> AccessSource {
        let this = self.clone();
        AccessSource::new(service_fn(move |request: AccessTokenRequest| {
            let this = this.clone();
            async move { this.access_token(request).await }
        }))
    }

    /// The source of identity tokens.
    fn id_source(self) -> IdSource {
        IdSource::new(service_fn(move |request: IdTokenRequest| {
            let this = self.clone();
            async move { this.id_token(request).await }
        }))
    }

    async fn access_token(&self, request: AccessTokenRequest) -> Result<AccessToken, FetchError> {
        let body = json!({
            "delegates": self.delegates(),
            "scope": *request.scopes,
            "lifetime": self.lifetime.as_deref().unwrap_or(LIFETIME),
        });
        let url = self.url(&request.account, "generateAccessToken");
        let answer: AccessTokenAnswer = self.ask(&url, &body).await?;
        let expires_in = until(&answer.expire_time).ok_or_else(|| {
            unavailable("generateAccessToken answered without a future time in expireTime".to_owned())
        })?;
        granted(answer.access_token.ok_or_else(|| no_token("generateAccessToken"))?, expires_in)
    }

    async fn id_token(&self, request: IdTokenRequest) -> Result<IdToken, FetchError> {
        let body = json!({
            "delegates": self.delegates(),
            "audience": request.audience,
            "includeEmail": request.instance.is_some(),
        });
        let url = self.url(&request.account, "generateIdToken");
        let answer: IdTokenAnswer = self.ask(&url, &body).await?;
        answer.token.map(IdToken::new).ok_or_else(|| no_token("generateIdToken"))
    }

    /// Calls the API with a token of the actor. A rejected (401) token is evicted, and the call is retried once with a
    /// new one.
    async fn ask<T: DeserializeOwned>(&self, url: &str, body: &Value) -> Result<T, FetchError> {
        let bearer = self.actor.bearer().await?;
        match self.upstream.post_json(url, &bearer, body).await {
            Err(failure) if failure.status == Some(StatusCode::UNAUTHORIZED) => {
                self.actor.evict(&bearer);
                self.upstream.post_json(url, &self.actor.bearer().await?, body).await
            }
            answer => answer,
        }
    }

    fn url(&self, account: &ServiceAccount, method: &str) -> String {
        let email = self.target.as_deref().unwrap_or(&account.email);
        format!("{}{ACCOUNTS}{email}:{method}", self.base)
    }

    fn delegates(&self) -> Vec<String> {
        let full = |name: &String| match name.starts_with("projects/") {
            true => name.clone(),
            false => format!("projects/-/serviceAccounts/{name}"),
        };
        self.delegates.iter().map(full).collect()
    }
}

fn no_token(method: &str) -> FetchError {
    unavailable(format!("{method} answered without a token"))
}

/// The time from now to the expiry; `None` if it is invalid or past.
fn until(expiry: &str) -> Option<Duration> {
    let expiry = OffsetDateTime::parse(expiry, &Rfc3339).ok()?;
    Duration::try_from(expiry - OffsetDateTime::from(std::time::SystemTime::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impersonation_url_is_split_into_base_and_account() {
        let url = "https://iam.example.com/v1/projects/-/serviceAccounts/a@example.com:generateAccessToken";
        assert_eq!(parse_url(url), Ok(("https://iam.example.com".into(), "a@example.com".into())));
        assert!(parse_url("https://iam.example.com/v1/a@example.com").is_err());
    }

    #[test]
    fn an_empty_token_is_no_token() {
        for (token, is_some) in [(json!("t"), true), (json!(""), false), (json!(null), false)] {
            let access = json!({"accessToken": &token, "expireTime": "2999-01-01T00:00:00Z"});
            let access: AccessTokenAnswer = serde_json::from_value(access).unwrap();
            let id: IdTokenAnswer = serde_json::from_value(json!({"token": &token})).unwrap();
            assert_eq!((access.access_token.is_some(), id.token.is_some()), (is_some, is_some), "{token}");
        }
    }

    #[test]
    fn a_past_or_invalid_expiry_is_none() {
        assert!(until("2999-01-01T00:00:00Z").is_some());
        assert!(until("1999-01-01T00:00:00Z").is_none());
        assert!(until("tomorrow").is_none());
    }
}
