//! The body of a response that may have a fault.

use super::BodyFault;
use super::steps::Step;
use crate::abort::{ConnectionError, into_connection_error};
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Sleep, sleep};

pin_project! {
    /// A body with the [`BodyFault`] of its response, or as it is without one.
    #[derive(Debug)]
    #[project = Projected]
    pub struct FaultableBody<B> {
        #[pin]
        body: B,
        // In a box, because responses with faults are rare.
        fault: Option<Box<Sending>>,
    }
}

/// The state of a body with a fault.
struct Sending {
    fault: BodyFault,
    state: State,
    /// The length of the whole body, if it is known before the body is read.
    length: Option<u64>,
}

enum State {
    /// The body is read first, because a fault may concern its end.
    Reading(BytesMut),
    Stepping {
        steps: VecDeque<Step>,
        pause: Option<Pin<Box<Sleep>>>,
    },
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl<B> FaultableBody<B> {
    /// The body with this fault.
    pub fn new(body: B, fault: Option<BodyFault>) -> Self {
        let sending = |fault| Box::new(Sending { fault, state: State::Reading(BytesMut::new()), length: None });
        Self { body, fault: fault.map(sending) }
    }
}

impl<B> Body for FaultableBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let Projected { mut body, fault } = self.project();
        let Some(sending) = fault else {
            return body.poll_frame(cx).map_err(|error| into_connection_error(error.into()));
        };
        sending.length.get_or_insert_with(|| body.size_hint().exact().unwrap_or(u64::MAX));
        while let State::Reading(read) = &mut sending.state {
            match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        read.extend_from_slice(&data.copy_to_bytes(data.remaining()));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(into_connection_error(error.into())))),
                None => {
                    let steps = sending.fault.steps(std::mem::take(read).freeze());
                    sending.state = State::Stepping { steps, pause: None };
                }
            }
        }
        sending.poll_step(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.fault {
            None => self.body.is_end_stream(),
            Some(sending) => match &sending.state {
                State::Reading(_) => self.body.is_end_stream(),
                State::Stepping { steps, .. } => steps.is_empty(),
            },
        }
    }

    /// The length of the whole body, so that `Content-Length` promises more than a cut body has.
    fn size_hint(&self) -> SizeHint {
        match self.fault.as_ref().and_then(|sending| sending.length) {
            None => self.body.size_hint(),
            Some(u64::MAX) => SizeHint::default(),
            Some(length) => SizeHint::with_exact(length),
        }
    }
}

impl Sending {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let State::Stepping { steps, pause } = &mut self.state else { return Poll::Ready(None) };
        loop {
            if let Some(pausing) = pause {
                ready!(pausing.as_mut().poll(cx));
                *pause = None;
            }
            match steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) if bytes.is_empty() => {}
                Some(Step::Send(bytes)) => {
                    if let Some(length) = self.length.as_mut().filter(|length| **length != u64::MAX) {
                        *length = length.saturating_sub(bytes.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(time)) => *pause = Some(Box::pin(sleep(time))),
                Some(Step::Flush) => {
                    // A server writes its buffer while the body is pending.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Fail) => return Poll::Ready(Some(Err(ConnectionError::Close))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use std::time::Duration;
    use tokio::time::Instant;

    fn faulty(fault: impl Into<Option<BodyFault>>) -> FaultableBody<Full<Bytes>> {
        FaultableBody::new(Full::from("abcd"), fault.into())
    }

    #[tokio::test]
    async fn a_body_without_a_fault_stays_as_it_is() {
        let body = faulty(None);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abcd");
        assert!(FaultableBody::new(Full::<Bytes>::default(), None).is_end_stream());
    }

    #[tokio::test]
    async fn a_cut_body_promises_its_whole_length() {
        let mut body = faulty(BodyFault::new().cut_after(2));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        assert!(matches!(body.frame().await, Some(Err(ConnectionError::Close))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_body_takes_its_time() {
        let start = Instant::now();
        let mut body = faulty(BodyFault::new().dribble(2, Duration::from_secs(10)));
        let mut chunks = Vec::new();
        while let Some(frame) = body.frame().await {
            chunks.push((frame.unwrap().into_data().unwrap(), start.elapsed().as_secs()));
        }
        assert_eq!(chunks, [("ab".into(), 5), ("cd".into(), 10)]);
        assert!(body.is_end_stream());
    }
}
