//! What an answer may need of its request after the request is gone.

use crate::connection::Connection;
use crate::path::MetadataPath;
use http::{HeaderValue, Method, Request, Uri, header};

/// The method, the target, the `Host` and the connection of a request: enough to write a refusal or a redirect, and to tell
/// one caller from another.
///
/// A layer takes it before it hands the request on. It is cheap: no bytes are copied.
#[derive(Debug, Clone)]
pub struct RequestHead {
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    connection: Option<Connection>,
}

impl RequestHead {
    /// The head of this request.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: request.headers().get(header::HOST).cloned(),
            connection: request.extensions().get().cloned(),
        }
    }

    /// The same, where nobody needs the request any more: nothing is copied.
    pub fn from_request<B>(request: Request<B>) -> Self {
        Self::split(request).0
    }

    /// The same, and the body.
    pub fn split<B>(request: Request<B>) -> (Self, B) {
        let (mut parts, body) = request.into_parts();
        let host = parts.headers.get(header::HOST).cloned();
        let connection = parts.extensions.remove();
        (Self { method: parts.method, uri: parts.uri, host, connection }, body)
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as the server reads it.
    pub fn path(&self) -> MetadataPath<'_> {
        MetadataPath::new(self.uri.path())
    }

    /// Path and query as they came, which is what Google's error pages show.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// `https` where the request came through TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.connection.as_ref().is_some_and(|connection| connection.is_encrypted) { "https" } else { "http" }
    }

    /// What the request came through: who asks, and from where, if whoever accepted the connection says so.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// The authority of an absolute target, or else the `Host` header.
    pub fn host(&self) -> Option<&str> {
        let header = || self.host.as_ref().and_then(|host| host.to_str().ok());
        self.uri.authority().map(|authority| authority.as_str()).or_else(header)
    }
}
