//! `service-accounts/…/token` and `…/identity`: a generic endpoint for all kinds of tokens.

mod access;
mod acquire;
mod identity;

pub(crate) use access::Access;
pub(crate) use acquire::Acquire;
pub(crate) use identity::Identity;

use super::{Answer, Call, Endpoint, Reply};
use crate::accounts::ServiceAccount;
use crate::snapshot::Reader;
use crate::token::{Secret, TokenError};
use crate::tree::represent::{JSON, TEXT};
use crate::tree::{Leaf, Tree};
use futures_util::FutureExt;
use gce_metadata_layers::{Format, Query, Rejection, Represent, Representation};
use http::{Method, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::sync::Arc;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

/// A kind of token: builds the request to the token source from a call, and the answer from the token.
pub(crate) trait TokenKind: Send + Sync + 'static {
    type Request: Send + 'static;
    type Token: Send + 'static;

    /// The request to the source for this call.
    fn request(&self, call: &Call<'_>, tree: &Tree, account: Arc<ServiceAccount>) -> Result<Self::Request, Rejection>;

    fn answer(token: &Self::Token) -> Answer;
}

/// Answers each call with a token of its source; 404 without a source.
pub(crate) struct Tokens<K: TokenKind> {
    kind: K,
    reader: Reader,
    source: Option<BoxCloneSyncService<K::Request, K::Token, TokenError>>,
}

impl<K: TokenKind> Tokens<K> {
    pub(crate) fn new(
        kind: K,
        reader: Reader,
        source: Option<BoxCloneSyncService<K::Request, K::Token, TokenError>>,
    ) -> Self {
        Self { kind, reader, source }
    }
}

impl<K: TokenKind> Endpoint for Tokens<K> {
    /// google-auth sends a POST with a certificate chain to request a bound token, and accepts an unbound one.
    fn allows(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::POST].contains(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let requested = call.account(snapshot.tree()).and_then(|account| {
            let request = self.kind.request(&call, snapshot.tree(), Arc::clone(&account))?;
            Ok((account, request))
        });
        let (account, request) = match requested {
            Ok(requested) => requested,
            Err(rejection) => return Err(rejection).into(),
        };
        let Some(mut source) = self.source.clone() else { return Err(Rejection::NotFound).into() };
        // A token can't be waited for. Checked before the source is called, which would fetch a token in vain.
        if Query::parse(call.head.query()).wait_for_change {
            return Err(Rejection::BadRequest).into();
        }
        let answer = move |outcome: Result<K::Token, _>| match outcome {
            Ok(token) => Ok(K::answer(&token)),
            Err(error) => Err(refused(&error, &account.email)),
        };
        // A cached token is ready at once, so most requests need no future of their own.
        match source.ready().now_or_never() {
            Some(Err(error)) => answer(Err(error)).into(),
            Some(Ok(source)) => {
                let mut outcome = source.call(request);
                match (&mut outcome).now_or_never() {
                    Some(outcome) => answer(outcome).into(),
                    None => Reply::later(outcome.map(answer)),
                }
            }
            None => Reply::later(async move { answer(source.oneshot(request).await) }),
        }
    }
}

/// A token answer: a JSON object, or one line per field as text. It is not cached, and can't be waited for.
struct Object<T>(T);

impl<T: Serialize + Send + Sync + 'static> Object<T> {
    fn answer(fields: T) -> Answer {
        Answer::Custom(Box::new(Self(fields)))
    }
}

impl<T: Serialize> Represent for Object<T> {
    #[expect(clippy::expect_used, reason = "their keys are strings, and a Vec takes every write")]
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        if query.alt == Some(Format::Text) {
            return Ok(lines(&self.0));
        }
        // The usual length of an answer with a token of Google.
        let mut body = Vec::with_capacity(1280);
        serde_json::to_writer(&mut body, &self.0).expect("the answers of this module serialize");
        Ok(Representation::new(body.into(), JSON).untagged())
    }
}

/// The fields of an answer as text, one line each.
#[expect(clippy::expect_used, reason = "their keys are strings")]
fn lines(fields: &impl Serialize) -> Representation {
    let leaf = Leaf::json_by_default(serde_json::to_value(fields).expect("the answers of this module serialize"));
    leaf.represent_untagged(Some(Format::Text), TEXT)
}

/// A text as a JSON string.
fn json_string(text: &str) -> String {
    Value::from(text).to_string()
}

/// Serializes a secret into an answer.
fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// The refusal for a failed token request. The client gets the status; the reason is logged, here at level DEBUG for each
/// request, and in full once for each fetch.
fn refused(error: &TokenError, account: &str) -> Rejection {
    match error {
        TokenError::NoSource { .. } => Rejection::NotFound,
        TokenError::TooMany => Rejection::TooManyRequests,
        TokenError::Refused { .. } => {
            tracing::debug!(account, "{error}");
            Rejection::worded(StatusCode::FORBIDDEN, "the credentials of this service account were refused")
        }
        TokenError::Unavailable { .. } => {
            tracing::debug!(account, "{error}");
            Rejection::worded(StatusCode::SERVICE_UNAVAILABLE, "no token could be had; try again later")
        }
    }
}
