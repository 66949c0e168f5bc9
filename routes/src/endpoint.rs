//! Endpoints: each answers the requests of a route.

mod body;
mod body_budget;
mod guest_attributes;
mod maintenance;
pub(crate) mod os_login;
mod static_listing;
mod tokens;
mod tree_endpoint;
mod v01_listing;
mod workload_certificates;

pub use body::RequestBody;
pub use guest_attributes::SaveGuestAttributes;
pub use maintenance::NoMaintenance;

pub(crate) use body_budget::BodyBudget;
pub(crate) use guest_attributes::WritableAttributes;
pub(crate) use maintenance::UpcomingMaintenance;
pub(crate) use static_listing::StaticListing;
pub(crate) use tokens::{Access, Acquire, Identity, Tokens};
pub(crate) use tree_endpoint::TreeEndpoint;
pub(crate) use v01_listing::V01Listing;
pub(crate) use workload_certificates::WorkloadCertificates;

use crate::accounts::ServiceAccount;
use crate::tree::represent::TEXT;
use crate::tree::{Leaf, Node, Tree};
use bytes::Bytes;
use gce_metadata_layers::{MetadataPath, Query, Rejection, Represent, Representation, RequestHead};
use http::{HeaderValue, Method};
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Answers the requests of one route.
pub trait Endpoint: Send + Sync {
    /// Whether the route takes this method. The others are answered 405.
    fn allows(&self, method: &Method) -> bool {
        method == Method::GET || method == Method::HEAD
    }

    /// Answers one request.
    fn call(&self, call: Call<'_>) -> Reply;
}

/// An endpoint may be shared by several routes.
impl<E: Endpoint + ?Sized> Endpoint for Arc<E> {
    fn allows(&self, method: &Method) -> bool {
        (**self).allows(method)
    }

    fn call(&self, call: Call<'_>) -> Reply {
        (**self).call(call)
    }
}

/// A request as an endpoint sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// Method, query and host.
    pub head: &'a RequestHead,
    /// The path in v1, also if the request came through an older API.
    pub path: MetadataPath<'a>,
    /// The body, unread.
    pub body: RequestBody,
    pub(crate) params: matchit::Params<'a, 'a>,
}

impl Call<'_> {
    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.head.query()?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The part of the path that the route's placeholder of this name matched.
    pub fn placeholder(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// The placeholder of an endpoint of this crate.
    #[expect(clippy::expect_used, reason = "the table of routes is a constant")]
    fn own_placeholder(&self, name: &str) -> &str {
        self.placeholder(name).expect("the route of the endpoint has its placeholder")
    }

    /// The service account that the route's `{account}` names.
    fn account(&self, tree: &Tree) -> Result<Arc<ServiceAccount>, Rejection> {
        tree.service_account(self.own_placeholder("account")).ok_or(Rejection::NotFound)
    }
}

/// The answer to a call, or a future of it. Polling it after its completion panics.
pub struct Reply {
    outcome: Outcome,
    pub(crate) counted_as: Option<&'static str>,
}

enum Outcome {
    /// Ready; `None` once it was polled.
    Now(Option<Result<Answer, Rejection>>),
    /// In the making.
    Later(Pin<Box<dyn Future<Output = Result<Answer, Rejection>> + Send>>),
}

impl Reply {
    /// A reply that takes time.
    pub fn later(outcome: impl Future<Output = Result<Answer, Rejection>> + Send + 'static) -> Self {
        Self { outcome: Outcome::Later(Box::pin(outcome)), counted_as: None }
    }

    /// The same reply, counted as one of this directory's: for paths whose names clients make up.
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

    #[expect(clippy::expect_used, reason = "a future that is polled again would hang for ever without it")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.outcome {
            Outcome::Now(outcome) => Poll::Ready(outcome.take().expect("`Reply` polled after completion")),
            Outcome::Later(future) => future.as_mut().poll(cx),
        }
    }
}

/// What a route answers.
#[non_exhaustive]
pub enum Answer {
    /// A node of the tree: in every form, with an entity tag, and worth waiting for.
    Published(Arc<Node>),
    /// Whatever knows its forms itself, such as a value that is [computed](Self::computed). Unless what it makes of a query is
    /// [untagged](Representation::untagged), it has an entity tag and may be waited for: then the endpoint is called again after
    /// each change. What is untagged and not worth waiting for refuses `wait_for_change` with [`Rejection::BadRequest`].
    Custom(Box<dyn Represent + Send + Sync>),
    /// Bytes that have one form only.
    Document {
        /// The bytes.
        body: Bytes,
        /// Their media type.
        content_type: HeaderValue,
    },
}

impl Answer {
    /// A value made for this request: in every form, without a tag, and nothing to wait for. Its text has this media type.
    pub fn computed(leaf: Leaf, text_type: HeaderValue) -> Self {
        Self::Custom(Box::new(Computed { leaf, text_type }))
    }

    /// Text, which has no other form.
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
        Ok(self.leaf.represent(query.alt, self.text_type.clone()).untagged())
    }
}

/// What is made for one request may be a token, which no log should print.
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
    fn what_is_made_for_a_request_is_not_printed() {
        let leaf = Leaf::text_by_default("ya29.hidden");
        let answer = Answer::computed(leaf, HeaderValue::from_static("text/html"));
        assert!(!format!("{answer:?}").contains("hidden"));
    }
}
