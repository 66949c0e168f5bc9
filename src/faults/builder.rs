//! Faults for tests in Rust, with the names of wiremock-rs where it has the same.

use super::{Definition, FaultError, FaultGuard, Faults};
use crate::journal::Times;
use crate::request_pattern::{Matching, Pattern};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A fault, for [`Faults::add`]. Its methods set the members of the document that `docs/faults.md` describes; a mistake is an error of
/// [`Faults::add`].
///
/// ```
/// use gce_metadata_server::{Fault, Server};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().simulate().start().await?;
/// let fault = Fault::on("instance/service-accounts/*/token").instructions(["return-503", "return-503"]);
/// let guard = server.faults().add(fault)?;
/// // … run the program under test …
/// assert_eq!(guard.injected(), 0);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault has no effect until it is added to a server"]
pub struct Fault {
    document: Map<String, Value>,
    expected: Option<Times>,
}

impl Fault {
    /// A fault of requests for this path: one below `/computeMetadata/v1/`, in which a segment `*` stands for any name, or one that begins
    /// with a slash. See [`Matching::path`].
    pub fn on(path: impl AsRef<str>) -> Self {
        Self::matching(Matching::path(path))
    }

    /// A fault of requests that meet this condition.
    pub fn matching(condition: Matching) -> Self {
        let request = Pattern::from(condition).json().clone();
        Self { document: Map::from_iter([("request".to_owned(), request)]), expected: None }
    }

    /// A fault from its document, as the admin API takes it.
    pub fn json(document: &Value) -> Result<Self, FaultError> {
        Definition::parse(document, "")?;
        Ok(Self { document: document.as_object().cloned().unwrap_or_default(), expected: None })
    }

    /// Sets the name, which the journal shows.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set("name", name.into())
    }

    /// Sets the priority: 1 is tried first, and 5 is the default. Of equal priorities the newest is tried first.
    pub fn priority(self, priority: u32) -> Self {
        self.set("priority", priority)
    }

    /// Also requires that the path names the account with this e-mail or alias.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        let request = self.document.entry("request").or_insert_with(|| json!({}));
        request["account"] = json!({"equalTo": name.into()});
        self
    }

    /// Fails the token source below the cache, rather than the request of a client: cache, backoff and readiness do what they do in an
    /// outage.
    pub fn at_source(self) -> Self {
        self.set("at", "source")
    }

    /// Answers with this status. Without a body the answer has the page of Google's servers for 400, 403, 404, 405, 408, 412, 413, 429,
    /// 500 and 503.
    pub fn status(self, status: u16) -> Self {
        self.set_response("status", status)
    }

    /// Adds a header to the answer, in place of the server's own value.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        let headers = self.response("headers");
        let value = Value::from(value.into());
        match headers.get_mut(name) {
            Some(Value::Array(values)) => values.push(value),
            _ => headers[name] = Value::Array(vec![value]),
        }
        self
    }

    /// Leaves out a header that the server sets, such as `Metadata-Flavor`.
    pub fn without_header(mut self, name: &str) -> Self {
        self.response("headers")[name] = Value::Null;
        self
    }

    /// Answers with this text.
    pub fn body(self, body: impl Into<String>) -> Self {
        self.set_response("body", body.into())
    }

    /// Answers with this JSON.
    pub fn json_body(self, body: impl Into<Value>) -> Self {
        self.set_response("jsonBody", body)
    }

    /// Answers, or resets the connection, after this time.
    pub fn delay(self, delay: Duration) -> Self {
        self.set_response("fixedDelayMilliseconds", milliseconds(delay))
    }

    /// Delays by a lognormal distribution.
    pub fn lognormal_delay(self, median: Duration, sigma: f64) -> Self {
        let median = median.as_secs_f64() * 1000.0;
        self.set_response("delayDistribution", json!({"type": "lognormal", "median": median, "sigma": sigma}))
    }

    /// Delays by a uniform distribution.
    pub fn uniform_delay(self, lower: Duration, upper: Duration) -> Self {
        let [lower, upper] = [lower, upper].map(|bound| bound.as_secs_f64() * 1000.0);
        self.set_response("delayDistribution", json!({"type": "uniform", "lower": lower, "upper": upper}))
    }

    /// Keeps the usual answer, for a fault that only delays it or changes how its body is sent.
    pub fn usual_answer(self) -> Self {
        self.set_response("proxyBaseUrl", "http://metadata.google.internal")
    }

    /// Resets the connection (RST).
    pub fn reset_connection(self) -> Self {
        self.set_response("fault", "CONNECTION_RESET_BY_PEER")
    }

    /// Closes the connection without a byte.
    pub fn empty_response(self) -> Self {
        self.set_response("fault", "EMPTY_RESPONSE")
    }

    /// Sends the body in chunks over this time.
    pub fn dribble(self, chunks: usize, total: Duration) -> Self {
        let delay = json!({"numberOfChunks": chunks, "totalDuration": milliseconds(total)});
        self.set_response("chunkedDribbleDelay", delay)
    }

    /// Closes the connection after this fraction of the body; `Content-Length` is that of the whole body.
    pub fn truncate_body_at(self, fraction: f64) -> Self {
        self.set_response("truncateBodyAtFraction", fraction)
    }

    /// Corrupts the body so that it is no JSON.
    pub fn malformed_body(self) -> Self {
        self.set_response("malformedBody", true)
    }

    /// Sets the instruction words: each request uses one, and later requests are answered as usual.
    pub fn instructions<W: Into<String>>(self, words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        self.set("instructions", words)
    }

    /// Answers this number of requests as usual first.
    pub fn succeed_first(self, requests: u64) -> Self {
        self.set("succeedFirst", requests)
    }

    /// Concerns this number of requests, and no later ones (`failRequestCount`).
    pub fn up_to_n_times(self, requests: u64) -> Self {
        self.set("failRequestCount", requests)
    }

    /// Concerns every Nth request.
    pub fn fail_every(self, n: u64) -> Self {
        self.set("failEvery", n)
    }

    /// Is injected with this probability, from 0 to 1.
    pub fn probability(self, probability: f64) -> Self {
        self.set("probability", probability)
    }

    /// Makes the random choices of this fault reproducible.
    pub fn seed(self, seed: u64) -> Self {
        self.set("seed", seed)
    }

    /// Is injected from this time after it was added on.
    pub fn outage_after(self, time: Duration) -> Self {
        self.set("outageAfterMillis", milliseconds(time))
    }

    /// Ends this time after the start of the outage.
    pub fn outage_duration(self, time: Duration) -> Self {
        self.set("outageDurationMillis", milliseconds(time))
    }

    /// Is injected into requests above this number in each window of this length.
    pub fn quota(self, requests: u64, window: Duration) -> Self {
        self.set("quotaLimit", requests).set("quotaWindowMillis", milliseconds(window))
    }

    /// Ends this time after it was added.
    pub fn time_to_live(self, time: Duration) -> Self {
        self.set("timeToLive", milliseconds(time))
    }

    /// Expects that the fault is injected this often by the time when its guard is dropped, or when
    /// [`Server::verify`](crate::Server::verify) is called.
    pub fn expect(self, times: impl Into<Times>) -> Self {
        Self { expected: Some(times.into()), ..self }
    }

    fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.document.insert(name.to_owned(), value.into());
        self
    }

    fn set_response(mut self, name: &str, value: impl Into<Value>) -> Self {
        let response = self.document.entry("response").or_insert_with(|| json!({}));
        response[name] = value.into();
        self
    }

    /// An object in the response.
    fn response(&mut self, name: &str) -> &mut Value {
        let response = self.document.entry("response").or_insert_with(|| json!({}));
        if response.get(name).is_none() {
            response[name] = json!({});
        }
        &mut response[name]
    }
}

impl Faults {
    /// Adds a fault. It is removed when the guard is dropped.
    ///
    /// # Errors
    /// If the fault can't be used. The error has the JSON pointer of the wrong member.
    pub fn add(&self, fault: Fault) -> Result<FaultGuard, FaultError> {
        let Fault { document, expected } = fault;
        let definition = Definition::parse(&document.into(), "")?;
        let added = self.insert_expecting(definition, expected)?;
        let id = added["id"].as_str().unwrap_or_default().to_owned();
        Ok(FaultGuard::new(self.clone(), id))
    }
}

/// Whole milliseconds, rounded up.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
