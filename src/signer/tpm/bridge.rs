//! A Unix socket that takes TPM commands, as the TCP ports that tpm2-tss knows how to use.
//!
//! The library's safe interface has no way to a Unix socket. So a port of the loopback stands for it while it is
//! in use. The port that tpm2-tss controls a swtpm by, the next higher one, is answered here: localities and the like have no
//! meaning to whatever is behind a socket of plain commands.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const ATTEMPTS: usize = 64;

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
        // One connection after another: the library may make one for each command.
        thread::Builder::new().name("tpm-bridge".to_owned()).spawn(move || {
            for tcp in commands.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let _ = tcp.set_nodelay(true);
                if let Ok(unix) = UnixStream::connect(&path) {
                    carry(&tcp, &unix);
                }
            }
        })?;
        let stopped = Arc::clone(&over);
        thread::Builder::new().name("tpm-control".to_owned()).spawn(move || {
            for tcp in control.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let _ = answer(tcp);
            }
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

/// Two neighbouring ports.
fn pair() -> io::Result<(TcpListener, TcpListener)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, first.local_addr()?.port().saturating_add(1))) {
            Ok(second) => return Ok((first, second)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Both ways, until either side ends.
fn carry(tcp: &TcpStream, unix: &UnixStream) {
    let end = || {
        let _ = tcp.shutdown(Shutdown::Both);
        let _ = unix.shutdown(Shutdown::Both);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*tcp, &mut &*unix);
            end();
        });
        let _ = io::copy(&mut &*unix, &mut &*tcp);
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
