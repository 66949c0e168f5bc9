//! The addresses and sockets of a server. Names are resolved and sockets bound before anything is written or served.

use super::listener::{Address, Listener};
use super::start_error::StartError;
use crate::blocking::blocking;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// The configured addresses of a server.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) main: Place,
    /// For HTTPS beside HTTP.
    pub(super) tls: Option<Resolve>,
    pub(super) metrics: Option<Resolve>,
    pub(super) admin: Option<Place>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { main: Place::Tcp(Resolve::new((Ipv4Addr::LOCALHOST, 0))), tls: None, metrics: None, admin: None }
    }
}

/// The configured main listener.
#[derive(Debug)]
pub(crate) enum Place {
    Tcp(Resolve),
    /// A listener that is not registered with any runtime, because the server may run in its own.
    Listener(io::Result<std::net::TcpListener>),
    Unix {
        path: PathBuf,
        mode: Option<u32>,
    },
}

/// A TCP address that may be a host name, which is yet to be resolved.
pub(crate) struct Resolve(Box<dyn ToAddresses>);

trait ToAddresses: fmt::Debug + Send + Sync {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>>;
}

impl<A: ToSocketAddrs + fmt::Debug + Send + Sync> ToAddresses for A {
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.to_socket_addrs().map(Iterator::collect)
    }
}

impl Resolve {
    pub(crate) fn new(address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static) -> Self {
        Self(Box::new(address))
    }
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A bound socket and its address.
pub(super) struct Bound {
    pub(super) listener: Listener,
    pub(super) address: Address,
}

/// The sockets of a server.
pub(super) struct Sockets {
    pub(super) main: Bound,
    /// For HTTPS beside HTTP.
    pub(super) tls: Option<Bound>,
    pub(super) metrics: Option<Bound>,
    pub(super) admin: Option<Bound>,
}

impl Sockets {
    /// Binds all of them. An error names the program's option that sets the address.
    pub(super) async fn bind(addresses: Addresses) -> Result<Self, StartError> {
        let Addresses { main, tls, metrics, admin } = addresses;
        Ok(Self {
            main: bind(main, "--port").await?,
            admin: match admin {
                Some(place) => Some(bind(place, "--admin").await?),
                None => None,
            },
            tls: bind_if_any(tls, "--tls-port").await?,
            metrics: bind_if_any(metrics, "--metrics-port").await?,
        })
    }

    /// Makes the metadata listeners refuse connections.
    pub(super) fn refuse(&mut self) -> Result<(), StartError> {
        for bound in [Some(&mut self.main), self.tls.as_mut()].into_iter().flatten() {
            let address = || bound.address.to_string();
            let refused = bound.listener.refuse();
            refused.map_err(|error| StartError::Listen { option: "--ready-after", address: address(), error })?;
        }
        Ok(())
    }
}

async fn bind(place: Place, option: &'static str) -> Result<Bound, StartError> {
    match place {
        Place::Tcp(address) => bind_tcp(address, option).await,
        Place::Listener(listener) => {
            let listener = listener.and_then(TcpListener::from_std).map(Listener::Tcp);
            bound(listener, option, || "the given listener".to_owned())
        }
        Place::Unix { path, mode } => {
            bound(Listener::unix(&path, mode).await, option, || format!("unix:{}", path.display()))
        }
    }
}

async fn bind_if_any(address: Option<Resolve>, option: &'static str) -> Result<Option<Bound>, StartError> {
    match address {
        Some(address) => bind_tcp(address, option).await.map(Some),
        None => Ok(None),
    }
}

/// Binds the first of the resolved addresses that can be bound.
async fn bind_tcp(address: Resolve, option: &'static str) -> Result<Bound, StartError> {
    let resolve = move || (address.0.addresses(), address);
    let (resolved, address) = blocking(resolve).await.map_err(StartError::Blocking)?;
    match resolved {
        Ok(addresses) if !addresses.is_empty() => {
            let listener = TcpListener::bind(&*addresses).await.map(Listener::Tcp);
            bound(listener, option, || addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
        }
        unresolved => {
            let error = unresolved.err().unwrap_or_else(|| io::Error::other("it has no IP address"));
            Err(StartError::Listen { option, address: format!("{address:?}"), error })
        }
    }
}

/// The listener with its address, or the error with the address that was tried.
fn bound(
    listener: io::Result<Listener>,
    option: &'static str,
    tried: impl Fn() -> String,
) -> Result<Bound, StartError> {
    let bound = listener.and_then(|listener| Ok(Bound { address: listener.address()?, listener }));
    bound.map_err(|error| StartError::Listen { option, address: tried(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bound_to(address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static) -> Result<Address, String> {
        let bound = bind_tcp(Resolve::new(address), "--port").await;
        bound.map(|bound| bound.address).map_err(|error| error.to_string())
    }

    /// A slice without a lifetime, because the addresses of a test are known at run time only.
    #[derive(Debug)]
    struct Several(Vec<SocketAddr>);

    impl ToSocketAddrs for Several {
        type Iter = std::vec::IntoIter<SocketAddr>;

        fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
            Ok(self.0.clone().into_iter())
        }
    }

    #[tokio::test]
    async fn a_host_name_is_resolved() {
        let address = bound_to(("localhost", 0)).await.unwrap();
        assert!(address.host().unwrap().is_loopback() && address.port().unwrap() > 0, "{address}");
    }

    #[tokio::test]
    async fn the_first_address_that_can_be_bound_is_used() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (taken_address, free) = (taken.local_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let port = bound_to(Several(vec![taken_address, free])).await.unwrap().port().unwrap();
        assert_ne!(port, taken_address.port());
    }

    #[tokio::test]
    async fn an_error_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = listener.local_addr().unwrap();
        let error = bound_to(Several(vec![taken, taken])).await.unwrap_err();
        assert!(
            error.contains(&format!("can't listen at {taken} or {taken}: ")) && error.contains("--port"),
            "{error}"
        );
        let error = bound_to("localhost").await.unwrap_err();
        assert_eq!(error, r#"can't listen at "localhost": invalid socket address; write it as HOST:PORT"#);
        let error = bound_to(Several(Vec::new())).await.unwrap_err();
        assert_eq!(error, "can't listen at Several([]): it has no IP address");
    }
}
