//! Request bodies, which only endpoints that need them read, with limits on size, time and memory.

use super::body_budget::BodyBudget;
use bytes::Bytes;
use gce_metadata_layers::Rejection;
use http_body::Body;
use http_body_util::BodyExt;
use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::timeout;

/// The time limit for a body. The largest bodies have a few hundred kilobytes, and come from the same machine.
const TIMEOUT: Duration = Duration::from_secs(60);

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, Rejection>> + Send>>;

/// A request body that has not been read yet. An empty body, which most requests have, is not boxed.
pub struct RequestBody(Option<Box<dyn FnOnce(usize) -> Reading + Send>>);

impl RequestBody {
    /// A body whose bytes count against this budget while they are buffered.
    pub(crate) fn new<B>(body: B, budget: &BodyBudget) -> Self
    where
        B: Body<Data: Send> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self(None);
        }
        let budget = budget.clone();
        Self(Some(Box::new(move |max_bytes| Box::pin(in_time(read(body, max_bytes, budget))))))
    }

    /// Reads the whole body. Its bytes count against
    /// [`RouterOptions::max_body_bytes_in_flight`](crate::RouterOptions::max_body_bytes_in_flight) until they are dropped.
    ///
    /// # Errors
    /// 413 for more than `max_bytes`, 503 if all bodies in flight would exceed their memory limit, 408 if the body does not arrive within
    /// a minute, 400 if it is incomplete.
    pub async fn read(self, max_bytes: usize) -> Result<Bytes, Rejection> {
        match self.0 {
            Some(read) => read(max_bytes).await,
            None => Ok(Bytes::new()),
        }
    }
}

#[cfg(test)]
impl RequestBody {
    /// A body that `make` returns when it is read.
    pub(crate) fn made(make: impl FnOnce() -> Bytes + Send + 'static) -> Self {
        Self(Some(Box::new(|_| Box::pin(async { Ok(make()) }))))
    }
}

async fn read<B: Body>(body: B, max: usize, budget: BodyBudget) -> Result<Bytes, Rejection> {
    // A `Content-Length` over the limit is refused before the body is read.
    if body.size_hint().lower() > max as u64 {
        return Err(Rejection::TooLarge);
    }
    let max = body.size_hint().upper().and_then(|length| usize::try_from(length).ok()).map_or(max, |it| it.min(max));
    let mut body = pin!(body);
    let mut buffer = budget.buffer(max);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::BadRequest)?.into_data() else { continue };
        buffer.put(data)?;
    }
    Ok(buffer.freeze())
}

async fn in_time(reading: impl Future<Output = Result<Bytes, Rejection>>) -> Result<Bytes, Rejection> {
    timeout(TIMEOUT, reading).await.unwrap_or(Err(Rejection::RequestTimeout))
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use http_body_util::{Empty, Full};
    use std::convert::Infallible;
    use std::io;
    use std::task::{Context, Poll};

    /// A body of these frames, without a `Content-Length`.
    fn frames(frames: Vec<io::Result<Frame<Bytes>>>) -> RequestBody {
        struct Frames(std::vec::IntoIter<io::Result<Frame<Bytes>>>);
        impl Body for Frames {
            type Data = Bytes;
            type Error = io::Error;
            fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
                Poll::Ready(self.0.next())
            }
        }
        unread(Frames(frames.into_iter()))
    }

    fn unread(body: impl Body<Data: Send> + Send + 'static) -> RequestBody {
        RequestBody::new(body, &BodyBudget::new(100))
    }

    fn data(bytes: &'static [u8]) -> io::Result<Frame<Bytes>> {
        Ok(Frame::data(Bytes::from_static(bytes)))
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_read_whole() {
        assert_eq!(frames(vec![data(b"ab"), data(b""), data(b"c")]).read(3).await.unwrap(), "abc");
        assert_eq!(unread(Full::<Bytes>::from("abc")).read(3).await.unwrap(), "abc");
        assert_eq!(unread(Empty::<Bytes>::new()).read(0).await.unwrap(), "");
        assert!(unread(Full::<Bytes>::default()).0.is_none(), "an empty body is not boxed");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_answered_413() {
        assert_eq!(frames(vec![data(b"ab"), data(b"cd")]).read(3).await, Err(Rejection::TooLarge));
        assert_eq!(unread(Full::<Bytes>::from("abcd")).read(3).await, Err(Rejection::TooLarge));
    }

    #[tokio::test]
    async fn a_body_beyond_the_budget_is_503() {
        let budget = BodyBudget::new(3);
        let read = async |body: &'static str| RequestBody::new(Full::<Bytes>::from(body), &budget).read(10).await;
        assert_eq!(read("abcd").await, Err(Rejection::Unavailable));
        let first = read("ab").await.unwrap();
        assert_eq!(read("cd").await, Err(Rejection::Unavailable));
        drop(first);
        assert_eq!(read("abc").await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn an_incomplete_body_is_answered_400() {
        let broken = frames(vec![data(b"ab"), Err(io::ErrorKind::UnexpectedEof.into())]);
        assert_eq!(broken.read(3).await, Err(Rejection::BadRequest));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_in_time_is_answered_408() {
        struct Never;
        impl Body for Never {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                Poll::Pending
            }
        }
        assert_eq!(unread(Never).read(3).await, Err(Rejection::RequestTimeout));
    }
}
