//! `service-accounts/…/token`: access tokens.

use super::{Answer, Call, TokenKind, exposed, json_string, lines};
use crate::accounts::ServiceAccount;
use crate::token::{AccessToken, AccessTokenRequest, Secret};
use crate::tree::Tree;
use crate::tree::represent::JSON;
use gce_metadata_layers::{Format, Query, Rejection, Represent, Representation, parse_bool};
use http::StatusCode;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Access;

impl TokenKind for Access {
    type Request = AccessTokenRequest;
    type Token = AccessToken;

    fn request(
        &self,
        call: &Call<'_>,
        tree: &Tree,
        account: Arc<ServiceAccount>,
    ) -> Result<AccessTokenRequest, Rejection> {
        request(call, tree, account, "scopes")
    }

    fn answer(token: &AccessToken) -> Answer {
        let (access_token, expires_in) = (token.token.clone(), token.expires_in.as_secs());
        Answer::Custom(Box::new(Granted { access_token, expires_in, token_type: "Bearer" }))
    }
}

#[derive(Serialize)]
struct Granted {
    #[serde(serialize_with = "exposed")]
    access_token: Secret,
    expires_in: u64,
    token_type: &'static str,
}

impl Represent for Granted {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        if query.alt == Some(Format::Text) {
            return Ok(lines(self));
        }
        // Only the lifetime differs between the answers with a token, so the token is encoded once.
        let token = self.access_token.expose_encoded(json_string);
        let mut json = String::with_capacity(token.len() + 80);
        json.push_str(r#"{"access_token":"#);
        json.push_str(token);
        let _ = write!(json, r#","expires_in":{}"#, self.expires_in);
        json.push_str(r#","token_type":""#);
        json.push_str(self.token_type);
        json.push_str(r#""}"#);
        Ok(Representation::new(json.into(), JSON).untagged())
    }
}

/// GCE's answer for an account without scopes. gcloud looks for this text.
const NO_SCOPES: Rejection = Rejection::Worded {
    status: StatusCode::NOT_FOUND,
    content_type: JSON,
    words: Cow::Borrowed(r#""No service account scopes specified.""#),
};

/// Builds the request to the source; `parameter` is the query parameter with the scopes.
pub(super) fn request(
    call: &Call<'_>,
    tree: &Tree,
    account: Arc<ServiceAccount>,
    parameter: &str,
) -> Result<AccessTokenRequest, Rejection> {
    if account.scopes.is_empty() {
        return Err(NO_SCOPES);
    }
    // The common case; without scopes in the query there is nothing to enforce.
    if call.head.query().is_none() {
        return Ok(logged(AccessTokenRequest { scopes: Arc::clone(&account.scopes), account, requested: None }));
    }
    let named = call.parameter(parameter).unwrap_or_default();
    let named: Vec<&str> = named.split([',', ' ']).filter(|scope| !scope.is_empty()).collect();
    let requested = (!named.is_empty()).then(|| named.iter().map(|scope| (*scope).to_owned()).collect());
    let scopes = scopes(named, is_enforced(call, tree)?, &account)?;
    Ok(logged(AccessTokenRequest { account, scopes, requested }))
}

/// Logs what a client requests and what it gets. Both are names, not secrets.
fn logged(request: AccessTokenRequest) -> AccessTokenRequest {
    let (account, granted) = (&request.account.email, &request.scopes);
    let requested = request.requested.as_deref().unwrap_or_default();
    tracing::debug!(account, ?requested, ?granted, "access token requested");
    request
}

/// The requested scopes that the account has, or all scopes of the account if none remains. If scopes are enforced, a requested scope
/// that the account does not have is an error.
fn scopes(named: Vec<&str>, enforced: bool, account: &ServiceAccount) -> Result<Arc<[String]>, Rejection> {
    let is_own = |scope: &&str| account.scopes.iter().any(|own| own == scope);
    if enforced && !named.iter().all(is_own) {
        return Err(Rejection::BadRequest);
    }
    let mut own: Vec<&str> = named.into_iter().filter(is_own).collect();
    if own.is_empty() {
        return Ok(Arc::clone(&account.scopes));
    }
    own.sort_unstable();
    own.dedup();
    Ok(own.into_iter().map(str::to_owned).collect())
}

/// Whether scopes are enforced: by the parameter `enforce_scopes`, or by an attribute of the instance or the project. A request can't
/// override the attribute with `false`.
fn is_enforced(call: &Call<'_>, tree: &Tree) -> Result<bool, Rejection> {
    let by_default = tree.is_switched_on("enable-access-token-enforce-scopes");
    match call.parameter("enforce_scopes").map(|value| parse_bool(&value)) {
        None => Ok(by_default),
        Some(Some(true)) => Ok(true),
        Some(Some(false)) if !by_default => Ok(false),
        Some(_) => Err(Rejection::BadRequest),
    }
}
