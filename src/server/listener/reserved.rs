//! An address that a server keeps while it does not listen: clients are refused, and no other server can take the address.
//!
//! A closed listener would give its address away, and a port that the system chose would be lost. So a second socket is bound to the
//! address before the listener is closed. It does not listen, so the kernel refuses connections; to listen again, it becomes the
//! listener.

use super::{Address, BACKLOG, Listener, SocketFile, identity};
use aws_lc_rs::rand::fill;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

/// A bound socket that does not listen.
#[derive(Debug)]
pub(in crate::server) enum Reserved {
    Tcp(Socket),
    Unix(Socket, Arc<SocketFile>),
}

impl Reserved {
    /// Reserves the address of a TCP listener that is about to be closed.
    pub(super) fn beside_tcp(listener: &TcpListener) -> io::Result<Self> {
        let listener = SockRef::from(listener);
        let address = listener.local_addr()?;
        let socket = stream_socket(address.domain())?;
        if address.is_ipv6() {
            socket.set_only_v6(listener.only_v6()?)?;
        }
        // `SO_REUSEPORT` on both sockets allows the second one beside a listening one, `SO_REUSEADDR` beside open connections.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        listener.set_reuse_port(true)?;
        let bound = socket.bind(&address);
        listener.set_reuse_port(false)?;
        bound?;
        Ok(Self::Tcp(socket))
    }

    /// Reserves the path of a Unix listener that is about to be closed.
    pub(super) fn beside_unix(file: &SocketFile) -> io::Result<Self> {
        let path = &file.path;
        if identity(path) != file.identity {
            return Err(io::Error::other("another program has replaced the socket's file"));
        }
        let socket = stream_socket(Domain::UNIX)?;
        // Renamed, so that clients find a socket at the path at all times.
        let temporary = temporary_beside(path)?;
        socket.bind(&SockAddr::unix(&temporary)?)?;
        let mode = fs::metadata(path).map(|metadata| metadata.permissions());
        let renamed =
            mode.and_then(|mode| fs::set_permissions(&temporary, mode)).and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        renamed?;
        Ok(Self::Unix(socket, Arc::new(SocketFile::at(path))))
    }

    /// Lets no other socket share the address, once the listener is closed.
    pub(super) fn exclude_others(&self) -> io::Result<()> {
        let Self::Tcp(socket) = self else { return Ok(()) };
        socket.set_reuse_port(false)?;
        // Linux remembers for the whole port that all its sockets had `SO_REUSEPORT`, and lets others of this user join them without
        // looking at the sockets, until one without it has been bound.
        let address = socket.local_addr()?;
        let other = stream_socket(address.domain())?;
        if address.is_ipv6() {
            other.set_only_v6(socket.only_v6()?)?;
        }
        other.set_reuse_address(true)?;
        let bound = other.bind(&address);
        // Servers set `SO_REUSEADDR` and could share the port with a socket that has it too.
        socket.set_reuse_address(false)?;
        bound
    }

    /// Makes the socket a listener.
    pub(super) fn listen(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(socket) => {
                // Without it, connections of the former listener that are not fully closed would prevent listening.
                socket.set_reuse_address(true)?;
                let listening = socket.listen(BACKLOG);
                if listening.is_err() {
                    socket.set_reuse_address(false)?;
                }
                listening?;
                Ok(Listener::Tcp(TcpListener::from_std(socket.try_clone()?.into())?))
            }
            Self::Unix(socket, file) => {
                socket.listen(BACKLOG)?;
                let listener = UnixListener::from_std(socket.try_clone()?.into())?;
                Ok(Listener::Unix(listener, Arc::clone(file)))
            }
        }
    }

    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => {
                let address = socket.local_addr()?.as_socket();
                address.map(Address::Tcp).ok_or_else(|| io::Error::other("it has no IP address"))
            }
            Self::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
        }
    }
}

fn stream_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    // As tokio's listeners require.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// An unused path in the same folder. Its name is short, because the kernel limits the length of the path.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 4];
    fill(&mut random).map_err(io::Error::other)?;
    Ok(path.with_file_name(format!(".{:08x}", u32::from_ne_bytes(random))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::{AddrInUse, ConnectionRefused, ConnectionReset};
    use std::net::SocketAddr;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpStream, UnixStream};

    /// How another server fares that binds the address and listens.
    fn rival(address: SocketAddr, reuses_port: bool) -> io::Result<()> {
        let socket = stream_socket(Domain::for_address(address))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuses_port)?;
        socket.bind(&address.into())?;
        socket.listen(1)
    }

    fn assert_taken(address: SocketAddr) {
        for reuses_port in [false, true] {
            assert_eq!(rival(address, reuses_port).unwrap_err().kind(), AddrInUse, "SO_REUSEPORT: {reuses_port}");
        }
    }

    async fn listener(at: &str) -> (Listener, SocketAddr) {
        let listener = Listener::Tcp(TcpListener::bind(at).await.unwrap());
        let Address::Tcp(address) = listener.address().unwrap() else { panic!("{listener:?}") };
        (listener, address)
    }

    #[tokio::test]
    async fn connections_are_refused_and_the_port_is_taken_over_many_switches() {
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let (mut listener, address) = listener(at).await;
            assert_taken(address);
            let mut accepted = Vec::new();
            for _ in 0..20 {
                // Open connections, and closed ones of which the kernel keeps the port for a while.
                let client = TcpStream::connect(address).await.unwrap();
                let (ours, _) = listener.accept().await.unwrap();
                accepted.push((client, ours));
                let client = TcpStream::connect(address).await.unwrap();
                drop(listener.accept().await.unwrap());
                drop(client);
                listener.refuse().unwrap();
                listener.refuse().unwrap();
                assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ConnectionRefused, "{at}");
                assert_eq!(listener.address().unwrap(), Address::Tcp(address));
                assert_taken(address);
                listener.listen().unwrap();
                listener.listen().unwrap();
                assert_eq!(listener.address().unwrap(), Address::Tcp(address));
                assert_taken(address);
            }
            drop(listener);
            rival(address, false).unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_not_been_accepted_is_reset() {
        let (mut listener, address) = listener("127.0.0.1:0").await;
        let mut client = TcpStream::connect(address).await.unwrap();
        listener.refuse().unwrap();
        assert_eq!(client.read_u8().await.unwrap_err().kind(), ConnectionReset);
    }

    /// A forked process has all descriptors until it executes its program.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_second_descriptor_of_the_listener_does_not_keep_it_listening() {
        let (mut listener, address) = listener("127.0.0.1:0").await;
        let mut forked = Vec::new();
        for _ in 0..3 {
            let Listener::Tcp(socket) = &listener else { panic!("{listener:?}") };
            forked.push(SockRef::from(socket).try_clone().unwrap());
            listener.refuse().unwrap();
            assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ConnectionRefused);
            assert_taken(address);
            listener.listen().unwrap();
            TcpStream::connect(address).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_unix_socket_refuses_and_keeps_its_path_and_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sock");
        let mut listener = Listener::unix(&path, Some(0o640)).await.unwrap();
        for _ in 0..3 {
            UnixStream::connect(&path).await.unwrap();
            listener.refuse().unwrap();
            assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), ConnectionRefused);
            assert_eq!(Listener::unix(&path, None).await.unwrap_err().kind(), AddrInUse);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
            listener.listen().unwrap();
            assert_eq!(Listener::unix(&path, None).await.unwrap_err().kind(), AddrInUse);
        }
        listener.refuse().unwrap();
        drop(listener);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "the socket's file is removed");
    }

    #[tokio::test]
    async fn the_socket_of_another_program_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sock");
        let mut listener = Listener::unix(&path, None).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        let error = listener.refuse().unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
        UnixStream::connect(&path).await.unwrap();
    }
}
