//! Endpoints: an endpoint answers the requests of one or more routes.

mod body;
mod body_budget;
mod guest_attributes;
mod maintenance;
pub(crate) mod os_login;
mod static_listing;
mod tokens;
mod tree_endpoint;
mod v01_listing;
mod v01_values;
mod workload_certificates;

pub use body::RequestBody;
pub use guest_attributes::SaveGuestAttributes;
pub use maintenance::{NoMaintenance, SharedNoMaintenance};

pub(crate) use body_budget::BodyBudget;
pub(crate) use guest_attributes::WritableAttributes;
pub(crate) use maintenance::UpcomingMaintenance;
pub(crate) use static_listing::StaticListing;
pub(crate) use tokens::{Access, Acquire, Identity, Tokens};
pub(crate) use tree_endpoint::TreeEndpoint;
pub(crate) use v01_listing::V01Listing;
pub(crate) use v01_values::{V01_VALUES, V01Value};
pub(crate) use workload_certificates::WorkloadCertificates;

use crate::accounts::ServiceAccount;
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Node, Tree};
use bytes::Bytes;
use gce_metadata_layers::{MetadataPath, Query, Rejection, Represent, Representation, RequestHead, parameters};
use http::{HeaderValue, Method};
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Answers the requests of one or more routes.
pub trait Endpoint: Send + Sync {
    /// Whether the endpoint supports this method; GET and HEAD by default. Requests with other methods are answered 405.
    fn allows(&self, method: &Method) -> bool {
        method == Method::GET || method == Method::HEAD
    }

    /// Answers a request, at once or with a future.
    fn call(&self, call: Call<'_>) -> Reply;
}

/// Several routes may share an endpoint.
impl<E: Endpoint + ?Sized> Endpoint for Arc<E> {
    fn allows(&self, method: &Method) -> bool {
        (**self).allows(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        (**self).call(call)
    }
}

/// A request to an endpoint.
#[derive(Debug)]
pub struct Call<'a> {
    /// The head of the request: method, query, host and connection.
    pub head: &'a RequestHead,
    /// The path of the request, resolved to v1 if the request uses an older API.
    pub path: &'a MetadataPath<'a>,
    /// The body, which has not been read yet.
    pub body: RequestBody,
    pub(crate) params: matchit::Params<'a, 'a>,
}

impl Call<'_> {
    /// The value of the first query parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        parameters(self.head.query()?).find(|parameter| parameter.name() == name).map(|parameter| parameter.value())
    }

    /// The part of the path that matched the route's placeholder of this name; `None` if the route has no such placeholder.
    pub fn placeholder(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// The value of a placeholder that all routes of the endpoint have.
    #[expect(clippy::expect_used, reason = "the table of routes is a constant")]
    fn own_placeholder(&self, name: &str) -> &str {
        self.placeholder(name).expect("the route of the endpoint has its placeholder")
    }

    /// The service account in the route's placeholder `{account}`.
    fn account(&self, tree: &Tree) -> Result<Arc<ServiceAccount>, Rejection> {
        tree.service_account(self.own_placeholder("account")).ok_or(Rejection::NotFound)
    }
}

/// The answer to a call, ready or as a future.
///
/// # Panics
/// If it is polled after completion.
pub struct Reply {
    outcome: Outcome,
    pub(crate) counted_as: Option<&'static str>,
}

enum Outcome {
    /// Ready; `None` after it was polled.
    Now(Option<Result<Answer, Rejection>>),
    /// Not ready.
    Later(Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>),
}

impl Reply {
    /// A reply that completes when the future does.
    pub fn later(outcome: impl Future<Output = Result<Answer, Rejection>> + Send + 'static) -> Self {
        Self { outcome: Outcome::Later(Box::pin(outcome)), counted_as: None }
    }

    /// Sets the directory that metrics count the request under. For paths with names that clients choose, which must not become labels.
    #[must_use]
    pub fn counted_as(self, directory: &'static str) -> Self {
        Self { counted_as: Some(directory), ..self }
    }
}

impl From<Result<Answer, Rejection>> for Reply {
    fn from(outcome: Result<Answer, Rejection>) -> Self {
        Self { outcome: Outcome::Now(Some(outcome)), counted_as: None }
    }
}

impl Future for Reply {
    type Output = Result<Answer, Rejection>;

    #[expect(clippy::expect_used, reason = "a future that is polled after completion would never complete without it")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.outcome {
            Outcome::Now(outcome) => Poll::Ready(outcome.take().expect("`Reply` polled after completion")),
            Outcome::Later(future) => future.as_mut().poll(cx),
        }
    }
}

/// The answer of an endpoint.
#[non_exhaustive]
pub enum Answer {
    /// A node of the tree. It is rendered in every form, has an entity tag, and can be waited for.
    Published(Arc<Node>),
    /// A value that renders itself, such as a [computed](Self::computed) one. If its representation has an entity tag, clients can wait
    /// for its change: the endpoint is called again after each change of the tree. A value that is
    /// [untagged](Representation::untagged) should reject `wait_for_change` with [`Rejection::BadRequest`].
    Custom(Box<dyn Represent + Send + Sync>),
    /// Bytes that are the same for every query, without an entity tag.
    Document {
        /// The bytes.
        body: Bytes,
        /// The media type of the bytes.
        content_type: HeaderValue,
    },
}

impl Answer {
    /// A value that was computed for this request. It is rendered in every form, has no entity tag and can't be waited for. Its text form
    /// has the given media type.
    pub fn computed(leaf: Leaf, text_type: HeaderValue) -> Self {
        Self::Custom(Box::new(Computed { leaf, text_type }))
    }

    /// A text without another form.
    pub(crate) fn text(body: impl Into<Bytes>) -> Self {
        Self::Document { body: body.into(), content_type: TEXT }
    }
}

impl Represent for Answer {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        match self {
            Self::Published(node) => node.represent(query),
            Self::Custom(custom) => custom.represent(query),
            Self::Document { body, content_type } => {
                Ok(Representation::new(body.clone(), content_type.clone()).untagged())
            }
        }
    }
}

struct Computed {
    leaf: Leaf,
    text_type: HeaderValue,
}

impl Represent for Computed {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        if query.wait_for_change {
            return Err(Rejection::BadRequest);
        }
        Ok(self.leaf.represent_untagged(query.alt, self.text_type.clone()))
    }
}

/// Prints no value: a computed one may be a token.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(node) => f.debug_tuple("Published").field(node).finish(),
            Self::Custom(_) => f.debug_tuple("Custom").finish_non_exhaustive(),
            Self::Document { content_type, .. } => {
                f.debug_struct("Document").field("content_type", content_type).finish_non_exhaustive()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "`Reply` polled after completion")]
    fn a_reply_that_is_polled_after_completion_panics() {
        let mut reply = Reply::from(Ok(Answer::text("once")));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut reply).poll(&mut cx).is_ready());
        let _ = Pin::new(&mut reply).poll(&mut cx);
    }

    #[test]
    fn debug_output_has_no_computed_value() {
        let leaf = Leaf::text_by_default("ya29.hidden");
        let answer = Answer::computed(leaf, HeaderValue::from_static("text/html"));
        assert!(!format!("{answer:?}").contains("hidden"));
    }
}
