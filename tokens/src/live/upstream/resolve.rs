//! Resolves host names on a thread that may block. hyper-util's own resolver panics if the thread can't be started.

use gce_metadata_support::blocking::blocking;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::vec::IntoIter;
use tower::{Service, service_fn};

/// A connector for `http` and `https` URLs.
pub(super) fn connector() -> HttpConnector<
    impl Service<Name, Response = IntoIter<SocketAddr>, Error = io::Error, Future: Send> + Clone + Send + Sync + 'static,
> {
    let mut connector = HttpConnector::new_with_resolver(service_fn(resolve));
    connector.enforce_http(false);
    connector
}

async fn resolve(name: Name) -> io::Result<IntoIter<SocketAddr>> {
    blocking(move || (name.as_str(), 0).to_socket_addrs()).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_resolved_and_an_unknown_name_is_an_error() {
        let found: Vec<_> = resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty(), "{found:?}");
        assert!(resolve("no.such.host.invalid".parse().unwrap()).await.is_err());
    }
}
