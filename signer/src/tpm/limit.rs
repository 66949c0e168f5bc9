//! Time-outs for TPM operations. tpm2-tss has none, and a hung chip or a stopped swtpm never answers.

use super::{TpmAddress, TpmError};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

/// The time-out for opening a key. A slow TPM takes half a minute to recreate an endorsement key, and may need two of
/// them.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(90);

/// The time-out for generating an RSA key. A slow TPM may search for primes for minutes.
pub(super) const GENERATE_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs `work` on a thread and returns its result. After the time-out the thread is detached, because it can't be
/// cancelled.
pub(super) fn with_timeout<T: Send + 'static>(
    limit: Duration,
    address: &TpmAddress,
    work: impl FnOnce() -> Result<T, TpmError> + Send + 'static,
) -> Result<T, TpmError> {
    let (sender, done) = channel();
    let work = move || _ = sender.send(work());
    let spawned = Builder::new().name("tpm-open".to_owned()).spawn(work);
    spawned.map_err(|error| TpmError::Other(error.to_string()))?;
    done.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(TpmError::Unresponsive { at: address.to_string(), seconds: limit.as_secs() }),
        RecvTimeoutError::Disconnected => Err(TpmError::Other("its thread has ended".to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unresponsive_tpm_is_an_error_with_its_address() {
        let address = "/run/tpm.sock".parse().unwrap();
        assert!(matches!(with_timeout(OPEN_TIMEOUT, &address, || Ok(7)), Ok(7)));
        let full = with_timeout(OPEN_TIMEOUT, &address, || Err::<(), _>(TpmError::OutOfMemory));
        assert!(matches!(full, Err(TpmError::OutOfMemory)));
        let (_sender, never) = channel::<()>();
        let error = with_timeout(Duration::ZERO, &address, move || Ok(never.recv())).unwrap_err();
        assert!(error.to_string().starts_with("the TPM at /run/tpm.sock has not answered for 0 seconds"), "{error}");
    }
}
