//! The effect of a fault on one request: what a `response` or an instruction word says.

use super::delay::Delay;
use bytes::Bytes;
use fastrand::Rng;
use gce_metadata_layers::{BodyFault, FaultAction, FaultDelay, FaultRequest, OwnHeaders, Rejection};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a fault does to one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effect {
    pub(super) delay: Delay,
    pub(super) outcome: Outcome,
    pub(super) body: Option<BodyFault>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// The usual answer.
    PassOn,
    Answer(Answer),
    Reset,
    Close,
}

/// An answer instead of the usual one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Headers with their values; `None` removes a header that the server sets.
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// `None`: the page that Google's servers have for the status.
    pub(super) body: Option<Bytes>,
}

impl Effect {
    /// An effect without a delay.
    pub(super) fn of(outcome: Outcome) -> Self {
        Self { delay: Delay::default(), outcome, body: None }
    }

    /// The answer with Google's page for this status.
    pub(super) fn status(status: StatusCode) -> Self {
        Self::of(Outcome::Answer(Answer { status, headers: Vec::new(), body: None }))
    }

    pub(super) fn delayed(delay: Delay) -> Self {
        Self { delay, ..Self::of(Outcome::PassOn) }
    }

    pub(super) fn body(fault: BodyFault) -> Self {
        Self { body: Some(fault), ..Self::of(Outcome::PassOn) }
    }

    /// Whether the request gets another answer than the usual one, or none.
    pub(super) fn answers(&self) -> bool {
        self.outcome != Outcome::PassOn
    }

    /// A delay of this effect, which ends when the fault is removed.
    pub(super) fn delay(&self, random: &mut Rng, ended: CancellationToken) -> FaultDelay {
        self.delay.draw(random).map_or_else(FaultDelay::forever, FaultDelay::time).until(ended)
    }

    /// What the layer does to this request.
    pub(super) fn action(&self, request: &FaultRequest<'_>, delay: FaultDelay) -> FaultAction {
        let action = match &self.outcome {
            Outcome::PassOn => FaultAction::pass_on(),
            Outcome::Answer(answer) => answer.action(request),
            Outcome::Reset => FaultAction::reset(),
            Outcome::Close => FaultAction::close(),
        };
        let action = action.delay(delay);
        match self.body {
            Some(fault) => action.body(fault),
            None => action,
        }
    }
}

impl Answer {
    fn action(&self, request: &FaultRequest<'_>) -> FaultAction {
        let mut response = match (&self.body, page(self.status)) {
            (None, Some(rejection)) => rejection.into_response(&request.head()),
            (body, _) => Response::new(body.clone().unwrap_or_default()),
        };
        *response.status_mut() = self.status;
        for (name, _) in &self.headers {
            response.headers_mut().remove(name);
        }
        for (name, value) in &self.headers {
            if let Some(value) = value {
                response.headers_mut().append(name, value.clone());
            }
        }
        let own = self.headers.iter().map(|(name, _)| name.clone()).collect();
        FaultAction::answer(response).mark(OwnHeaders(own))
    }

    /// The time in `Retry-After`, in seconds.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self.headers.iter().find(|(name, _)| *name == http::header::RETRY_AFTER)?;
        value.as_ref()?.to_str().ok()?.parse().ok().map(Duration::from_secs)
    }
}

/// Google's page for a status, as this server answers it; `None` if it has none.
fn page(status: StatusCode) -> Option<Rejection> {
    let pages = [
        Rejection::BadRequest,
        Rejection::Forbidden,
        Rejection::NotFound,
        Rejection::MethodNotAllowed,
        Rejection::RequestTimeout,
        Rejection::NotConfigured,
        Rejection::TooLarge,
        Rejection::TooManyRequests,
        Rejection::Internal,
        Rejection::Unavailable,
    ];
    pages.into_iter().find(|page| page.status() == status)
}
