//! The signals that wake waiting requests.

use http::Uri;
use tokio::sync::watch;

/// Signals changes of the values that a service answers with.
pub trait Changes {
    /// The signal for one request.
    type Subscription: Subscription + Send;

    /// Subscribes to the changes after this call that may concern the answer to a request for `uri`. Signals of other changes do no harm:
    /// a woken request whose entity tag is unchanged waits again.
    fn subscribe(&self, uri: &Uri) -> Self::Subscription;
}

/// A subscription to changes. Dropping it unsubscribes.
pub trait Subscription {
    /// Waits for a change after the last one that this method has returned. Returns `false` if there can be no further change.
    fn changed(&mut self) -> impl Future<Output = bool> + Send;
}

/// Each change of the value in the channel may concern each request. The value is not used.
impl<T: Send + Sync> Changes for watch::Receiver<T> {
    type Subscription = Self;

    fn subscribe(&self, _: &Uri) -> Self {
        let mut receiver = self.clone();
        receiver.mark_unchanged();
        receiver
    }
}

impl<T: Send + Sync> Subscription for watch::Receiver<T> {
    async fn changed(&mut self) -> bool {
        watch::Receiver::changed(self).await.is_ok()
    }
}
