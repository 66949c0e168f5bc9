//! One accepted socket: hyper reads and writes it, and a request that is being answered learns here that its client has
//! disconnected.
//!
//! hyper does not report that: a client may close its sending side and wait for the answer. Besides, a second request in its
//! buffer keeps it from reading, so that it would miss the end. A long poll would then keep its place for ever. The kernel
//! reports the end of a connection separately from unread data.

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

/// How long a client may be silent before it is asked whether it is still there, and how often it is asked then.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Heads are shorter than this, nearly always; more is read in several goes. The room is wiped before each, which costs.
const READ: usize = 1024;

/// Answers are shorter than this, nearly always. In one piece they are sent by a call that costs less than the one for several.
const WRITE: usize = 2048;

/// A socket on its way to the runtime that serves it.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Must be called in that runtime.
    pub(super) fn open(self) -> io::Result<Socket> {
        Ok(Socket::new(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        }))
    }
}

/// A connected socket of either kind.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The same call on either kind.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &$socket.0.stream {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

/// A socket that is shared by those who serve its connection.
#[derive(Debug, Clone)]
pub(super) struct Socket(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: Stream,
    /// A request is with the service.
    answering: AtomicBool,
    /// The client does not take what is written.
    blocked: AtomicBool,
}

impl Socket {
    fn new(stream: Stream) -> Self {
        if let Stream::Tcp(stream) = &stream {
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
            // What fails on a socket that has just been accepted means that the client has left already, which the first
            // read will tell. An answer is one small write: waiting for more to send would only delay it.
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
            let _ = stream.set_nodelay(true);
        }
        Self(Arc::new(Inner { stream, answering: AtomicBool::new(false), blocked: AtomicBool::new(false) }))
    }

    /// Completes when the client has closed its sending side (FIN) or the connection was reset, also while bytes that it sent
    /// before are unread.
    pub(super) async fn read_closed(&self) {
        #[cfg(target_os = "linux")]
        self.read_closed_by_priority().await;
        #[cfg(not(target_os = "linux"))]
        self.read_closed_by_polling().await;
    }

    /// Of the events of this interest only the end can happen: no client sends urgent data. Linux alone has it.
    #[cfg(target_os = "linux")]
    async fn read_closed_by_priority(&self) {
        loop {
            match either!(self, stream => stream.ready(Interest::PRIORITY).await) {
                Ok(ready) if !ready.is_read_closed() => {}
                _ => return,
            }
        }
    }

    /// Readiness to read stays set while bytes are unread, so it is asked for once a second then.
    #[cfg(any(test, not(target_os = "linux")))]
    async fn read_closed_by_polling(&self) {
        loop {
            match either!(self, stream => stream.ready(Interest::READABLE).await) {
                Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => return,
            }
        }
    }

    /// Completes when the connection was reset: the client reads no answer any more.
    pub(super) async fn reset(&self) {
        let _ = either!(self, stream => stream.ready(Interest::ERROR).await);
    }

    /// Waits until there is something to read, or the connection has ended. Reading tells which.
    pub(super) async fn readable(&self) {
        let _ = either!(self, stream => stream.readable().await);
    }

    /// Has the connection reset (RST) when it is closed. A Unix socket knows no reset: it is closed.
    pub(super) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = &self.0.stream {
            // Fails only if the client has reset the connection itself.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    pub(super) fn set_answering(&self, answering: bool) {
        self.0.answering.store(answering, Ordering::Relaxed);
    }

    /// Whether a request has come that is not wholly answered.
    pub(super) fn is_busy(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed) || self.0.blocked.load(Ordering::Relaxed)
    }

    /// Writes once the socket takes something.
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
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.remaining().min(READ);
        loop {
            ready!(either!(self, stream => stream.poll_read_ready(cx)))?;
            let into = buffer.initialize_unfilled_to(room);
            let mut read = 0;
            let outcome = either!(self, stream => stream.try_io(Interest::READABLE, || {
                read = (&*SockRef::from(stream)).read(into)?;
                // Less than there was room for: there is no more, and to say so here saves the call that would find out.
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
        (Socket::new(Stream::Unix(ours)), theirs)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_in_both_directions() {
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
    async fn pieces_arrive_in_order_whether_or_not_they_are_put_together() {
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
    async fn the_end_of_a_connection_is_noticed_while_bytes_are_unread() {
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
        let ours = Socket::new(Stream::Tcp(listener.accept().await.unwrap().0));
        client.shutdown().await.unwrap();
        ours.read_closed().await;
        assert!(futures_util::poll!(std::pin::pin!(ours.reset())).is_pending());
        client.set_zero_linger().unwrap();
        drop(client);
        ours.reset().await;
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_not_done() {
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
