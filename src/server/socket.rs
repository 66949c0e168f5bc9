//! An accepted socket: hyper reads and writes it, and the handler of a request waits here for the client to disconnect.
//!
//! hyper does not report a disconnect during a request: a client may close its sending side and wait for the answer. Besides, hyper
//! does not read while a second request is in its buffer. A long poll would then keep its waiter slot for ever. The kernel reports
//! the end of a connection separately from unread data.

use super::busy_poll::BusyPoll;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// TCP keepalive: the idle time before the first probe, and the interval of the probes.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Maximum number of bytes of a read. Nearly all heads are shorter. The buffer is zeroed before each read, which costs time.
const READ: usize = 1024;

/// Writes up to this length are copied into one buffer, because `write` costs less than `writev`. Nearly all answers are shorter.
const WRITE: usize = 2048;

/// An accepted socket that is not yet registered with the runtime that serves it.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Registers the socket with the current runtime.
    pub(super) fn open(self, busy_poll: Duration) -> io::Result<Socket> {
        let stream = match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        };
        Ok(Socket::new(stream, BusyPoll::new(busy_poll)))
    }

    /// Resets the connection (RST). A Unix socket has no reset and is just closed.
    pub(super) fn reset(self) {
        if let Self::Tcp(stream) = &self {
            // Fails only if the client has already reset the connection.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A connected socket of either kind.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Makes the same call on either kind of stream.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &$socket.0.stream {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

/// A connected socket. Clones share it: hyper reads and writes, and the request handler waits for its end.
#[derive(Debug, Clone)]
pub(super) struct Socket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Stream,
    /// The service is answering a request.
    answering: AtomicBool,
    /// A write waits because the client does not read.
    blocked: AtomicBool,
    busy_poll: BusyPoll,
}

impl Socket {
    fn new(stream: Stream, busy_poll: BusyPoll) -> Self {
        if let Stream::Tcp(stream) = &stream {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
            // Errors are ignored: they mean that the client has left already, which the first read reports. No delay (Nagle),
            // because an answer is one small write.
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
            let _ = stream.set_nodelay(true);
        }
        let (answering, blocked) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Inner { stream, answering, blocked, busy_poll }))
    }

    /// Completes when the client has closed its sending side (FIN) or reset the connection, even while received bytes are unread.
    pub(super) async fn read_closed(&self) {
        #[cfg(target_os = "linux")]
        self.read_closed_by_priority().await;
        #[cfg(not(target_os = "linux"))]
        self.read_closed_by_polling().await;
    }

    /// Waits for the interest `PRIORITY`, which reports the end and urgent data, which no client sends. Linux only.
    #[cfg(target_os = "linux")]
    async fn read_closed_by_priority(&self) {
        loop {
            match either!(self, stream => stream.ready(Interest::PRIORITY).await) {
                Ok(ready) if !ready.is_read_closed() => {}
                _ => return,
            }
        }
    }

    /// Checks once a second, because read readiness stays set while bytes are unread.
    #[cfg(any(test, not(target_os = "linux")))]
    async fn read_closed_by_polling(&self) {
        loop {
            match either!(self, stream => stream.ready(Interest::READABLE).await) {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => return,
            }
        }
    }

    /// Completes when the connection is reset: the client reads no more answers.
    pub(super) async fn reset(&self) {
        let _ = either!(self, stream => stream.ready(Interest::ERROR).await);
    }

    /// Waits until there are bytes to read or the connection has ended.
    pub(super) async fn readable(&self) {
        let _ = either!(self, stream => stream.readable().await);
    }

    /// Makes closing the connection reset it (RST). A Unix socket has no reset and is just closed.
    pub(super) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = &self.0.stream {
            // Fails only if the client has already reset the connection.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    pub(super) fn set_answering(&self, answering: bool) {
        self.0.answering.store(answering, Ordering::Relaxed);
    }

    /// Whether a request is being answered, or its answer is not wholly written.
    pub(super) fn is_busy(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed) || self.0.blocked.load(Ordering::Relaxed)
    }

    /// Writes as soon as the socket is writable.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready = either!(self, stream => stream.poll_write_ready(cx));
            self.0.blocked.store(ready.is_pending(), Ordering::Relaxed);
            ready!(ready)?;
            match write(&self.0.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => {
                    self.0.busy_poll.written();
                    return Poll::Ready(outcome);
                }
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(READ);
        loop {
            let ready = either!(self, stream => stream.poll_read_ready(cx));
            if ready.is_pending() {
                self.0.busy_poll.found_nothing(cx);
            }
            ready!(ready)?;
            let into = buffer.initialize_unfilled_to(room);
            let mut read = 0;
            let outcome = either!(self, stream => stream.try_io(Interest::READABLE, || {
                read = (&*SockRef::from(stream)).read(into)?;
                // A short read means that no more bytes are available. `WouldBlock` clears the readiness, which saves a read.
                if 0 < read && read < room { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            }));
            match outcome {
                Err(error) if error.kind() == ErrorKind::WouldBlock && read == 0 => {}
                Err(error) if read == 0 => return Poll::Ready(Err(error)),
                _ => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length <= WRITE {
            let mut room = [MaybeUninit::uninit(); WRITE];
            let mut together = ReadBuf::uninit(&mut room);
            slices.iter().for_each(|slice| together.put_slice(slice));
            return self.poll_write(cx, together.filled());
        }
        self.poll_write_with(cx, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write_vectored(slices),
            Stream::Unix(stream) => stream.try_write_vectored(slices),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(either!(self, stream => SockRef::from(stream).shutdown(Shutdown::Write)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (Socket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Socket::new(Stream::Unix(ours), BusyPoll::new(Duration::ZERO)), theirs)
    }

    #[tokio::test]
    async fn bytes_arrive_in_both_directions() {
        let (mut ours, mut theirs) = pair().await;
        let long = vec![7; 3 * READ + 1];
        let copy = long.clone();
        let sending = tokio::spawn(async move {
            theirs.write_all(&copy).await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut back = Vec::new();
            theirs.read_to_end(&mut back).await.unwrap();
            back
        });
        let mut received = Vec::new();
        ours.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, long);
        ours.write_all(&received).await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(sending.await.unwrap(), long);
    }

    #[tokio::test]
    async fn vectored_writes_of_all_lengths_arrive_in_order() {
        for length in [2, WRITE, WRITE + 1, 20 * WRITE] {
            let (mut ours, mut theirs) = pair().await;
            let (head, body) = (vec![1; length / 2], vec![2; length - length / 2]);
            let written = ours.write_vectored(&[IoSlice::new(&head), IoSlice::new(&body)]).await.unwrap();
            assert_eq!(written, length);
            let mut read = vec![0; length];
            theirs.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [head, body].concat());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_is_detected_while_bytes_are_unread() {
        let (ours, mut theirs) = pair().await;
        theirs.write_all(b"unread").await.unwrap();
        assert!(futures_util::poll!(std::pin::pin!(ours.read_closed())).is_pending());
        assert!(futures_util::poll!(std::pin::pin!(ours.read_closed_by_polling())).is_pending());
        drop(theirs);
        ours.read_closed().await;
        ours.read_closed_by_polling().await;
    }

    #[tokio::test]
    async fn a_closed_sending_side_is_not_a_reset() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let ours = Socket::new(Stream::Tcp(listener.accept().await.unwrap().0), BusyPoll::new(Duration::ZERO));
        client.shutdown().await.unwrap();
        ours.read_closed().await;
        assert!(futures_util::poll!(std::pin::pin!(ours.reset())).is_pending());
        client.set_zero_linger().unwrap();
        drop(client);
        ours.reset().await;
    }

    #[tokio::test]
    async fn a_socket_is_busy_while_the_client_does_not_read() {
        let (mut ours, mut theirs) = pair().await;
        assert!(!ours.is_busy());
        let megabyte = vec![0; 1 << 20];
        let writing = ours.clone();
        let done = tokio::spawn(async move { ours.write_all(&megabyte).await });
        while !writing.is_busy() {
            tokio::task::yield_now().await;
        }
        let mut taken = vec![0; 1 << 20];
        theirs.read_exact(&mut taken).await.unwrap();
        done.await.unwrap().unwrap();
        assert!(!writing.is_busy());
    }
}
