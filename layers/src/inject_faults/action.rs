//! What a fault does to one request.

use super::FaultDelay;
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
/// use gce_metadata_layers::{BodyFault, FaultAction, FaultDelay};
/// use http::Response;
/// use std::time::Duration;
///
/// let late = FaultAction::pass_on().delay(FaultDelay::time(Duration::from_secs(2)));
/// let unavailable = FaultAction::answer(Response::builder().status(503).body(Bytes::new()).unwrap());
/// let truncated = FaultAction::pass_on().body(BodyFault::new().cut_after(12));
/// # drop((late, unavailable, truncated));
/// ```
#[derive(Debug)]
#[must_use = "an action has no effect until a plan returns it"]
pub struct FaultAction {
    delay: FaultDelay,
    outcome: Outcome,
    body: Option<BodyFault>,
    marks: Extensions,
}

#[derive(Debug)]
pub(super) enum Outcome {
    PassOn,
    Answer(Response<Bytes>),
}

impl FaultAction {
    fn new(outcome: Outcome) -> Self {
        Self { delay: FaultDelay::time(Duration::ZERO), outcome, body: None, marks: Extensions::new() }
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

    /// Waits first.
    pub fn delay(self, delay: FaultDelay) -> Self {
        Self { delay, ..self }
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

    /// Completes after the delay, or when the server stops.
    pub(super) async fn wait(&self, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = self.delay.wait() => {}
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
