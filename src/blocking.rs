//! Work that may block, each on a thread of its own. Unit tests run it on tokio's pool.

/// Runs `work` on a thread that may block.
#[cfg(not(test))]
pub(crate) use gce_metadata_support::blocking::blocking;

/// The same for unit tests, on tokio's pool: their paused clock advances by itself unless that pool works.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}

/// Runs `work` on a thread that may block, again after a while if no thread can be made.
pub(crate) async fn retrying<T: Send + 'static>(work: impl Fn() -> T + Clone + Send + 'static) -> T {
    gce_metadata_support::blocking::retrying(move || blocking(work.clone())).await
}
