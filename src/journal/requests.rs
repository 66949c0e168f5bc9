//! The journal for tests in Rust, with the names of wiremock-rs where it has the same.

use super::entry::Entry;
use super::expectation::Expectation;
use super::near::nearest_keys;
use super::serve_event::serve_event;
use super::times::Times;
use super::{Expectations, Journal};
use crate::faults::Faults;
use crate::request_pattern::{Matching, Pattern, RequestView};
use bytes::Bytes;
use gce_metadata_layers::{CapturedBody, PeerIdentity, Waited};
use http::{Method, StatusCode};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};
use tokio::runtime::Builder;

/// The requests that a server has received: [`Server::requests`](crate::Server::requests).
///
/// ```
/// use gce_metadata_server::{Matching, Server};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().simulate().start().await?;
/// let ids = server.requests().matching(Matching::path("instance/id"));
/// assert_eq!(ids.count(), 0);
/// # let address = server.address().socket_addr().ok_or("no address")?;
/// # let mut stream = tokio::net::TcpStream::connect(address).await?;
/// # let request = b"GET /computeMetadata/v1/instance/id HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n";
/// # tokio::io::AsyncWriteExt::write_all(&mut stream, request).await?;
/// // … start the program under test, and then:
/// let received = ids.wait_for(1.., Duration::from_secs(5)).await?;
/// assert_eq!(received[0].header("metadata-flavor").as_deref(), Some("Google"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Requests(Journal);

impl Requests {
    pub(crate) fn new(journal: Journal) -> Self {
        Self(journal)
    }

    /// All requests in the journal, the oldest first.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        ReceivedRequest::all(self.0.entries())
    }

    /// The requests that match.
    pub fn matching(&self, matching: Matching) -> MatchingRequests {
        MatchingRequests { journal: self.0.clone(), pattern: matching.into() }
    }

    /// Removes all requests from the journal.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// The number of requests that were dropped from the journal to make room for later ones, since it was cleared.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }

    /// The requests in JSON, the oldest first: the entries of `GET /__admin/requests`.
    pub fn serve_events(&self) -> Vec<Value> {
        let snapshot = self.0.snapshot();
        self.0.entries().iter().map(|entry| serve_event(entry, snapshot.tree())).collect()
    }

    /// The keys of the metadata whose paths are nearest to this one below `/computeMetadata/v1/`, at most three, the nearest first.
    pub fn nearest_keys(&self, path: &str) -> Vec<String> {
        nearest_keys(self.0.snapshot().tree(), path).into_iter().map(|(key, _)| key).collect()
    }

    /// Verifies these expectations now.
    ///
    /// # Errors
    /// If an expectation does not hold. The error prints what was asked instead.
    pub fn verify(&self, expectations: &Expectations) -> Result<(), UnmetExpectation> {
        UnmetExpectation::of(unmet(&expectations.0, &self.0))
    }
}

/// The requests that match a condition, received and future ones.
#[derive(Debug, Clone)]
pub struct MatchingRequests {
    journal: Journal,
    pattern: Pattern,
}

impl MatchingRequests {
    /// The requests so far, the oldest first.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        ReceivedRequest::all(self.journal.matching(&self.pattern))
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.journal.matching(&self.pattern).len()
    }

    /// Waits until this number of requests was received, and returns them. A number without a minimum, such as `..=3`, takes the whole
    /// time. Must be polled in a tokio runtime.
    ///
    /// # Errors
    /// If the number of requests is another one after `time`, or exceeds the maximum. The error prints what was asked instead.
    pub async fn wait_for(
        &self,
        times: impl Into<Times>,
        time: Duration,
    ) -> Result<Vec<ReceivedRequest>, UnmetExpectation> {
        let entries = self.expectation(times).wait(&self.journal, time).await;
        entries.map(ReceivedRequest::all).map_err(|unmet| UnmetExpectation(vec![unmet.to_string()]))
    }

    /// Waits as [`wait_for`](Self::wait_for) does, and blocks the calling thread meanwhile: for callers without a runtime.
    ///
    /// # Errors
    /// As for [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    /// In async code, which must not block.
    pub fn wait_for_blocking(
        &self,
        times: impl Into<Times>,
        time: Duration,
    ) -> Result<Vec<ReceivedRequest>, UnmetExpectation> {
        match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(self.wait_for(times, time)),
            // Without a runtime nothing can wait: the number so far counts.
            Err(_) => {
                let entries = self.expectation(times).check(&self.journal);
                entries.map(ReceivedRequest::all).map_err(|unmet| UnmetExpectation(vec![unmet.to_string()]))
            }
        }
    }

    /// Expects this number of requests at the time of [`Server::verify`](crate::Server::verify).
    pub fn expect(&self, times: impl Into<Times>) {
        self.journal.expect(self.expectation(times));
    }

    /// Expects this number of requests at the time when the guard is dropped, which panics otherwise, unless the thread panics already.
    pub fn expect_scoped(&self, times: impl Into<Times>) -> ExpectationGuard {
        ExpectationGuard { journal: self.journal.clone(), expectation: self.expectation(times) }
    }

    fn expectation(&self, times: impl Into<Times>) -> Expectation {
        Expectation::new(self.pattern.clone(), times.into())
    }
}

/// Verifies an expectation when it is dropped: [`MatchingRequests::expect_scoped`].
#[derive(Debug)]
#[must_use = "the expectation is verified when the guard is dropped"]
pub struct ExpectationGuard {
    journal: Journal,
    expectation: Expectation,
}

impl Drop for ExpectationGuard {
    fn drop(&mut self) {
        // A second panic would abort the process, and hide the first.
        if thread::panicking() {
            return;
        }
        if let Err(unmet) = self.expectation.check(&self.journal) {
            panic!("{unmet}");
        }
    }
}

/// The expectations that do not hold, and what was asked instead.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnmetExpectation(Vec<String>);

impl UnmetExpectation {
    /// Checks all expectations: those of the journal and those of faults.
    pub(crate) fn verify(journal: Option<&Journal>, faults: Option<&Faults>) -> Result<(), Self> {
        let mut unmet = journal.map(|journal| unmet(&journal.expected(), journal)).unwrap_or_default();
        unmet.extend(faults.map(Faults::unmet).unwrap_or_default());
        Self::of(unmet)
    }

    fn of(unmet: Vec<String>) -> Result<(), Self> {
        if unmet.is_empty() { Ok(()) } else { Err(Self(unmet)) }
    }
}

/// The messages of the expectations that do not hold.
fn unmet(expectations: &[Expectation], journal: &Journal) -> Vec<String> {
    expectations.iter().filter_map(|it| it.check(journal).err()).map(|unmet| unmet.to_string()).collect()
}

impl fmt::Display for UnmetExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, unmet) in self.0.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{unmet}")?;
        }
        Ok(())
    }
}

/// `unwrap` prints this, so it is readable.
impl fmt::Debug for UnmetExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A request in the journal.
#[derive(Debug, Clone)]
pub struct ReceivedRequest(Arc<Entry>);

impl ReceivedRequest {
    fn all(entries: Vec<Arc<Entry>>) -> Vec<Self> {
        entries.into_iter().map(Self).collect()
    }

    /// The number of the request, which is larger than those of earlier answers. Other events take numbers too while a client of the admin
    /// API follows them.
    pub fn number(&self) -> u64 {
        self.0.number()
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The path and the query, as the client sent them.
    pub fn url(&self) -> String {
        self.0.url().into_owned()
    }

    /// The path below `/computeMetadata/v1/`, such as `instance/id`; `None` if the request has another path.
    pub fn path(&self) -> Option<String> {
        self.0.key().map(Cow::into_owned)
    }

    /// The first value of a query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.0.parameters().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The first value of a header. Credentials are redacted.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name).map(String::from)
    }

    /// The first 16 KiB of the body, as far as the server read it.
    pub fn body(&self) -> Bytes {
        self.0.body.as_ref().map(CapturedBody::bytes).unwrap_or_default()
    }

    /// The address of the client, without its port; `None` on a Unix socket.
    pub fn client_ip(&self) -> Option<String> {
        self.0.client_ip()
    }

    /// The identity in the client's certificate; `None` without HTTPS.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.0.peer.as_deref()
    }

    /// The status of the answer; `None` if the client left before, or a fault has ended the connection.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.answer.as_ref().and_then(|answer| answer.status)
    }

    /// The id of the fault that was injected into the request.
    pub fn fault(&self) -> Option<&str> {
        self.0.fault().map(|fault| &*fault.id)
    }

    /// Whether the path names something, or a fault has answered.
    pub fn is_matched(&self) -> bool {
        self.0.is_matched()
    }

    /// How long the request waited for a change, and how the wait ended; `None` if it did not wait.
    pub fn waited(&self) -> Option<Waited> {
        self.0.answer.as_ref().and_then(|answer| answer.waited)
    }

    /// The generation of the metadata when the answer was made: [`Snapshot::generation`](crate::routes::Snapshot::generation).
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The time when the request was received.
    pub fn received_at(&self) -> SystemTime {
        self.0.received
    }

    /// The time from the request to its answer.
    pub fn duration(&self) -> Duration {
        self.0.duration
    }
}
