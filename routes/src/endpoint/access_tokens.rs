//! `service-accounts/…/token`.

use super::{Answer, Call, Endpoint, Reply, refused};
use crate::snapshot::Reader;
use crate::token::{AccessToken, AccessTokenRequest, AccessTokenSource};
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Tree};
use gce_metadata_layers::{Rejection, boolean};
use http::Method;
use serde_json::json;
use tower::ServiceExt;

pub(crate) struct AccessTokens {
    reader: Reader,
    source: Option<AccessTokenSource>,
}

impl AccessTokens {
    pub(crate) fn new(reader: Reader, source: Option<AccessTokenSource>) -> Self {
        Self { reader, source }
    }

    fn request(&self, call: &Call<'_>) -> Result<AccessTokenRequest, Rejection> {
        let snapshot = self.reader.snapshot();
        let account = call.account(snapshot.tree())?;
        let enforced = is_enforced(call, snapshot.tree())?;
        let mut scopes: Vec<String> = call
            .parameter("scopes")
            .iter()
            .flat_map(|scopes| scopes.split([',', ' ']))
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        if enforced && !scopes.iter().all(|scope| account.scopes.contains(scope)) {
            return Err(Rejection::BadRequest);
        }
        if scopes.is_empty() {
            scopes.clone_from(&account.scopes);
        }
        scopes.sort_unstable();
        scopes.dedup();
        Ok(AccessTokenRequest { account, scopes })
    }
}

/// `enforce_scopes`, whose default an attribute of the instance or the project sets; where it does, a request can't opt out.
fn is_enforced(call: &Call<'_>, tree: &Tree) -> Result<bool, Rejection> {
    const ATTRIBUTE: &str = "attributes/enable-access-token-enforce-scopes";
    let by_default = ["instance", "project"]
        .iter()
        .find_map(|owner| tree.text(&format!("{owner}/{ATTRIBUTE}")))
        .is_some_and(|value| boolean(&value) == Some(true));
    match call.parameter("enforce_scopes").map(|value| boolean(&value)) {
        None => Ok(by_default),
        Some(Some(true)) => Ok(true),
        Some(Some(false)) if !by_default => Ok(false),
        Some(_) => Err(Rejection::BadRequest),
    }
}

impl Endpoint for AccessTokens {
    /// google-auth POSTs a certificate chain here when it wants a bound token, and takes an unbound one.
    fn allows(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::POST].contains(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let Some(source) = self.source.clone() else { return Err(Rejection::NotFound).into() };
        let request = match self.request(&call) {
            Ok(request) => request,
            Err(rejection) => return Err(rejection).into(),
        };
        Reply::Later(Box::pin(async move {
            let email = request.account.email.clone();
            let token = source.oneshot(request).await.map_err(|error| refused(&error, &email))?;
            Ok(answer(&token))
        }))
    }
}

fn answer(token: &AccessToken) -> Answer {
    let leaf = Leaf::json_by_default(json!({
        "access_token": token.token.expose(),
        "expires_in": token.expires_in.as_secs(),
        "token_type": "Bearer",
    }));
    Answer::Computed { leaf, text_type: TEXT }
}
