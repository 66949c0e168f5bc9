//! The delay of a fault.

use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A delay that may last for ever, and can be ended early.
#[derive(Debug, Clone)]
#[must_use = "a delay does nothing until it is awaited"]
pub struct FaultDelay {
    /// `None`: for ever.
    time: Option<Duration>,
    ended: CancellationToken,
}

impl FaultDelay {
    /// A delay of this time.
    pub fn time(time: Duration) -> Self {
        Self { time: Some(time), ended: CancellationToken::new() }
    }

    /// A delay that only [`until`](Self::until) or the end of the request ends.
    pub fn forever() -> Self {
        Self { time: None, ended: CancellationToken::new() }
    }

    /// Ends the delay when this token is cancelled, such as when the fault is removed.
    pub fn until(self, ended: CancellationToken) -> Self {
        Self { ended, ..self }
    }

    /// Completes when the delay is over.
    pub async fn wait(&self) {
        let delay = async {
            match self.time {
                Some(Duration::ZERO) => {}
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        self.ended.run_until_cancelled(delay).await;
    }
}
