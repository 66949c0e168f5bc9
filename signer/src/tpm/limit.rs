//! Time-outs for TPM operations.

use super::{TpmAddress, TpmError};
pub(super) use crate::limit::OPEN_TIMEOUT;
use crate::limit::{Unfinished, within};
use std::time::Duration;

/// The time-out for generating an RSA key. A slow TPM may search for primes for minutes.
pub(super) const GENERATE_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs `work` with the TPM at this address.
pub(super) fn with_timeout<T: Send + 'static>(
    limit: Duration,
    address: &TpmAddress,
    work: impl FnOnce() -> Result<T, TpmError> + Send + 'static,
) -> Result<T, TpmError> {
    within(limit, "tpm-open", work).unwrap_or_else(|unfinished| match unfinished {
        Unfinished::TimedOut(seconds) => Err(TpmError::Unresponsive { at: address.to_string(), seconds }),
        Unfinished::NoThread(error) => Err(TpmError::Other(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

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
