//! Tells a recorder which requests wait for a change, and why they wait no longer.

use super::WaitEnd;
use http::{Extensions, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A request that begins to wait, for a [`RecordWaits`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BegunWait<'a> {
    /// The target of the request.
    pub uri: &'a Uri,
    /// The extensions of the request, such as the [`Connection`](crate::Connection).
    pub extensions: &'a Extensions,
    /// The entity tag that the request waits to differ from: `last_etag`, or else that of the current value.
    pub last_etag: &'a str,
    /// `timeout_sec`; `None` without a limit.
    pub timeout: Option<Duration>,
}

/// Records the requests that wait for a change. Other requests cost nothing.
pub trait RecordWaits: fmt::Debug + Send + Sync {
    /// Records that a request begins to wait. Returns the value by which [`end`](Self::end) names the request.
    fn begin(&self, wait: BegunWait<'_>) -> u64;

    /// Records that a request waits no longer; `None` if its client left.
    fn end(&self, wait: u64, ended_by: Option<WaitEnd>);
}

/// A recorded wait. Dropping it, as a server does when the client leaves, records its end too.
pub(super) struct RecordedWait {
    recorder: Arc<dyn RecordWaits>,
    wait: u64,
    ended_by: Option<WaitEnd>,
}

impl RecordedWait {
    pub(super) fn begin(recorder: &Arc<dyn RecordWaits>, wait: BegunWait<'_>) -> Self {
        Self { wait: recorder.begin(wait), recorder: Arc::clone(recorder), ended_by: None }
    }

    pub(super) fn end(mut self, ended_by: WaitEnd) {
        self.ended_by = Some(ended_by);
    }
}

impl Drop for RecordedWait {
    fn drop(&mut self) {
        self.recorder.end(self.wait, self.ended_by);
    }
}
