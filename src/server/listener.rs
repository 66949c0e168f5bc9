//! TCP and Unix listeners, and the address of each. A stale Unix socket at the path is replaced.

mod reserved;

use super::socket::Accepted;
use gce_metadata_layers::Connection;
use reserved::Reserved;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::fmt;
use std::fs::{Permissions, symlink_metadata};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixDatagram, UnixListener};

/// Length of the kernel's accept queue; the kernel may have a lower limit.
const BACKLOG: i32 = 1024;

/// The address of a listener. It is displayed as `HOST:PORT`, or `unix:PATH`.
///
/// ```
/// # use gce_metadata_server::Server;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().start_blocking()?;
/// let port = server.address().port();
/// assert_eq!(server.address().to_string(), format!("127.0.0.1:{}", port.ok_or("no TCP")?));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The IP address and the port; `None` for a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The IP address; `None` for a Unix socket. It may be unspecified (`0.0.0.0`): then the listener has every address of this
    /// machine.
    pub fn host(&self) -> Option<IpAddr> {
        self.socket_addr().map(|address| address.ip())
    }

    /// The address for clients on this machine: loopback if the listener has every address. `None` for a Unix socket.
    pub fn reachable(&self) -> Option<SocketAddr> {
        let mut address = self.socket_addr()?;
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(address)
    }

    /// The TCP port; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|address| address.port())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Arc<SocketFile>),
    /// Refuses connections and keeps its address.
    Refusing(Reserved),
}

/// The file of a Unix socket. It is removed when the listener is dropped, unless another file has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens at a path. A socket without a listening process is replaced. Any other file is an error.
    pub(super) async fn unix(path: &Path, mode: Option<u32>) -> io::Result<Self> {
        match symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is not a socket exists"));
            }
            Ok(_) if is_bound(path)? => {
                return Err(io::Error::new(ErrorKind::AddrInUse, "another process listens at it"));
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::at(path);
        // Before `listen`, so that no client connects with the old mode.
        if let Some(mode) = mode {
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        socket.listen(BACKLOG)?;
        Ok(Self::Unix(UnixListener::from_std(socket.into())?, Arc::new(file)))
    }

    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
            Self::Refusing(reserved) => reserved.address(),
        }
    }

    /// Refuses connections from now on, and resets those that have not been accepted. The address is kept.
    ///
    /// # Errors
    /// If a second socket can't be bound. The listener listens as before.
    pub(super) fn refuse(&mut self) -> io::Result<()> {
        let reserved = match self {
            Self::Tcp(listener) => Reserved::beside_tcp(listener)?,
            Self::Unix(_, file) => Reserved::beside_unix(file)?,
            Self::Refusing(_) => return Ok(()),
        };
        if let Self::Tcp(listener) = self {
            // A process that is being forked may have the socket until it executes its program, and would keep it listening.
            // Only Linux can do this; elsewhere, the socket listens until its last descriptor is closed.
            let _ = SockRef::from(&*listener).shutdown(Shutdown::Both);
        }
        *self = Self::Refusing(reserved);
        if let Self::Refusing(reserved) = self
            && let Err(error) = reserved.exclude_others()
        {
            tracing::warn!("another server of this user may bind the port while it refuses connections: {error}");
        }
        Ok(())
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// If the socket can't listen. It refuses connections as before.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        if let Self::Refusing(reserved) = self {
            *self = reserved.listen()?;
        }
        Ok(())
    }

    /// Waits for a connection; for ever while connections are refused.
    pub(super) async fn accept(&self) -> io::Result<(Accepted, Connection)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok((Accepted::Tcp(stream.into_std()?), Connection::from_remote(remote)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let mut connection = Connection::default();
                connection.user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Accepted::Unix(stream.into_std()?), connection))
            }
            Self::Refusing(_) => pending().await,
        }
    }
}

/// Whether a process has bound a stream socket to the file. Connecting would not tell, because a server that is not ready refuses
/// connections, as a stale socket does. A datagram socket is refused for its type if a process has the socket.
fn is_bound(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Err(error),
        // Wrong type, for which `io::ErrorKind` has no variant, or another program's datagram socket.
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn error(path: &Path) -> io::Error {
        Listener::unix(path, None).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sock");
        // Dropping a std listener leaves its file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::unix(&path, Some(0o600)).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(error(&path).await.kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists(), "removed at exit");
    }

    #[tokio::test]
    async fn the_socket_of_another_server_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sock");
        let first = Listener::unix(&path, None).await.unwrap();
        std::fs::rename(&path, folder.path().join("moved.sock")).unwrap();
        let _second = Listener::unix(&path, None).await.unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_socket_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(error(&path).await.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(error(&folder.path().join("none/metadata.sock")).await.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_a_tcp_address_has_a_host_and_a_port() {
        let tcp = Address::Tcp(([127, 0, 0, 1], 8080).into());
        assert_eq!((tcp.host(), tcp.port()), (Some([127, 0, 0, 1].into()), Some(8080)));
        assert_eq!(tcp.socket_addr().unwrap().to_string(), tcp.to_string());
        let unix = Address::Unix("/run/metadata.sock".into());
        assert_eq!((unix.socket_addr(), unix.host(), unix.port()), (None, None, None));
        assert_eq!(unix.to_string(), "unix:/run/metadata.sock");
    }
}
