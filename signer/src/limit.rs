//! Time-outs for work with devices. Their libraries have none, and a hung device never answers.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

/// The time-out for opening a key. A slow TPM takes half a minute to recreate an endorsement key, and may need two of
/// them.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(90);

/// Work that has no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The device has not answered for this number of seconds.
    TimedOut(u64),
    /// The thread could not be started, or has panicked.
    NoThread(String),
}

/// Runs `work` on a new thread with this name and returns its result. After the time-out the thread is detached, because
/// it can't be cancelled.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    thread: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (sender, done) = channel();
    let work = move || _ = sender.send(work());
    let spawned = Builder::new().name(thread.to_owned()).spawn(work);
    spawned.map_err(|error| Unfinished::NoThread(error.to_string()))?;
    done.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Unfinished::TimedOut(limit.as_secs()),
        RecvTimeoutError::Disconnected => Unfinished::NoThread("its thread has ended".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_never_ends_is_an_error_after_the_time_out() {
        assert_eq!(within(OPEN_TIMEOUT, "test", || 7), Ok(7));
        let (_sender, never) = channel::<()>();
        let timed_out = within(Duration::ZERO, "test", move || never.recv().is_ok());
        assert_eq!(timed_out, Err(Unfinished::TimedOut(0)));
    }
}
