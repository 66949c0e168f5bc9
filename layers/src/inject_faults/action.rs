//! What a fault does to one request.

use crate::abort::{AbortConnection, CloseConnection};
use crate::body_fault::BodyFault;
use bytes::Bytes;
use http::{Extensions, Response, StatusCode};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What [`InjectFaults`](super::InjectFaults) does to one request: it may delay it, then answers it or passes it on, and may change
/// the body of the answer.
///
/// ```
/// use bytes::Bytes;
/// use gce_metadata_layers::{BodyFault, FaultAction};
/// use http::Response;
/// use std::time::Duration;
///
/// let late = FaultAction::pass_on().after(Duration::from_secs(2));
/// let unavailable = FaultAction::answer(Response::builder().status(503).body(Bytes::new()).unwrap());
/// let truncated = FaultAction::pass_on().body(BodyFault::new().cut_after(12));
/// # drop((late, unavailable, truncated));
/// ```
#[derive(Debug)]
#[must_use = "an action has no effect until a plan returns it"]
pub struct FaultAction {
    delay: Delay,
    outcome: Outcome,
    body: Option<BodyFault>,
    marks: Extensions,
    ended: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
enum Delay {
    For(Duration),
    Forever,
}

#[derive(Debug)]
pub(super) enum Outcome {
    PassOn,
    Answer(Response<Bytes>),
}

impl FaultAction {
    fn new(outcome: Outcome) -> Self {
        let (marks, ended) = (Extensions::new(), CancellationToken::new());
        Self { delay: Delay::For(Duration::ZERO), outcome, body: None, marks, ended }
    }

    /// Passes the request on, to be answered as usual.
    pub fn pass_on() -> Self {
        Self::new(Outcome::PassOn)
    }

    /// Answers the request.
    pub fn answer(response: Response<Bytes>) -> Self {
        Self::new(Outcome::Answer(response))
    }

    /// Resets the connection (RST) instead of answering.
    pub fn reset() -> Self {
        Self::answer(unsent()).mark(AbortConnection)
    }

    /// Closes the connection without a byte (FIN) instead of answering.
    pub fn close() -> Self {
        Self::answer(unsent()).mark(CloseConnection)
    }

    /// Waits for this time first.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay: Delay::For(delay), ..self }
    }

    /// Waits until the client leaves, or until the token of [`until`](Self::until) is cancelled.
    pub fn forever(self) -> Self {
        Self { delay: Delay::Forever, ..self }
    }

    /// Ends the delay when this token is cancelled, such as when the fault is removed.
    pub fn until(self, ended: CancellationToken) -> Self {
        Self { ended, ..self }
    }

    /// Changes the body of the answer.
    pub fn body(self, fault: BodyFault) -> Self {
        Self { body: Some(fault), ..self }
    }

    /// Adds a value to the extensions of the answer, so that outer layers recognize it.
    pub fn mark<T: Clone + Send + Sync + 'static>(mut self, mark: T) -> Self {
        self.marks.insert(mark);
        self
    }

    /// Completes after the delay, or earlier if the delay is ended.
    pub(super) async fn delay(&self, stop: &CancellationToken) {
        let delay = async {
            match self.delay {
                Delay::For(Duration::ZERO) => {}
                Delay::For(delay) => tokio::time::sleep(delay).await,
                Delay::Forever => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = delay => {}
            () = self.ended.cancelled() => {}
            () = stop.cancelled() => {}
        }
    }

    /// The outcome, and the marks of its response.
    pub(super) fn into_outcome(self) -> (Outcome, Extensions) {
        let mut marks = self.marks;
        if let Some(fault) = self.body {
            marks.insert(fault);
        }
        (self.outcome, marks)
    }
}

/// A response that is never sent. Metrics count its status.
fn unsent() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
