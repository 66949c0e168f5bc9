//! The memory budget of request bodies, which all bodies in flight share.
//!
//! Each body has a size limit, but thousands of clients that each send half a body would still exhaust the memory. So buffered bytes
//! count against one budget, from their arrival until the buffer is dropped. `Content-Length` reserves nothing: a client that
//! announces a body but does not send it does not block others.

use bytes::{Buf, BufMut, Bytes};
use gce_metadata_layers::Rejection;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of bytes that may be buffered at a time. Clones share the budget.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// An empty buffer for a body of at most `max` bytes. Its memory counts against this budget.
    pub(super) fn buffer(&self, max: usize) -> BodyBuffer {
        BodyBuffer { bytes: Vec::new(), max, budget: self.clone(), reserved: None }
    }
}

/// The received part of a body. Dropping it releases its share of the budget.
pub(super) struct BodyBuffer {
    bytes: Vec<u8>,
    max: usize,
    budget: BodyBudget,
    /// A permit for each byte of the capacity.
    reserved: Option<OwnedSemaphorePermit>,
}

impl BodyBuffer {
    /// Appends a frame. Fails with 413 if the body gets too long, with 503 if the budget is exhausted.
    pub(super) fn put(&mut self, frame: impl Buf) -> Result<(), Rejection> {
        if frame.remaining() > self.max - self.bytes.len() {
            return Err(Rejection::TooLarge);
        }
        self.reserve(self.bytes.len() + frame.remaining())?;
        self.bytes.put(frame);
        Ok(())
    }

    /// Reserves capacity for this length. The capacity doubles, so that many small frames do not each copy the body.
    fn reserve(&mut self, length: usize) -> Result<(), Rejection> {
        let capacity = self.bytes.capacity();
        if length <= capacity {
            return Ok(());
        }
        let wanted = length.max((2 * capacity).min(self.max));
        let more = u32::try_from(wanted - capacity).map_err(|_| Rejection::Unavailable)?;
        let more = Arc::clone(&self.budget.0).try_acquire_many_owned(more).map_err(|_| Rejection::Unavailable)?;
        match &mut self.reserved {
            Some(reserved) => reserved.merge(more),
            None => self.reserved = Some(more),
        }
        // Exactly the reserved capacity; `put` could allocate more.
        self.bytes.reserve_exact(wanted - self.bytes.len());
        Ok(())
    }

    /// Returns the bytes. They keep their share of the budget until the last clone is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for BodyBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_released_when_the_last_bytes_are_dropped() {
        let budget = BodyBudget::new(100);
        let mut buffer = budget.buffer(100);
        buffer.put(&[0; 60][..]).unwrap();
        assert_eq!(budget.buffer(100).put(&[0; 41][..]), Err(Rejection::Unavailable));
        let bytes = buffer.freeze();
        let clone = bytes.clone();
        drop(bytes);
        assert_eq!(budget.buffer(100).put(&[0; 41][..]), Err(Rejection::Unavailable));
        drop(clone);
        assert_eq!(budget.buffer(100).put(&[0; 100][..]), Ok(()));
    }

    #[test]
    fn an_aborted_body_releases_its_share() {
        let budget = BodyBudget::new(10);
        let mut buffer = budget.buffer(100);
        buffer.put(&[0; 8][..]).unwrap();
        assert_eq!(buffer.put(&[0; 8][..]), Err(Rejection::Unavailable));
        assert_eq!(budget.0.available_permits(), 2, "a refused frame reserves nothing");
        drop(buffer);
        assert_eq!(budget.0.available_permits(), 10);
    }

    #[test]
    fn the_capacity_counts_against_the_budget_and_is_at_most_the_limit_of_the_body() {
        let budget = BodyBudget::new(1000);
        let mut buffer = budget.buffer(100);
        for byte in 0..100 {
            buffer.put(&[byte][..]).unwrap();
            assert_eq!(1000 - budget.0.available_permits(), buffer.bytes.capacity());
        }
        assert_eq!(buffer.bytes.capacity(), 100);
        assert_eq!(buffer.put(&[0][..]), Err(Rejection::TooLarge));
        assert!(buffer.freeze().iter().copied().eq(0..100));
    }
}
