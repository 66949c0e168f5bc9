//! Body faults: a response's body is truncated, slowed down or corrupted while it is sent.
//!
//! A layer marks its response with a [`BodyFault`] in its extensions. The server of gce-metadata-server applies the mark; for other
//! servers [`FailAbortedLayer`](crate::FailAbortedLayer) does. So a stack without faults has the body type that it has anyway.

mod faultable_body;
mod steps;

pub use faultable_body::FaultableBody;

use http::Response;
use std::time::Duration;

/// Changes how the body of the response that has this value in its extensions is sent. The changes can be combined: the body is
/// corrupted first, then cut, and what is left is slowed down. `Content-Length` is that of the whole body.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[must_use = "a fault has no effect until it is in the extensions of a response"]
pub struct BodyFault {
    is_corrupted: bool,
    cut: Option<Cut>,
    pace: Option<Pace>,
}

/// Where a body is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    Bytes(usize),
    Fraction(f64),
}

/// How a body is slowed down.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    Dribble { chunks: usize, time: Duration },
    Stall { bytes: usize, time: Duration },
}

impl BodyFault {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the last character that is not white space by `{`. The length stays the same, and no JSON parser accepts the body.
    pub fn corrupt(self) -> Self {
        Self { is_corrupted: true, ..self }
    }

    /// Closes the connection after this number of bytes. A shorter body is sent whole before that. An empty body can't be cut: its
    /// answer ends with the head.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { cut: Some(Cut::Bytes(bytes)), ..self }
    }

    /// Closes the connection after this fraction of the bytes, from 0 to 1.
    pub fn cut_at(self, fraction: f64) -> Self {
        Self { cut: Some(Cut::Fraction(fraction)), ..self }
    }

    /// Sends the body in this number of chunks of equal size, evenly over this time. There is a pause before each chunk.
    pub fn dribble(self, chunks: usize, time: Duration) -> Self {
        Self { pace: Some(Pace::Dribble { chunks, time }), ..self }
    }

    /// Pauses for this time after this number of bytes.
    pub fn stall_after(self, bytes: usize, time: Duration) -> Self {
        Self { pace: Some(Pace::Stall { bytes, time }), ..self }
    }
}

/// Applies the [`BodyFault`] in the extensions of a response, if there is one.
pub fn apply_body_fault<B>(response: Response<B>) -> Response<FaultableBody<B>> {
    let fault = response.extensions().get().copied();
    response.map(|body| FaultableBody::new(body, fault))
}
