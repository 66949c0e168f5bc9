//! Work that may block, on threads that end with it. A thread that can't be made is an error: tokio's own pool panics then.

use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long [`retrying`] waits after a failure.
const BACKOFF: Duration = Duration::from_secs(5);

/// Runs `work` on a thread that may block.
///
/// # Errors
/// If no thread can be made, or `work` panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("blocking".to_owned()).spawn(move || _ = sender.send(work()));
    spawned.map_err(|error| io::Error::new(error.kind(), no_thread(&error)))?;
    done.await.map_err(|_| io::Error::other("the work has panicked"))
}

/// Repeats `attempt` until it succeeds, after a while each time: a limit on processes that is reached now may not be reached later.
/// Each failure is logged.
pub async fn retrying<T, F: Future<Output = io::Result<T>>>(attempt: impl Fn() -> F) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::error!("{error}; trying again in {} s", BACKOFF.as_secs()),
        }
        sleep(BACKOFF).await;
    }
}

/// The error message for a thread that the system refuses.
pub fn no_thread(error: &io::Error) -> String {
    format!(
        "can't start a thread: {error}; raise the limit on processes and threads of this user (ulimit -u) or container"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert_eq!(blocking(|| 7).await.unwrap(), 7);
        assert!(blocking(|| panic!("made-up")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_work_is_tried_again() {
        let tries = Arc::new(AtomicU32::new(0));
        let trying = Arc::clone(&tries);
        let work = move || match trying.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("made-up"),
            tries => tries,
        };
        let done = retrying(move || blocking(work.clone()));
        assert_eq!(done.await, 1);
    }
}
