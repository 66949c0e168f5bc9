//! The head of a request, which its answer may need after the request was handed on.

use crate::connection::Connection;
use crate::inject_faults::FaultRequest;
use crate::mount::MountPath;
use crate::path::MetadataPath;
use http::uri::Authority;
use http::{Extensions, HeaderMap, Method, Request, Version, header, request};
use std::fmt;

/// A request without its body: enough to write a refusal or a redirect, and to identify the client.
///
/// The service that answers a request takes its head by [`split`](Self::split), which moves it: nothing is copied or looked up.
#[derive(Clone)]
pub struct RequestHead(request::Parts);

impl RequestHead {
    /// A copy of the head of this request. [`split`](Self::split) and [`from_request`](Self::from_request) copy nothing.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::from_fault_request(&FaultRequest::of(request))
    }

    /// The head of a request that is not needed any more.
    pub fn from_request<B>(request: Request<B>) -> Self {
        Self::split(request).0
    }

    pub(crate) fn from_fault_request(request: &FaultRequest<'_>) -> Self {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method.clone();
        parts.uri = request.uri.clone();
        parts.version = request.version;
        parts.headers = request.headers.clone();
        parts.extensions = request.extensions.clone();
        Self(parts)
    }

    /// Splits a request into its head and its body.
    pub fn split<B>(request: Request<B>) -> (Self, B) {
        let (parts, body) = request.into_parts();
        (Self(parts), body)
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The HTTP version of the request.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// The path with runs of slashes collapsed, without the [mount path](Self::mount_path).
    pub fn path(&self) -> MetadataPath<'_> {
        MetadataPath::new(self.0.uri.path())
    }

    /// The path and the query as the service received them; `/` for a target without a path, such as that of `CONNECT`.
    pub fn path_and_query(&self) -> &str {
        self.0.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The path that an outer router stripped from the request, without a slash at its end; empty if there is none. Links to
    /// this service begin with it: see [`MountPath`].
    pub fn mount_path(&self) -> &str {
        self.0.extensions.get().map_or("", MountPath::as_str)
    }

    /// The query string without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.0.uri.query()
    }

    /// `https` if the request was received over TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.connection().is_some_and(|connection| connection.is_encrypted) { "https" } else { "http" }
    }

    /// The connection that the request was received on: the client's address and certificate. `None` if the server did not put a
    /// [`Connection`] into the request's extensions.
    pub fn connection(&self) -> Option<&Connection> {
        self.0.extensions.get()
    }

    /// The authority of an absolute-form target, or else the `Host` header.
    pub fn host(&self) -> Option<&str> {
        let header = || self.0.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.0.uri.authority().map(Authority::as_str).or_else(header)
    }

    /// The extensions of the request, which the response takes over.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.0.extensions
    }

    /// An empty header map and the extensions for the response. Their memory is that of the request, so the response allocates none.
    pub(crate) fn into_response_parts(self) -> (HeaderMap, Extensions) {
        let request::Parts { mut headers, extensions, .. } = self.0;
        headers.clear();
        (headers, extensions)
    }
}

/// Prints no other header than `Host`: others may be secret.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method())
            .field("uri", &self.0.uri)
            .field("version", &self.version())
            .field("host", &self.host())
            .field("connection", &self.connection())
            .field("mount_path", &self.mount_path())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_a_head_has_no_header_but_host() {
        let request = Request::get("/x").header("host", "metadata").header("authorization", "Bearer hidden");
        let head = format!("{:?}", RequestHead::from_request(request.body(()).unwrap()));
        assert!(head.contains("metadata") && !head.contains("hidden"), "{head}");
    }
}
