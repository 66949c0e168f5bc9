//! What a layer may know of the socket that a request came through.

use std::net::SocketAddr;

/// Put into every request's extensions by whoever accepted the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The client's address. A Unix socket has none.
    pub remote: Option<SocketAddr>,
}

impl Connection {
    /// A connection from this address.
    pub fn from_remote(remote: SocketAddr) -> Self {
        Self { remote: Some(remote) }
    }
}
