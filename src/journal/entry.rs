//! One request in the journal, as it is recorded: copied bytes and clocks. Everything else is made when the entry is read.

use crate::faults::InjectedFault;
use crate::request_pattern::RequestView;
use gce_metadata_layers::{
    AbortConnection, CapturedBody, CloseConnection, Connection, PathLabel, PeerIdentity, Query, Waited,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The first part of an id; the rest is the entry's number in hex. The form is that of a UUID, which WireMock's clients parse.
const ID_PREFIX: &str = "00000000-0000-4000-8000-";

/// The value of a header that is a credential.
const REDACTED: &[u8] = b"[redacted]";

/// A value that would make a head larger than [`MAX_HEAD_BYTES`].
const TOO_LONG: &[u8] = b"[too long]";

/// The limit on the headers of a request, and on those of an answer, so that the memory of the journal is limited.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The headers of a typical answer. Room for them, so that the buffer is allocated once.
const ANSWER_BYTES: usize = 320;

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The position in the log of requests and events, from 1. Set when a reader takes the entry over.
    number: u64,
    pub(crate) method: Method,
    pub(crate) received: SystemTime,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) is_encrypted: bool,
    pub(crate) peer: Option<Arc<PeerIdentity>>,
    pub(crate) body: Option<CapturedBody>,
    /// `None` if the client left before its answer.
    pub(crate) answer: Option<Answer>,
    /// The generation of the metadata when the answer was made, or when the client left.
    pub(crate) generation: u64,
    pub(crate) duration: Duration,
    /// The target, the headers of the request, and those of the answer, in one allocation.
    bytes: Vec<u8>,
    target_end: usize,
    request_end: usize,
}

/// The head of an answer, without its headers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// `None` if a fault has ended the connection instead of answering.
    pub(crate) status: Option<StatusCode>,
    /// The path names something, or a fault has answered.
    pub(crate) is_matched: bool,
    pub(crate) fault: Option<InjectedFault>,
    pub(crate) waited: Option<Waited>,
}

impl Entry {
    pub(super) fn new(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        connection: Option<&Connection>,
        body: Option<CapturedBody>,
    ) -> Self {
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let size = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 2).sum::<usize>();
        let mut bytes = Vec::with_capacity(target.len() + size + ANSWER_BYTES);
        bytes.extend_from_slice(target.as_bytes());
        let target_end = bytes.len();
        append(&mut bytes, headers);
        Self {
            number: 0,
            method: method.clone(),
            received: SystemTime::now(),
            remote: connection.and_then(|it| it.remote),
            is_encrypted: connection.is_some_and(|it| it.is_encrypted),
            peer: connection.and_then(|it| it.peer.clone()),
            body,
            answer: None,
            generation: 0,
            duration: Duration::ZERO,
            request_end: bytes.len(),
            target_end,
            bytes,
        }
    }

    pub(super) fn answered(&mut self, answer: Answer, headers: &HeaderMap, duration: Duration) {
        append(&mut self.bytes, headers);
        (self.answer, self.duration) = (Some(answer), duration);
    }

    /// The id: a UUID that is made from the number.
    pub(crate) fn id(&self) -> String {
        format!("{ID_PREFIX}{:012x}", self.number)
    }

    /// The number in an id.
    pub(crate) fn number_of(id: &str) -> Option<u64> {
        u64::from_str_radix(id.strip_prefix(ID_PREFIX)?, 16).ok()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Sets the number.
    pub(crate) fn numbered(mut self: Box<Self>, number: u64) -> Box<Self> {
        self.number = number;
        self
    }

    /// The query without its `?`.
    pub(crate) fn query(&self) -> Option<String> {
        self.url().split_once('?').map(|(_, query)| query.to_owned())
    }

    /// The headers of the request. Credentials are redacted.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        lines(&self.bytes[self.target_end..self.request_end])
    }

    /// The headers of the answer. Cookies are redacted.
    pub(crate) fn answer_headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        lines(&self.bytes[self.request_end..])
    }

    /// The value of a header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The fault that was injected, if the request has an answer or a fault has ended its connection.
    pub(crate) fn fault(&self) -> Option<&InjectedFault> {
        self.answer.as_ref().and_then(|answer| answer.fault.as_ref())
    }

    /// Whether the path names something, or a fault has answered.
    pub(crate) fn is_matched(&self) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.is_matched)
    }

    /// What the request waits for; `None` if it is no long poll.
    pub(crate) fn long_poll(&self) -> Option<Query> {
        Some(Query::parse(self.query().as_deref())).filter(|query| query.wait_for_change)
    }
}

impl RequestView for Entry {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn url(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes[..self.target_end])
    }

    /// Credentials are redacted.
    fn headers_named(&self, name: &str) -> Vec<Cow<'_, str>> {
        let named = self.headers().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    fn client_ip(&self) -> Option<String> {
        self.remote.map(|remote| remote.ip().to_canonical().to_string())
    }
}

impl Answer {
    pub(super) fn new(status: StatusCode, extensions: &http::Extensions) -> Self {
        // A layer that refuses a request looks no path up. A label above the path says nothing about the path.
        let is_found = status != StatusCode::NOT_FOUND || extensions.get() == Some(&PathLabel::AsRequested);
        let fault: Option<InjectedFault> = extensions.get().cloned();
        let is_matched = is_found || fault.as_ref().is_some_and(|fault| fault.is_answer);
        let is_sent = extensions.get::<AbortConnection>().is_none() && extensions.get::<CloseConnection>().is_none();
        Self { status: is_sent.then_some(status), is_matched, fault, waited: extensions.get().copied() }
    }
}

/// Appends a line for each header. A value has no line break.
fn append(bytes: &mut Vec<u8>, headers: &HeaderMap) {
    let start = bytes.len();
    for (name, value) in headers {
        let value = shown(name, value);
        let is_too_long = bytes.len() - start + value.len() > MAX_HEAD_BYTES;
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(if is_too_long { TOO_LONG } else { value });
        bytes.push(b'\n');
    }
}

fn shown<'a>(name: &HeaderName, value: &'a HeaderValue) -> &'a [u8] {
    let is_credential =
        [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE].contains(name);
    if is_credential { REDACTED } else { value.as_bytes() }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((str::from_utf8(&line[..colon]).ok()?, String::from_utf8_lossy(&line[colon + 1..])))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::{Request, Response};

    /// An answered request, for tests of the journal.
    pub(crate) fn entry(request: http::request::Builder, status: u16) -> Entry {
        let request = request.body(()).unwrap();
        let connection = request.extensions().get();
        let mut entry = Entry::new(request.method(), request.uri(), request.headers(), connection, None);
        let mut response = Response::builder().status(status).header("etag", "tag").body(()).unwrap();
        if status != 404 {
            response.extensions_mut().insert(PathLabel::AsRequested);
        }
        let answer = Answer::new(response.status(), response.extensions());
        entry.answered(answer, response.headers(), Duration::from_millis(5));
        entry
    }

    #[test]
    fn an_entry_has_the_target_and_the_headers_of_request_and_answer() {
        let request = Request::get("/computeMetadata//v1/instance/id?alt=json&a=b%20c").header("a", "b: c");
        let entry = entry(request.extension(Connection::from_remote(([127, 0, 0, 1], 9).into())), 200);
        assert_eq!(entry.url(), "/computeMetadata//v1/instance/id?alt=json&a=b%20c");
        assert_eq!(entry.key().as_deref(), Some("instance/id"));
        assert_eq!(entry.parameters()[1], ("a".to_owned(), "b c".to_owned()));
        assert_eq!(entry.headers().collect::<Vec<_>>(), [("a", "b: c".into())]);
        assert_eq!(entry.answer_headers().collect::<Vec<_>>(), [("etag", "tag".into())]);
        assert_eq!(entry.client_ip().as_deref(), Some("127.0.0.1"));
        assert!(entry.is_matched());
    }

    #[test]
    fn credentials_in_headers_are_not_recorded() {
        let request = Request::get("/a").header("authorization", "Bearer secret-1").header("cookie", "secret-2");
        let entry = entry(request.header("proxy-authorization", "secret-3"), 404);
        assert!(!String::from_utf8_lossy(&entry.bytes).contains("secret"));
        assert_eq!(entry.header("Authorization").as_deref(), Some("[redacted]"));
        assert!(!entry.is_matched());
    }

    #[test]
    fn header_values_above_16_kib_are_left_out() {
        let entry = entry(Request::get("/a").header("a", "b".repeat(20_000)).header("c", "d"), 200);
        assert_eq!(entry.header("a").as_deref(), Some("[too long]"));
        assert_eq!(entry.header("c").as_deref(), Some("d"));
    }

    #[test]
    fn an_id_is_a_uuid_of_the_number() {
        let mut entry = entry(Request::get("/"), 200);
        entry.number = 0xabc;
        assert_eq!(entry.id(), "00000000-0000-4000-8000-000000000abc");
        assert_eq!(Entry::number_of(&entry.id()), Some(0xabc));
        assert_eq!(Entry::number_of("abc"), None);
    }
}
