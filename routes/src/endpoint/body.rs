//! The body of a request: only the endpoints that need it read it, within limits of size and time.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use gce_metadata_layers::Rejection;
use http_body::Body;
use http_body_util::BodyExt;
use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::timeout;

/// How long a client may take for a body. The largest one is a few hundred kilobytes from the same machine.
const TIME: Duration = Duration::from_secs(60);

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, Rejection>> + Send>>;

/// A request body that is not read yet. Without a body, as in nearly all requests, it allocates nothing.
pub struct RequestBody(Option<Box<dyn FnOnce(usize) -> Reading + Send>>);

impl RequestBody {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data: Send> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self(None);
        }
        Self(Some(Box::new(move |max_bytes| Box::pin(in_time(read(body, max_bytes))))))
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// 413 for more than `max_bytes`, 408 for one that does not come in time, 400 for one that breaks off.
    pub async fn read(self, max_bytes: usize) -> Result<Bytes, Rejection> {
        match self.0 {
            Some(read) => read(max_bytes).await,
            None => Ok(Bytes::new()),
        }
    }
}

#[cfg(test)]
impl RequestBody {
    /// A body that is made when it is read.
    pub(crate) fn made(make: impl FnOnce() -> Bytes + Send + 'static) -> Self {
        Self(Some(Box::new(|_| Box::pin(async { Ok(make()) }))))
    }
}

async fn read<B: Body>(body: B, max_bytes: usize) -> Result<Bytes, Rejection> {
    // What a client announces need not be read to be refused.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(Rejection::TooLarge);
    }
    let mut body = pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::BadRequest)?.into_data() else { continue };
        if data.remaining() > max_bytes - whole.len() {
            return Err(Rejection::TooLarge);
        }
        whole.put(data);
    }
    Ok(whole.freeze())
}

async fn in_time(reading: impl Future<Output = Result<Bytes, Rejection>>) -> Result<Bytes, Rejection> {
    timeout(TIME, reading).await.unwrap_or(Err(Rejection::RequestTimeout))
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

    /// A body of these frames, whose length nobody announces.
    fn frames(frames: Vec<io::Result<Frame<Bytes>>>) -> RequestBody {
        struct Frames(std::vec::IntoIter<io::Result<Frame<Bytes>>>);
        impl Body for Frames {
            type Data = Bytes;
            type Error = io::Error;
            fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
                Poll::Ready(self.0.next())
            }
        }
        RequestBody::new(Frames(frames.into_iter()))
    }

    fn data(bytes: &'static [u8]) -> io::Result<Frame<Bytes>> {
        Ok(Frame::data(Bytes::from_static(bytes)))
    }

    #[tokio::test]
    async fn what_fits_comes_whole() {
        assert_eq!(frames(vec![data(b"ab"), data(b""), data(b"c")]).read(3).await.unwrap(), "abc");
        assert_eq!(RequestBody::new(Full::<Bytes>::from("abc")).read(3).await.unwrap(), "abc");
        assert_eq!(RequestBody::new(Empty::<Bytes>::new()).read(0).await.unwrap(), "");
        assert!(RequestBody::new(Full::<Bytes>::default()).0.is_none(), "nothing is boxed for nothing");
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_many() {
        assert_eq!(frames(vec![data(b"ab"), data(b"cd")]).read(3).await, Err(Rejection::TooLarge));
        assert_eq!(RequestBody::new(Full::<Bytes>::from("abcd")).read(3).await, Err(Rejection::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = frames(vec![data(b"ab"), Err(io::ErrorKind::UnexpectedEof.into())]);
        assert_eq!(broken.read(3).await, Err(Rejection::BadRequest));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        struct Never;
        impl Body for Never {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                Poll::Pending
            }
        }
        assert_eq!(RequestBody::new(Never).read(3).await, Err(Rejection::RequestTimeout));
    }
}
