//! Captures the first bytes of a request body while the inner service reads the body.
//!
//! Nothing is read ahead: an inner service that refuses a request reads no body, and nothing is captured then.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

/// The limit on the captured bytes of a body.
pub const MAX_CAPTURED_BYTES: usize = 16 * 1024;

pin_project! {
    /// A body whose bytes can be captured. Until [`capture`](Self::capture) is called, it costs one comparison per frame.
    #[derive(Debug, Default)]
    pub struct CaptureBody<B> {
        #[pin]
        inner: B,
        capture: Option<Capture>,
    }
}

impl<B> CaptureBody<B> {
    /// Wraps a body.
    pub fn new(inner: B) -> Self {
        Self { inner, capture: None }
    }

    /// Captures the bytes that are read from now on. `None` if the body is empty.
    pub fn capture(&mut self) -> Option<CapturedBody>
    where
        B: Body,
    {
        if self.inner.is_end_stream() {
            return None;
        }
        let captured = CapturedBody::default();
        self.capture = Some(Capture { bytes: Vec::new(), is_truncated: false, captured: captured.clone() });
        Some(captured)
    }
}

impl<B: Body> Body for CaptureBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(capture), Some(Ok(frame))) = (this.capture, &frame)
            && let Some(data) = frame.data_ref()
        {
            capture.add(data.chunk(), data.remaining());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The bytes so far. They are published when the body is dropped, so that no lock is needed.
#[derive(Debug)]
struct Capture {
    bytes: Vec<u8>,
    is_truncated: bool,
    captured: CapturedBody,
}

impl Capture {
    /// Adds the first chunk of a frame. A frame of several chunks is truncated to the first.
    fn add(&mut self, chunk: &[u8], length: usize) {
        let room = MAX_CAPTURED_BYTES - self.bytes.len();
        let taken = if self.is_truncated { 0 } else { chunk.len().min(room) };
        self.bytes.extend_from_slice(&chunk[..taken]);
        self.is_truncated |= taken < length;
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes).into();
        let _ = self.captured.0.set((bytes, self.is_truncated));
    }
}

/// The captured bytes of a body, readable when the body has been dropped.
#[derive(Debug, Clone, Default)]
pub struct CapturedBody(Arc<OnceLock<(Bytes, bool)>>);

impl CapturedBody {
    /// The bytes that were read, [`MAX_CAPTURED_BYTES`] at most; none while the body is being read.
    pub fn bytes(&self) -> Bytes {
        self.0.get().map(|(bytes, _)| bytes.clone()).unwrap_or_default()
    }

    /// Whether the body had more bytes than were captured.
    pub fn is_truncated(&self) -> bool {
        self.0.get().is_some_and(|(_, is_truncated)| *is_truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    #[tokio::test]
    async fn a_body_is_captured_while_it_is_read() {
        let mut body = CaptureBody::new(Full::<Bytes>::from("value"));
        let captured = body.capture().unwrap();
        assert_eq!(captured.bytes(), "", "nothing is read ahead");
        assert_eq!(body.collect().await.unwrap().to_bytes(), "value");
        assert_eq!((captured.bytes(), captured.is_truncated()), ("value".into(), false));
    }

    #[tokio::test]
    async fn at_most_16_kib_of_a_body_are_captured() {
        let mut body = CaptureBody::new(Full::<Bytes>::from(vec![b'a'; MAX_CAPTURED_BYTES + 1]));
        let captured = body.capture().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), MAX_CAPTURED_BYTES + 1);
        assert_eq!((captured.bytes().len(), captured.is_truncated()), (MAX_CAPTURED_BYTES, true));
    }

    #[test]
    fn an_empty_body_is_not_captured() {
        assert!(CaptureBody::new(Full::<Bytes>::default()).capture().is_none());
    }

    #[test]
    fn a_body_that_is_dropped_unread_has_no_captured_bytes() {
        let mut body = CaptureBody::new(Full::<Bytes>::from("value"));
        let captured = body.capture().unwrap();
        drop(body);
        assert_eq!((captured.bytes(), captured.is_truncated()), (Bytes::new(), false));
    }
}
