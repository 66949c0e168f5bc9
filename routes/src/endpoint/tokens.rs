//! `service-accounts/…/token` and `…/identity`: one endpoint for two kinds of tokens.

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
use gce_metadata_layers::{Format, Query, Rejection, Represent, Representation};
use http::{Method, StatusCode};
use serde::{Serialize, Serializer};
use std::sync::Arc;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// A kind of token: how a call becomes a request to its source, and a token an answer.
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
    /// google-auth POSTs a certificate chain here when it wants a bound token, and takes an unbound one.
    fn allows(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::POST].contains(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        let snapshot = self.reader.snapshot();
        let asked = call.account(snapshot.tree()).and_then(|account| {
            let request = self.kind.request(&call, snapshot.tree(), Arc::clone(&account))?;
            Ok((account, request))
        });
        let (account, request) = match asked {
            Ok(asked) => asked,
            Err(rejection) => return Err(rejection).into(),
        };
        let Some(source) = self.source.clone() else { return Err(Rejection::NotFound).into() };
        // A token is not published, so it never changes. Asking the source first would make one for nothing.
        if Query::parse(call.head.query()).wait_for_change {
            return Err(Rejection::BadRequest).into();
        }
        Reply::later(async move {
            let token = source.oneshot(request).await.map_err(|error| refused(&error, &account.email))?;
            Ok(K::answer(&token))
        })
    }
}

/// What a source answered as an object of JSON, or a line for each of its fields. Nothing of it is kept for another request, and
/// who would wait for it has been refused already.
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
            let leaf =
                Leaf::json_by_default(serde_json::to_value(&self.0).expect("the answers of this module serialize"));
            return Ok(leaf.represent(query.alt, TEXT).untagged());
        }
        // A token of Google's is about this long.
        let mut body = Vec::with_capacity(1280);
        serde_json::to_writer(&mut body, &self.0).expect("the answers of this module serialize");
        Ok(Representation::new(body.into(), JSON).untagged())
    }
}

/// A secret, for the one answer that it goes into.
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
