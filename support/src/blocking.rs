//! Blocking work on threads. A failure to start the thread is an error, where tokio's `spawn_blocking` panics.

use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long [`retrying`] waits after a failure.
const BACKOFF: Duration = Duration::from_secs(5);

/// Runs `work` on a new thread, which may block, and waits for its result.
///
/// # Errors
/// If the thread can't be started, or `work` panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("blocking".to_owned()).spawn(move || _ = sender.send(work()));
    spawned.map_err(|error| io::Error::new(error.kind(), no_thread(&error)))?;
    done.await.map_err(|_| io::Error::other("the work has panicked"))
}

/// Retries `attempt` every 5 seconds until it succeeds, and logs each failure. The limit on threads that made it fail
/// is often reached only for a short time.
pub async fn retrying<T, F: Future<Output = io::Result<T>>>(attempt: impl Fn() -> F) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::error!("{error}; trying again in {} s", BACKOFF.as_secs()),
        }
        sleep(BACKOFF).await;
    }
}

/// The error message of a thread that can't be started, with the remedy.
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
    async fn a_panic_in_blocking_work_is_an_error() {
        assert_eq!(blocking(|| 7).await.unwrap(), 7);
        assert!(blocking(|| panic!("made-up")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_work_is_retried() {
        let attempts = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&attempts);
        let work = move || match counter.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("made-up"),
            attempts => attempts,
        };
        let done = retrying(move || blocking(work.clone()));
        assert_eq!(done.await, 1);
    }
}
