//! A service account's own key: an assertion signed with it is a token already, or is exchanged for one.
//!
//! It takes any signer, and so serves keys in files and keys in chips alike.

use super::form::Form;
use super::sts::{self, JWT_BEARER};
use super::upstream::{Upstream, unavailable};
use super::{AccessSource, IdSource, Sources};
use crate::credentials::failure::Failure;
use crate::jws::{self, Assertion};
use crate::signer::{BoxSigner, JwsAlgorithm};
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, Secret};
use tower::service_fn;

/// What an access token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokenKind {
    /// The assertion is exchanged for a token at the key's token endpoint.
    Oauth,
    /// The assertion is the token: nothing is asked, and Google's own APIs take it.
    Jwt,
}

#[derive(Clone)]
pub(crate) struct JwtBearer {
    pub(crate) signer: BoxSigner,
    /// The `kid` that Google knows the key by. Of a key that it has not made itself it is not known here, and then Google
    /// tries all that the account has.
    pub(crate) key_id: Option<String>,
    /// Whose the key is: nobody but the account that it was asked for says so of a key without a file.
    pub(crate) email: Option<String>,
    pub(crate) token_uri: String,
    pub(crate) kind: AccessTokenKind,
    pub(crate) upstream: Upstream,
}

impl JwtBearer {
    /// The token services.
    pub(crate) fn tokens(self) -> Sources {
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
        }
    }

    fn email<'a>(&'a self, account: &'a ServiceAccount) -> &'a str {
        self.email.as_deref().unwrap_or(&account.email)
    }

    async fn access_token(&self, email: &str, scope: &str) -> Result<AccessToken, Failure> {
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

    async fn id_token(&self, email: &str, audience: &str) -> Result<IdToken, Failure> {
        let assertion = self.signed(&Assertion::for_id_token(email, &self.token_uri, audience)).await?;
        let form = Form::new(JWT_BEARER).secret("assertion", &assertion).redact(audience);
        sts::id_token(&self.upstream, &self.token_uri, form).await
    }

    async fn signed(&self, assertion: &Assertion<'_>) -> Result<Secret, Failure> {
        let signed = jws::sign(self.signer.clone(), JwsAlgorithm::Rs256, self.key_id.as_deref(), assertion).await;
        signed.map_err(|error| unavailable(error.to_string()))
    }
}
