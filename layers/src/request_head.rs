//! The parts of a request that its answer may need after the request was handed on.

use crate::connection::Connection;
use crate::inject_faults::FaultRequest;
use crate::mount::MountPath;
use crate::path::MetadataPath;
use http::{HeaderValue, Method, Request, Uri, Version, header};

/// The method, the target, the HTTP version, the `Host`, the connection and the mount path of a request: enough to write a
/// refusal or a redirect, and to identify the client.
///
/// A layer makes it before it hands the request on. That is cheap: no bytes are copied.
#[derive(Debug, Clone)]
pub struct RequestHead {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    connection: Option<Connection>,
    mount_path: Option<MountPath>,
}

impl RequestHead {
    /// The head of this request.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: request.headers().get(header::HOST).cloned(),
            connection: request.extensions().get().cloned(),
            mount_path: request.extensions().get().cloned(),
        }
    }

    /// The head of a request that is not needed any more. Cheaper than [`of`](Self::of): nothing is cloned.
    pub fn from_request<B>(request: Request<B>) -> Self {
        Self::split(request).0
    }

    pub(crate) fn from_fault_request(request: &FaultRequest<'_>) -> Self {
        Self {
            method: request.method.clone(),
            uri: request.uri.clone(),
            version: request.version,
            host: request.headers.get(header::HOST).cloned(),
            connection: request.extensions.get().cloned(),
            mount_path: request.extensions.get().cloned(),
        }
    }

    /// Splits a request into its head and its body.
    pub fn split<B>(request: Request<B>) -> (Self, B) {
        let (mut parts, body) = request.into_parts();
        let host = parts.headers.get(header::HOST).cloned();
        let connection = parts.extensions.remove();
        let mount_path = parts.extensions.remove();
        let (method, uri, version) = (parts.method, parts.uri, parts.version);
        (Self { method, uri, version, host, connection, mount_path }, body)
    }

    /// The method of the request.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The HTTP version of the request.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path with runs of slashes collapsed, without the [mount path](Self::mount_path).
    pub fn path(&self) -> MetadataPath<'_> {
        MetadataPath::new(self.uri.path())
    }

    /// The path and the query as the service received them; `/` for a target without a path, such as that of `CONNECT`.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The path that an outer router stripped from the request, without a slash at its end; empty if there is none. Links to
    /// this service begin with it: see [`MountPath`].
    pub fn mount_path(&self) -> &str {
        self.mount_path.as_ref().map_or("", MountPath::as_str)
    }

    /// The query string without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// `https` if the request was received over TLS, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.connection.as_ref().is_some_and(|connection| connection.is_encrypted) { "https" } else { "http" }
    }

    /// The connection that the request was received on: the client's address and certificate. `None` if the server did not put a
    /// [`Connection`] into the request's extensions.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// The authority of an absolute-form target, or else the `Host` header.
    pub fn host(&self) -> Option<&str> {
        let header = || self.host.as_ref().and_then(|host| host.to_str().ok());
        self.uri.authority().map(|authority| authority.as_str()).or_else(header)
    }
}
