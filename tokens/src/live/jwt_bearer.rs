//! Tokens by a service account's key: a signed assertion is an access token itself (JWT), or is exchanged for a token
//! (OAuth).
//!
//! It works with any signer, so keys in files and keys in TPMs share this code.

use super::form::Form;
use super::loaded::{AccessSource, IdFormat, IdSource, Sources};
use super::options::AccessTokenKind;
use super::sts::{self, JWT_BEARER};
use super::upstream::{Upstream, unavailable};
use crate::fetch_error::FetchError;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, Secret};
use gce_metadata_signer::jws::{self, Assertion};
use gce_metadata_signer::{BoxSigner, JwsAlgorithm};
use tower::service_fn;

/// Makes tokens with a signer.
#[derive(Clone)]
pub(super) struct JwtBearer {
    pub(super) signer: BoxSigner,
    /// `kid` of the key; `None` if Google did not create it: Google then tries every key of the account.
    pub(super) key_id: Option<String>,
    /// The account of the key; `None` for the account of each request.
    pub(super) email: Option<String>,
    pub(super) token_uri: String,
    pub(super) kind: AccessTokenKind,
    pub(super) upstream: Upstream,
}

impl JwtBearer {
    /// The token services.
    pub(super) fn tokens(self) -> Sources {
        let (access, id) = (self.clone(), self);
        Sources {
            access: Some(AccessSource::new(service_fn(move |request: AccessTokenRequest| {
                let this = access.clone();
                async move { this.access_token(this.email(&request.account), &request.scopes.join(" ")).await }
            }))),
            id: Some(IdSource::new(service_fn(move |request: IdTokenRequest| {
                let this = id.clone();
                async move { this.id_token(this.email(&request.account), &request.audience).await }
            }))),
            id_format: IdFormat::Ignored,
        }
    }

    fn email<'a>(&'a self, account: &'a ServiceAccount) -> &'a str {
        self.email.as_deref().unwrap_or(&account.email)
    }

    async fn access_token(&self, email: &str, scope: &str) -> Result<AccessToken, FetchError> {
        match self.kind {
            AccessTokenKind::Jwt => {
                let token = self.signed(&Assertion::as_access_token(email, scope)).await?;
                Ok(AccessToken::new(token, Assertion::LIFETIME))
            }
            AccessTokenKind::Oauth => {
                let assertion = self.signed(&Assertion::for_access_token(email, &self.token_uri, scope)).await?;
                let form = Form::new(JWT_BEARER).secret("assertion", &assertion);
                sts::access_token(&self.upstream, &self.token_uri, form).await
            }
        }
    }

    async fn id_token(&self, email: &str, audience: &str) -> Result<IdToken, FetchError> {
        let assertion = self.signed(&Assertion::for_id_token(email, &self.token_uri, audience)).await?;
        let form = Form::new(JWT_BEARER).secret("assertion", &assertion).redact(audience);
        sts::id_token(&self.upstream, &self.token_uri, form).await
    }

    async fn signed(&self, assertion: &Assertion<'_>) -> Result<Secret, FetchError> {
        let signed = jws::sign(self.signer.clone(), JwsAlgorithm::Rs256, self.key_id.as_deref(), assertion).await;
        signed.map_err(|error| unavailable(error.to_string()))
    }
}
