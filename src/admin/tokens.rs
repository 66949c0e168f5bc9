//! `/__admin/tokens`: the state of each account's tokens, given tokens, and the behaviour of the offline issuer. No answer has a token.

use super::call::{Call, Outcome, empty, json};
use super::problem::Problem;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, IdToken};
use gce_metadata_support::Secret;
use gce_metadata_tokens::{Behaviour, Given, GivenStatus, IdTokenFormat, KindStatus, Then, TokenStatus};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The lifetime of a given access token whose document has none, in seconds.
const EXPIRES_IN: u64 = 3600;

/// The longest lifetime of a given access token, in seconds: some clients read it as a 32-bit integer.
const MAX_EXPIRES_IN: u64 = i32::MAX as u64;

/// `GET /__admin/tokens`: the state of all accounts.
pub(super) async fn list(call: Call) -> Outcome {
    let vm = &call.admin.vm;
    let accounts = vm.reader().snapshot().tree().service_accounts();
    let accounts: Vec<_> = accounts.iter().map(|account| status(&vm.tokens().status(&account.email))).collect();
    json(&json!({"accounts": accounts}))
}

/// `GET`: the state of an account.
pub(super) async fn get(call: Call) -> Outcome {
    let account = account(&call)?;
    json(&status(&call.admin.vm.tokens().status(&account.email)))
}

/// The body of a `PUT`: given tokens in the form of their endpoints, or the behaviour of the offline issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    access_token: Option<String>,
    expires_in: Option<u64>,
    id_token: Option<String>,
    then: Option<Next>,
    lifetime: Option<u64>,
    skew: Option<i64>,
    reuse: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Next {
    Source,
    Unavailable,
}

/// `PUT`: gives tokens, or sets the behaviour.
pub(super) async fn put(call: Call) -> Outcome {
    let account = account(&call)?;
    let document: Document = call.json().map_err(Problem::without_values)?;
    let control = call.admin.vm.tokens();
    let behaviour = document.behaviour();
    let given = document.given()?;
    if given.is_none() && behaviour.is_none() {
        return Err(Problem::unprocessable(
            "neither a token (access_token, id_token) nor a behaviour (lifetime, skew, reuse) is given",
        ));
    }
    if let Some(behaviour) = behaviour {
        let changed = control.behave(&account.email, behaviour);
        changed.map_err(|error| Problem::unprocessable(error.to_string()))?;
    }
    if let Some(given) = given {
        control.give(&account.email, given);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `DELETE`: the account's source answers again.
pub(super) async fn clear(call: Call) -> Outcome {
    call.admin.vm.tokens().clear(&account(&call)?.email);
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `POST …/rotate`: the next answer is a new token.
pub(super) async fn rotate(call: Call) -> Outcome {
    call.admin.vm.tokens().rotate(&account(&call)?.email);
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The account with the e-mail or alias in the path.
fn account(call: &Call) -> Result<Arc<ServiceAccount>, Problem> {
    let name = &call.parameter;
    let account = call.admin.vm.reader().snapshot().tree().service_account(name);
    account.ok_or_else(|| Problem::not_found(format!("{name}: the metadata has no account with this e-mail or alias")))
}

impl Document {
    fn behaviour(&self) -> Option<Behaviour> {
        let is_given = self.lifetime.is_some() || self.skew.is_some() || self.reuse.is_some();
        let lifetime = self.lifetime.map(Duration::from_secs);
        is_given.then_some(Behaviour { lifetime, skew: self.skew, reuse: self.reuse })
    }

    fn given(self) -> Result<Option<Given>, Problem> {
        let has_token = self.access_token.is_some() || self.id_token.is_some();
        if self.expires_in.is_some() && self.access_token.is_none() {
            return Err(Problem::unprocessable("expires_in is that of an access_token").at("/expires_in"));
        }
        if self.then.is_some() && !has_token {
            return Err(Problem::unprocessable("then is the answer after a given token").at("/then"));
        }
        let expires_in = self.expires_in.unwrap_or(EXPIRES_IN);
        if expires_in > MAX_EXPIRES_IN {
            let detail = format!("an expires_in of {expires_in} s: must be at most {MAX_EXPIRES_IN} seconds");
            return Err(Problem::unprocessable(detail).at("/expires_in"));
        }
        let expires_in = Duration::from_secs(expires_in);
        let access_token =
            checked(self.access_token, "/access_token")?.map(|token| AccessToken::new(token, expires_in));
        let id_token = checked(self.id_token, "/id_token")?.map(IdToken::new);
        let then = match self.then {
            Some(Next::Unavailable) => Then::Unavailable,
            Some(Next::Source) | None => Then::Source,
        };
        Ok(has_token.then_some(Given { access_token, id_token, then }))
    }
}

/// A token that can be sent in a header. The error does not quote it.
fn checked(token: Option<String>, pointer: &str) -> Result<Option<Secret>, Problem> {
    let is_valid = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    match token {
        Some(token) if !is_valid(&token) => {
            Err(Problem::unprocessable("a token is visible ASCII and not empty").at(pointer))
        }
        token => Ok(token.map(Secret::from)),
    }
}

/// The state of an account in JSON.
fn status(status: &TokenStatus) -> Value {
    let access = status
        .access
        .cached
        .iter()
        .map(|token| json!({"scopes": *token.scopes, "expiresIn": token.expires_in.as_secs()}));
    let id = status.id.cached.iter().map(|token| {
        json!({"audience": token.audience, "format": format(token.format), "expiresIn": token.expires_in.as_secs()})
    });
    let mut shown = json!({
        "account": status.account,
        "source": status.source,
        "accessTokens": kind(&status.access, access.collect()),
        "idTokens": kind(&status.id, id.collect()),
    });
    if let Some(behaviour) = status.behaviour {
        shown["behaviour"] = behaviour_json(behaviour);
    }
    shown
}

fn kind<C>(status: &KindStatus<C>, cached: Vec<Value>) -> Value {
    let mut shown = json!({"cached": cached});
    if let Some(given) = status.given {
        shown["given"] = given_json(given);
    }
    if let Some(error) = &status.last_error {
        shown["lastError"] = error.as_str().into();
    }
    shown
}

fn given_json(given: GivenStatus) -> Value {
    let then = match given.then {
        Then::Source => "source",
        Then::Unavailable => "unavailable",
    };
    json!({"expiresIn": given.expires_in.map(|left| left.as_secs()), "then": then})
}

fn behaviour_json(behaviour: Behaviour) -> Value {
    let members = [
        ("lifetime", behaviour.lifetime.map(|lifetime| lifetime.as_secs().into())),
        ("skew", behaviour.skew.map(Value::from)),
        ("reuse", behaviour.reuse.map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

fn format(format: IdTokenFormat) -> &'static str {
    match format {
        IdTokenFormat::Full => "full",
        IdTokenFormat::FullWithLicenses => "full with licenses",
        _ => "standard",
    }
}
