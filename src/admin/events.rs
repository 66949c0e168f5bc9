//! `GET /__admin/events`: requests and events as server-sent events (WHATWG HTML, section 9.2).

use super::Admin;
use super::call::{Call, Outcome};
use super::problem::Problem;
use crate::date::rfc3339;
use crate::events::{EventKind, LogStream, Record};
use crate::journal::serve_event;
use crate::server::EndsWithClient;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use tower::BoxError;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The time without an event after which a comment is sent, so that client and server notice a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The size of a chunk above which no event is added to it. Together with [`BATCH`] it limits the memory of a stream.
const CHUNK: usize = 16 * 1024;

/// The number of records that are read at once.
const BATCH: usize = 32;

/// `GET`: a stream of the events from now on, or after the number in `Last-Event-ID`.
pub(super) async fn get(call: Call) -> Outcome {
    let (kinds, after) = (kinds(&call)?, last_event_id(&call)?);
    let Some(records) = LogStream::new(&call.admin.log, after) else {
        let detail =
            format!("{} streams of events are open, and no more are possible: close one of them", LogStream::MAX);
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let chunks =
        stream::unfold(EventStream { records, kinds, admin: call.admin, is_stopping: false }, EventStream::chunk);
    let mut answer = Response::new(StreamBody::new(chunks).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
    answer.extensions_mut().insert(EndsWithClient);
    Ok(answer)
}

/// The kinds in the parameter `types`; all without it.
fn kinds(call: &Call) -> Result<Vec<EventKind>, Problem> {
    let given = call.parameter_of::<String>("types", "a list of types")?;
    let Some(given) = given else { return Ok(EventKind::ALL.into()) };
    let kind = |name: &str| {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = EventKind::ALL.map(EventKind::name).join(", ");
            Problem::bad_request(format!("query parameter types: expected a list of some of {known}"))
        })
    };
    given.split(',').map(kind).collect()
}

/// The number after which the stream begins.
fn last_event_id(call: &Call) -> Result<Option<u64>, Problem> {
    let Some(given) = call.headers.get("last-event-id") else { return Ok(None) };
    let number = given.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Problem::bad_request("Last-Event-ID: expected the number of an event"))
}

/// The state of a stream between two chunks.
struct EventStream {
    records: LogStream,
    kinds: Vec<EventKind>,
    admin: Arc<Admin>,
    is_stopping: bool,
}

impl EventStream {
    /// Waits for the next chunk. The stream ends when the server stops.
    async fn chunk(mut self) -> Option<(Result<Frame<Bytes>, BoxError>, Self)> {
        while !self.is_stopping {
            let items = tokio::select! {
                biased;
                () = self.admin.stop.cancelled() => {
                    // The requests of the server have ended, so these events are the last.
                    self.is_stopping = true;
                    Ok(self.records.available(BATCH))
                }
                items = timeout(HEARTBEAT, self.records.next(BATCH)) => items,
            };
            let Ok(items) = items else { return Some((Ok(Frame::data(Bytes::from_static(b": heartbeat\n\n"))), self)) };
            let mut text = String::new();
            for item in items {
                self.records.read(item.number);
                if item.record.kind().is_none_or(|kind| self.kinds.contains(&kind)) {
                    self.append(&mut text, item.number, &item.record);
                }
                if text.len() >= CHUNK {
                    break;
                }
            }
            if !text.is_empty() {
                return Some((Ok(Frame::data(text.into())), self));
            }
        }
        None
    }

    /// Appends an event. Its data is one line, because JSON text has no line breaks.
    fn append(&self, text: &mut String, number: u64, record: &Record) {
        let (name, data) = match record {
            Record::Request(entry) => ("request", serve_event(entry, self.admin.vm.reader().snapshot().tree())),
            Record::Event(event) => (event.kind.name(), dated(&event.data, event.time)),
            Record::Gap(count) => ("gap", json!({"count": count})),
        };
        // Writing to a string can't fail.
        let _ = write!(text, "id: {number}\nevent: {name}\ndata: {data}\n\n");
    }
}

/// The data of an event, and when it happened.
fn dated(data: &Value, time: SystemTime) -> Value {
    let mut data = data.clone();
    data["date"] = rfc3339(time).into();
    data
}

#[cfg(test)]
mod tests {
    use crate::admin::{Admin, Security, service};
    use crate::events::{EventKind, Events, Log, Waits};
    use crate::faults::Faults;
    use crate::hosts;
    use crate::readiness_check::ReadinessCheck;
    use crate::scenarios::{Ports, Scenarios};
    use crate::server::Readiness;
    use crate::vm::VmBuilder;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use serde_json::json;
    use std::sync::Arc;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn a_stream_outlives_the_time_limit_of_other_answers_and_has_heartbeats() {
        let (log, stop) = (Log::new(0), CancellationToken::new());
        let events = Events::new(Some(log.clone()));
        let builder = VmBuilder { events: events.clone(), ..VmBuilder::default() };
        let vm = builder.open().await.unwrap().0;
        let (scenarios, _driver) = Scenarios::new(Ports {
            publisher: vm.publisher().clone(),
            faults: Arc::new(Faults::new(vm.reader(), events.clone())),
            readiness: None,
            journal: None,
            events: events.clone(),
        });
        let readiness_check = ReadinessCheck::new(&vm, None, stop.clone());
        let admin = Admin {
            vm,
            readiness_check,
            environment: Vec::new(),
            journal: None,
            readiness: Readiness::detached(),
            scenarios,
            log,
            waits: Waits::new(Events::default()),
            started: std::time::Instant::now(),
            shutdown: CancellationToken::new(),
            stop: stop.clone(),
        };
        let service = service(admin, Security { hosts: hosts::allowed(), token: None, is_unix: false });
        let request = Request::get("/__admin/events").body(Full::<Bytes>::default()).unwrap();
        let mut body = service.oneshot(request).await.unwrap().into_body();
        let mut next = async || body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
        let start = Instant::now();
        for heartbeats in 1..=2 {
            assert_eq!(next().await.unwrap(), ": heartbeat\n\n");
            assert_eq!(start.elapsed().as_secs(), heartbeats * 15);
        }
        events.emit(EventKind::Fault, || json!({"id": "a"}));
        stop.cancel();
        let last = String::from_utf8(next().await.unwrap().to_vec()).unwrap();
        let (head, data) = last.split_once("data: ").unwrap();
        assert_eq!(head, "id: 1\nevent: fault\n");
        assert!(data.starts_with(r#"{"date":"2"#) && data.ends_with("Z\",\"id\":\"a\"}\n\n"), "{data}");
        assert!(next().await.is_none());
    }
}
