//! An end to waiting for a TPM: its library has none, and a chip that has hung, or a swtpm that was stopped, says nothing.

use super::{TpmAddress, TpmError};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

/// As long as a TPM is waited for that is to open a key. A slow one takes half a minute for an endorsement key, and may have
/// to make two.
pub(super) const OPENING: Duration = Duration::from_secs(90);

/// As long as a TPM is waited for that is to make an RSA key. A slow one takes minutes where it has no luck with primes.
pub(super) const MAKING: Duration = Duration::from_secs(300);

/// What this work comes to, on a thread of its own, which is left to itself when the time is up.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    address: &TpmAddress,
    work: impl FnOnce() -> Result<T, TpmError> + Send + 'static,
) -> Result<T, TpmError> {
    let (sender, done) = channel();
    let work = move || _ = sender.send(work());
    let ended = |error: String| TpmError::Other(error);
    Builder::new().name("tpm-open".to_owned()).spawn(work).map_err(|error| ended(error.to_string()))?;
    done.recv_timeout(limit).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(TpmError::Silent { at: address.to_string(), seconds: limit.as_secs() }),
        RecvTimeoutError::Disconnected => Err(ended("its thread has ended".to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_that_is_silent_is_named() {
        let address = "/run/tpm.sock".parse().unwrap();
        assert!(matches!(within(OPENING, &address, || Ok(7)), Ok(7)));
        assert!(matches!(within(OPENING, &address, || Err::<(), _>(TpmError::Full)), Err(TpmError::Full)));
        let (_answering, never) = channel::<()>();
        let silent = within(Duration::ZERO, &address, move || Ok(never.recv())).unwrap_err();
        assert!(silent.to_string().starts_with("the TPM at /run/tpm.sock has not answered for 0 seconds"), "{silent}");
    }
}
