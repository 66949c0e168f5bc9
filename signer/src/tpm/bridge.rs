//! A Unix socket that takes TPM commands, as the TCP ports that tpm2-tss knows how to use.
//!
//! The library's safe interface has no way to a Unix socket. So a port of the loopback stands for it while it is in use, for this
//! process alone: whoever may not open the socket must not get past it here. The port that tpm2-tss controls a swtpm by, the next higher one, is answered here: localities and the like have no
//! meaning to whatever is behind a socket of plain commands.

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

const ATTEMPTS: usize = 64;
#[cfg(target_os = "linux")]
const LOOKS: usize = 2;

pub(super) struct Bridge {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Bridge {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // To know at once that there is somebody.
        drop(UnixStream::connect(path)?);
        let (commands, control) = pair()?;
        let port = commands.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (Arc::clone(&over), path.to_owned());
        thread::Builder::new().name("tpm-bridge".to_owned()).spawn(move || {
            accept(&commands, &stopped, |tcp| Ongoing::carrying(tcp, UnixStream::connect(&path)?));
        })?;
        let stopped = Arc::clone(&over);
        thread::Builder::new().name("tpm-control".to_owned()).spawn(move || {
            accept(&control, &stopped, Ongoing::answering);
        })?;
        Ok(Self { port, over })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Both threads may still wait for somebody to come.
        for port in [self.port, self.port.saturating_add(1)] {
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
    }
}

/// Takes one connection after another: the library makes one for each command. One that it has closed may be kept open by a
/// child of this process, which inherits it, so the next one ends it.
fn accept(listener: &TcpListener, stopped: &AtomicBool, start: impl Fn(TcpStream) -> io::Result<Ongoing>) {
    let mut ongoing = None;
    for tcp in listener.incoming().flatten() {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        if is_ours(&tcp) {
            drop(ongoing.take());
            ongoing = start(tcp).ok();
        }
    }
}

/// A connection that is under way. Dropping it ends it.
struct Ongoing {
    tcp: TcpStream,
    unix: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Ongoing {
    fn carrying(tcp: TcpStream, unix: UnixStream) -> io::Result<Self> {
        let _ = tcp.set_nodelay(true);
        let (near, far) = (tcp.try_clone()?, unix.try_clone()?);
        let thread = thread::Builder::new().spawn(move || carry(&near, &far))?;
        Ok(Self { tcp, unix: Some(unix), thread: Some(thread) })
    }

    fn answering(tcp: TcpStream) -> io::Result<Self> {
        let near = tcp.try_clone()?;
        let thread = thread::Builder::new().spawn(move || _ = answer(near))?;
        Ok(Self { tcp, unix: None, thread: Some(thread) })
    }
}

impl Drop for Ongoing {
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

/// Whether the other end is a socket of this process. The kernel's list is made in pieces while it changes, and may lack a line.
#[cfg(target_os = "linux")]
fn is_ours(tcp: &TcpStream) -> bool {
    (0..LOOKS).any(|_| peer_socket(tcp).is_some_and(|name| is_open_here(&name)))
}

/// The name under which a process has the other end open. There may be thousands of sockets, and the library asks for each
/// command: the list is searched as it is.
#[cfg(target_os = "linux")]
fn peer_socket(tcp: &TcpStream) -> Option<String> {
    let (theirs, ours) = (as_listed(tcp.peer_addr().ok()?)?, as_listed(tcp.local_addr().ok()?)?);
    let list = fs::read_to_string("/proc/net/tcp").ok()?;
    let (_, rest) = list.split_once(&format!(" {theirs} {ours} "))?;
    // State, queues, timer, retransmissions, user, time-out, inode.
    Some(format!("socket:[{}]", rest.lines().next()?.split_whitespace().nth(6)?))
}

#[cfg(target_os = "linux")]
fn is_open_here(name: &str) -> bool {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == name))
}

/// An address in the kernel's list of sockets.
#[cfg(target_os = "linux")]
fn as_listed(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port()))
}

/// Elsewhere it can't be told.
#[cfg(not(target_os = "linux"))]
fn is_ours(_: &TcpStream) -> bool {
    true
}

/// Two neighbouring ports.
fn pair() -> io::Result<(TcpListener, TcpListener)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..ATTEMPTS {
        let wanted = if attempt < ATTEMPTS / 2 { 0 } else { below_those_of_clients()? };
        let pair = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).and_then(|first| {
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

/// One of the ports that the system gives to nobody unasked. Of those that it gives, clients may have used up every other one,
/// and they are taken for a minute after that.
fn below_those_of_clients() -> io::Result<u16> {
    let mut random = [0; 2];
    fill(&mut random).map_err(io::Error::other)?;
    Ok(16_384 + u16::from_ne_bytes(random) % 16_384)
}

/// Both ways, until either side ends.
fn carry(tcp: &TcpStream, unix: &UnixStream) {
    let end = || {
        let _ = tcp.shutdown(Shutdown::Both);
        let _ = unix.shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        let sending = thread::Builder::new().spawn_scoped(scope, || {
            let _ = io::copy(&mut &*tcp, &mut &*unix);
            end();
        });
        // Without a thread for it there is no connection.
        if sending.is_ok() {
            let _ = io::copy(&mut &*unix, &mut &*tcp);
        }
        end();
    });
}

/// Every control command succeeds.
fn answer(mut tcp: TcpStream) -> io::Result<()> {
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

    /// A socket behind which a TPM could be, and the bridge to it.
    fn bridged() -> (TempDir, UnixListener, Bridge) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let tpm = UnixListener::bind(&path).unwrap();
        let bridge = Bridge::open(&path).unwrap();
        // The look whether there is somebody.
        drop(tpm.accept().unwrap());
        (folder, tpm, bridge)
    }

    #[test]
    fn strangers_do_not_get_past_the_socket() {
        let (_folder, tpm, bridge) = bridged();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; echo hello >&3; cat <&3", bridge.port());
        let said = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(said.stdout, b"", "it is told nothing, and does not have to wait for that");
        tpm.set_nonblocking(true).unwrap();
        assert_eq!(tpm.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

        tpm.set_nonblocking(false).unwrap();
        asks(&bridge, &tpm);
    }

    /// Sends a command, and takes it on the other side.
    fn asks(bridge: &Bridge, tpm: &UnixListener) -> (TcpStream, UnixStream) {
        let mut ours = TcpStream::connect((Ipv4Addr::LOCALHOST, bridge.port())).unwrap();
        ours.write_all(b"command").unwrap();
        let (mut connected, _) = tpm.accept().unwrap();
        let mut command = [0; 7];
        connected.read_exact(&mut command).unwrap();
        assert_eq!(&command, b"command");
        (ours, connected)
    }

    #[test]
    fn a_connection_that_is_kept_open_holds_up_nobody() {
        let (_folder, tpm, bridge) = bridged();
        let (_kept, mut first) = asks(&bridge, &tpm);
        let (mut ours, mut second) = asks(&bridge, &tpm);
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0, "a swtpm serves one at a time");
        second.write_all(b"response").unwrap();
        let mut response = [0; 8];
        ours.read_exact(&mut response).unwrap();
        assert_eq!(&response, b"response");
    }

    /// Where clients have used up the ports that the system gives, others are left.
    #[test]
    fn other_ports_are_none_that_clients_get() {
        for _ in 0..100 {
            assert!((16_384..32_768).contains(&below_those_of_clients().unwrap()));
        }
    }
}
