//! Runs the asynchronous part of a command.

use anyhow::Context;

/// Runs a future in a new single-threaded runtime, and does not wait for threads that a file system, a TPM or a name resolver blocks.
///
/// # Errors
/// If the runtime can't be started.
pub(super) fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("can't start the runtime")?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}
