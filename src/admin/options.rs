//! The settings of the admin listener.

use super::Security;
use crate::server::{Place, Resolve, StartError};
use gce_metadata_layers::AllowedHosts;
use gce_metadata_support::Secret;
use std::fmt;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::path::Path;

/// The file mode of the admin socket: only this user.
const SOCKET_MODE: u32 = 0o600;

/// The settings of the admin listener, for [`ServerBuilder::admin`](crate::ServerBuilder::admin).
///
/// ```
/// use gce_metadata_server::{AdminOptions, Server};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().admin(AdminOptions::loopback()).start().await?;
/// println!("export GCE_METADATA_ADMIN={}", server.admin_url().ok_or("no admin listener")?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AdminOptions {
    place: Place,
    token: Option<Secret>,
    hosts: Vec<String>,
}

impl AdminOptions {
    /// Listens at a free port of 127.0.0.1.
    pub fn loopback() -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0))
    }

    /// Listens at this address; port 0 is any free port. The start fails if the address is not a loopback address and no
    /// [`token`](Self::token) is set.
    pub fn listen(address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static) -> Self {
        Self { place: Place::Tcp(Resolve::new(address)), token: None, hosts: Vec::new() }
    }

    /// Listens at a Unix socket at this path, with file mode 600. Clients must run as this user or as root.
    pub fn unix_socket(path: impl AsRef<Path>) -> Self {
        // Absolute, so that clients find the socket from any folder.
        let path = std::path::absolute(&path).unwrap_or_else(|_| path.as_ref().to_owned());
        let place = Place::Unix { path, mode: Some(SOCKET_MODE) };
        Self { place, token: None, hosts: Vec::new() }
    }

    /// Requires this token from clients, as `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(Secret::from(token.into())), ..self }
    }

    /// Also allows requests whose `Host` is this name, such as the name of a service in docker compose. IP addresses and `localhost`
    /// are always allowed. The start fails if it is not a host name.
    #[must_use]
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// The address of the listener, and the checks of requests.
    ///
    /// # Errors
    /// If an allowed host is not a host name, or the token can't be sent in a header.
    pub(crate) fn checked(self) -> Result<(Place, Security), StartError> {
        let hosts = self.hosts.iter().try_fold(AllowedHosts::addresses(), |hosts, name| hosts.allow(name))?;
        let is_valid =
            |token: &Secret| !token.expose().is_empty() && token.expose().bytes().all(|it| it.is_ascii_graphic());
        match &self.token {
            Some(token) if !is_valid(token) => Err(StartError::AdminToken),
            _ => {
                let is_unix = matches!(self.place, Place::Unix { .. });
                Ok((self.place, Security { hosts, token: self.token, is_unix }))
            }
        }
    }
}
