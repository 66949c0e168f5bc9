//! A proxy from loopback TCP ports to the Unix socket of a TPM.
//!
//! The safe API of tpm2-tss connects to a swtpm by TCP only. So a loopback port forwards to the socket while it is in
//! use. It accepts connections of this process only: otherwise a process without permission for the socket could reach
//! the TPM through the port. tpm2-tss also expects swtpm's control channel on the next higher port. That port is
//! answered here, because a socket of plain TPM commands has no control channel.

use aws_lc_rs::rand::fill;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
#[cfg(target_os = "linux")]
use std::{fs, net::SocketAddr};

/// Attempts to bind two consecutive ports.
const MAX_ATTEMPTS: usize = 64;
/// Reads of the kernel's list of sockets per connection.
#[cfg(target_os = "linux")]
const MAX_LOOKUPS: usize = 2;

/// The listening proxy. It stops when dropped.
pub(super) struct Bridge {
    port: u16,
    stopped: Arc<AtomicBool>,
}

impl Bridge {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Reports a missing listener now, with its cause.
        drop(UnixStream::connect(path)?);
        let (commands, control) = bind_consecutive_ports()?;
        let port = commands.local_addr()?.port();
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, path) = (Arc::clone(&stopped), path.to_owned());
        thread::Builder::new().name("tpm-bridge".to_owned()).spawn(move || {
            accept(&commands, &stop, |tcp| Connection::forwarding(tcp, UnixStream::connect(&path)?));
        })?;
        let stop = Arc::clone(&stopped);
        thread::Builder::new().name("tpm-control".to_owned()).spawn(move || {
            accept(&control, &stop, Connection::of_control_channel);
        })?;
        Ok(Self { port, stopped })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes both threads, which may be blocked in `accept`.
        for port in [self.port, self.port.saturating_add(1)] {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

/// Accepts connections, of which each ends the previous one. tpm2-tss makes one for each command; a child process may
/// have inherited the previous one and keep it open.
fn accept(listener: &TcpListener, stopped: &AtomicBool, start: impl Fn(TcpStream) -> io::Result<Connection>) {
    let mut current = None;
    for tcp in listener.incoming().flatten() {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        if is_from_this_process(&tcp) {
            drop(current.take());
            current = start(tcp).ok();
        }
    }
}

/// An accepted connection and its thread. It is closed when dropped.
struct Connection {
    tcp: TcpStream,
    unix: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Connection {
    fn forwarding(tcp: TcpStream, unix: UnixStream) -> io::Result<Self> {
        let _ = tcp.set_nodelay(true);
        let (client, server) = (tcp.try_clone()?, unix.try_clone()?);
        let thread = thread::Builder::new().spawn(move || forward(&client, &server))?;
        Ok(Self { tcp, unix: Some(unix), thread: Some(thread) })
    }

    fn of_control_channel(tcp: TcpStream) -> io::Result<Self> {
        let client = tcp.try_clone()?;
        let thread = thread::Builder::new().spawn(move || _ = answer_control_commands(client))?;
        Ok(Self { tcp, unix: None, thread: Some(thread) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
        if let Some(unix) = &self.unix {
            let _ = unix.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether the peer of a connection is a socket of this process. The look-up is repeated, because the kernel does not
/// write its list of sockets atomically: a line may be missing.
#[cfg(target_os = "linux")]
fn is_from_this_process(tcp: &TcpStream) -> bool {
    (0..MAX_LOOKUPS).any(|_| peer_socket(tcp).is_some_and(|name| is_open_here(&name)))
}

/// The name of the peer's socket in `/proc/PID/fd`. The list is searched as text, not parsed: it may have thousands of
/// lines, and is read for each TPM command.
#[cfg(target_os = "linux")]
fn peer_socket(tcp: &TcpStream) -> Option<String> {
    let (peer, local) = (as_listed(tcp.peer_addr().ok()?)?, as_listed(tcp.local_addr().ok()?)?);
    let list = fs::read_to_string("/proc/net/tcp").ok()?;
    let (_, rest) = list.split_once(&format!(" {peer} {local} "))?;
    // The columns are: state, queues, timer, retransmissions, user, time-out, inode.
    Some(format!("socket:[{}]", rest.lines().next()?.split_whitespace().nth(6)?))
}

/// Whether this process has the socket open.
#[cfg(target_os = "linux")]
fn is_open_here(name: &str) -> bool {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == name))
}

/// An address in the format of `/proc/net/tcp`.
#[cfg(target_os = "linux")]
fn as_listed(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
}

/// Other systems have no such list.
#[cfg(not(target_os = "linux"))]
fn is_from_this_process(_: &TcpStream) -> bool {
    true
}

/// Binds two consecutive ports. The first half of the attempts uses ephemeral ports, the second half ports below them.
fn bind_consecutive_ports() -> io::Result<(TcpListener, TcpListener)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..MAX_ATTEMPTS {
        let port = if attempt < MAX_ATTEMPTS / 2 { 0 } else { port_below_ephemeral_range()? };
        let pair = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|first| {
            let next = first.local_addr()?.port().saturating_add(1);
            Ok((first, TcpListener::bind((Ipv4Addr::LOCALHOST, next))?))
        });
        match pair {
            Ok(pair) => return Ok(pair),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A random port below the ephemeral range. Linux gives clients every other ephemeral port, and each is in use for a
/// minute after its connection (TIME_WAIT), so the ephemeral range may have no two consecutive free ports.
fn port_below_ephemeral_range() -> io::Result<u16> {
    let mut random = [0; 2];
    fill(&mut random).map_err(io::Error::other)?;
    Ok(16_384 + u16::from_ne_bytes(random) % 16_384)
}

/// Forwards in both directions, until either side closes its connection.
fn forward(tcp: &TcpStream, unix: &UnixStream) {
    let close = || {
        let _ = tcp.shutdown(Shutdown::Both);
        let _ = unix.shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        let sending = thread::Builder::new().spawn_scoped(scope, || {
            let _ = io::copy(&mut &*tcp, &mut &*unix);
            close();
        });
        // If the thread could not be started, the connection is closed at once.
        if sending.is_ok() {
            let _ = io::copy(&mut &*unix, &mut &*tcp);
        }
        close();
    });
}

/// Answers every control command with success.
fn answer_control_commands(mut tcp: TcpStream) -> io::Result<()> {
    let mut command = [0; 64];
    while tcp.read(&mut command)? > 0 {
        tcp.write_all(&[0; 4])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    use tempfile::TempDir;

    /// A listener in place of a TPM, and the bridge to it.
    fn bridged() -> (TempDir, UnixListener, Bridge) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let tpm = UnixListener::bind(&path).unwrap();
        let bridge = Bridge::open(&path).unwrap();
        // `Bridge::open` connects once to check the socket.
        drop(tpm.accept().unwrap());
        (folder, tpm, bridge)
    }

    #[test]
    fn connections_of_other_processes_are_closed() {
        let (_folder, tpm, bridge) = bridged();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo hello >&3; cat <&3", bridge.port());
        let other = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(other.stdout, b"", "the connection is closed without an answer");
        tpm.set_nonblocking(true).unwrap();
        assert_eq!(tpm.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        tpm.set_nonblocking(false).unwrap();
        send_command(&bridge, &tpm);
    }

    /// Sends a command, and receives it on the side of the TPM.
    fn send_command(bridge: &Bridge, tpm: &UnixListener) -> (TcpStream, UnixStream) {
        let mut ours = TcpStream::connect((Ipv4Addr::LOCALHOST, bridge.port())).unwrap();
        ours.write_all(b"command").unwrap();
        let (mut connected, _) = tpm.accept().unwrap();
        let mut command = [0; 7];
        connected.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"command");
        (ours, connected)
    }

    #[test]
    fn a_new_connection_closes_the_previous_one() {
        let (_folder, tpm, bridge) = bridged();
        let (_kept, mut first) = send_command(&bridge, &tpm);
        let (mut ours, mut second) = send_command(&bridge, &tpm);
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "a swtpm serves one connection at a time");
        second.write_all(b"response").unwrap();
        let mut response = [0; 8];
        ours.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"response");
    }

    #[test]
    fn fallback_ports_are_below_the_ephemeral_range() {
        for _ in 0..100 {
            assert!((16_384..32_768).contains(&port_below_ephemeral_range().unwrap()));
        }
    }
}
