//! `--exit-with-parent`: notices that the program that started the server has ended, even if it was killed.
//!
//! There are two signs. The parent process ends: Linux reports that by a pidfd, other systems are asked every second. The
//! parent-death signal of Linux is not used, because it is sent when the parent's *thread* ends. The other sign is the end of
//! standard input, if that is a pipe or a socket.

mod process;

use process::Parent;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::pin::Pin;
use tokio::sync::oneshot;

/// Completes when the parent has ended.
pub(super) type ParentEnd = Pin<Box<dyn Future<Output = ()>>>;

/// Follows the parent. Must be called in a tokio runtime, and early: a parent that ends before is noticed by its session or by
/// standard input only.
pub(super) fn follow() -> io::Result<ParentEnd> {
    let (process, input) = (Parent::find(), follow_pipe(io::stdin())?);
    if !process.can_be_followed() && input.is_none() {
        tracing::warn!(
            "--exit-with-parent has no effect: this process has no parent in its PID namespace, and standard input is neither a \
             pipe nor a socket"
        );
    }
    let input = async {
        match input {
            Some(ended) => _ = ended.await,
            None => std::future::pending().await,
        }
    };
    Ok(Box::pin(async {
        tokio::select! {
            () = process.ended() => tracing::info!("the parent process has ended"),
            () = input => tracing::info!("standard input has ended"),
        }
    }))
}

/// Reads a pipe or socket to its end, on a thread. `None` for a terminal, a file or a device: their end means nothing.
fn follow_pipe(input: impl AsFd) -> io::Result<Option<oneshot::Receiver<()>>> {
    let input = File::from(input.as_fd().try_clone_to_owned()?);
    let kind = input.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_socket() {
        return Ok(None);
    }
    // A runtime would need the non-blocking mode, which other processes with the same pipe would inherit.
    let (sender, receiver) = oneshot::channel();
    let read = move || {
        discard(input);
        _ = sender.send(());
    };
    std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
    Ok(Some(receiver))
}

/// Reads to the end. An error counts as the end, as for a socket that was reset.
fn discard(mut input: File) {
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has set the non-blocking mode.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                _ = poll(&mut [PollFd::new(&input, PollFlags::IN)], None);
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Write, pipe};
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn the_end_of_a_pipe_or_socket_is_noticed_after_what_was_written() {
        let (reader, mut writer) = pipe().unwrap();
        let mut ended = follow_pipe(reader).unwrap().unwrap();
        writer.write_all(&[0; 10_000]).unwrap();
        assert!(ended.try_recv().is_err(), "the writer is open");
        drop(writer);
        ended.await.unwrap();

        let (reader, writer) = UnixStream::pair().unwrap();
        let mut ended = follow_pipe(reader).unwrap().unwrap();
        assert!(ended.try_recv().is_err(), "the writer is open");
        drop(writer);
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_non_blocking_pipe_is_noticed() {
        let (reader, writer) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let mut ended = follow_pipe(reader).unwrap().unwrap();
        assert!(ended.try_recv().is_err(), "the writer is open");
        drop(writer);
        ended.await.unwrap();
    }

    #[test]
    fn a_device_and_a_file_are_not_followed() {
        assert!(follow_pipe(File::open("/dev/null").unwrap()).unwrap().is_none());
        assert!(follow_pipe(tempfile::tempfile().unwrap()).unwrap().is_none());
    }
}
