//! Busy polling: after an answer, a thread looks for the next request for a moment before it sleeps.
//!
//! A client that sends one request after another sends the next one some ten microseconds after an answer, which is less than a sleeping
//! processor needs to wake. Only a connection that has its thread to itself polls: other connections keep a thread awake anyway.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::Instant;

/// The busy polling of a connection. Only the connection's task uses it.
#[derive(Debug)]
pub(super) struct BusyPoll {
    opened: Instant,
    duration: Duration,
    /// Bytes were written since the last read that found none.
    has_written: AtomicBool,
    /// When the polling ends, in nanoseconds since `opened`; 0 while the connection does not poll.
    end: AtomicU64,
}

impl BusyPoll {
    /// Polls for this long after an answer; never if it is zero.
    pub(super) fn new(duration: Duration) -> Self {
        Self { opened: Instant::now(), duration, has_written: AtomicBool::new(false), end: AtomicU64::new(0) }
    }

    /// Called when bytes were written.
    pub(super) fn written(&self) {
        if !self.duration.is_zero() {
            self.has_written.store(true, Ordering::Relaxed);
        }
    }

    /// Called when a read finds no bytes. While the connection polls, wakes its task after the runtime has looked for events.
    pub(super) fn found_nothing(&self, cx: &mut Context<'_>) {
        if self.duration.is_zero() {
            return;
        }
        let begins = self.has_written.swap(false, Ordering::Relaxed) && has_thread_to_itself();
        if !begins && self.end.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = nanoseconds(self.opened.elapsed());
        if begins {
            self.end.store(now.saturating_add(nanoseconds(self.duration)), Ordering::Relaxed);
        } else if now >= self.end.load(Ordering::Relaxed) {
            self.end.store(0, Ordering::Relaxed);
            return;
        } else {
            // Other processes may wait for the processor.
            std::thread::yield_now();
        }
        // Wakes the task by the runtime's own queue, so that the runtime looks for events first.
        let _ = pin!(yield_now()).as_mut().poll(cx);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn has_thread_to_itself() -> bool {
    Handle::current().metrics().num_alive_tasks() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::time::advance;

    /// The number of polls of a task that calls `found_nothing` in each, until `found_nothing` wakes it no more. Each poll takes 10 µs.
    async fn polls(busy_poll: BusyPoll, has_written: bool) -> u32 {
        if has_written {
            busy_poll.written();
        }
        let mut polls = 0;
        loop {
            let woken = futures_util::poll!(&mut Box::pin(poll_fn(|cx| {
                busy_poll.found_nothing(cx);
                Poll::<()>::Pending
            })));
            assert!(woken.is_pending());
            polls += 1;
            if busy_poll.end.load(Ordering::Relaxed) == 0 {
                return polls;
            }
            advance(Duration::from_micros(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_polls_for_a_while_after_an_answer_if_it_has_its_thread_to_itself() {
        let polling = |has_written| polls(BusyPoll::new(Duration::from_micros(50)), has_written);
        assert_eq!(tokio::spawn(polling(true)).await.unwrap(), 6);
        assert_eq!(tokio::spawn(polling(false)).await.unwrap(), 1, "nothing was answered");
        assert_eq!(tokio::spawn(polls(BusyPoll::new(Duration::ZERO), true)).await.unwrap(), 1, "it is off");
        let other = tokio::spawn(std::future::pending::<()>());
        assert_eq!(tokio::spawn(polling(true)).await.unwrap(), 1, "another task runs on the thread");
        other.abort();
    }
}
