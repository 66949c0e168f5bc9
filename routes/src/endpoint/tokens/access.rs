//! `service-accounts/…/token`.

use super::{Answer, Call, Object, TokenKind, exposed};
use crate::accounts::ServiceAccount;
use crate::token::{AccessToken, AccessTokenRequest, Secret};
use crate::tree::Tree;
use gce_metadata_layers::{Rejection, parse_bool};
use serde::Serialize;
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
        Object::answer(Granted { access_token, expires_in, token_type: "Bearer" })
    }
}

#[derive(Serialize)]
struct Granted {
    #[serde(serialize_with = "exposed")]
    access_token: Secret,
    expires_in: u64,
    token_type: &'static str,
}

/// What a call asks of the source, with its scopes in this parameter.
pub(super) fn request(
    call: &Call<'_>,
    tree: &Tree,
    account: Arc<ServiceAccount>,
    parameter: &str,
) -> Result<AccessTokenRequest, Rejection> {
    // Nearly always; and with nothing named there is nothing to enforce.
    if call.head.query().is_none() {
        return Ok(AccessTokenRequest { scopes: Arc::clone(&account.scopes), account });
    }
    let named = call.parameter(parameter).unwrap_or_default();
    let scopes = scopes(&named, is_enforced(call, tree)?, &account)?;
    Ok(AccessTokenRequest { account, scopes })
}

/// The scopes that the call names, of those that the account has; all that it has where none is left. Where scopes are
/// enforced, naming another one is a mistake.
fn scopes(named: &str, enforced: bool, account: &ServiceAccount) -> Result<Arc<[String]>, Rejection> {
    let named: Vec<&str> = named.split([',', ' ']).filter(|scope| !scope.is_empty()).collect();
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

/// `enforce_scopes`, whose default an attribute of the instance or the project sets; where it does, a request can't opt out.
fn is_enforced(call: &Call<'_>, tree: &Tree) -> Result<bool, Rejection> {
    let by_default = tree.is_switched_on("enable-access-token-enforce-scopes");
    match call.parameter("enforce_scopes").map(|value| parse_bool(&value)) {
        None => Ok(by_default),
        Some(Some(true)) => Ok(true),
        Some(Some(false)) if !by_default => Ok(false),
        Some(_) => Err(Rejection::BadRequest),
    }
}
