//! The requests that wait for a change: which ones wait now, and events when a wait begins and ends.

use super::{EventKind, Events};
use crate::date::rfc3339;
use gce_metadata_layers::wait_for_change::{BegunWait, RecordWaits};
use gce_metadata_layers::{Connection, MetadataPath, WaitEnd};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const V1: &str = "/computeMetadata/v1";

/// The waiting requests of a server. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Waits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    events: Events,
    waiting: Mutex<Waiting>,
}

/// The waiting requests by the order in which they began to wait.
#[derive(Debug, Default)]
struct Waiting {
    requests: BTreeMap<u64, Arc<Wait>>,
    last: u64,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    /// Path and query. A text of its own, because the URI of the request ends with the request.
    url: Box<str>,
    last_etag: Box<str>,
    timeout: Option<Duration>,
    client: Option<SocketAddr>,
    since: (SystemTime, Instant),
}

impl Waits {
    /// No request; waits are reported to these events.
    pub(crate) fn new(events: Events) -> Self {
        Self(Arc::new(Shared { events, waiting: Mutex::default() }))
    }

    /// The waiting requests, the one that has waited longest first.
    pub(crate) fn all(&self) -> Vec<Arc<Wait>> {
        self.waiting().requests.values().cloned().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    pub(crate) fn json(&self) -> Value {
        let path = self.url.split_once('?').map_or(&*self.url, |(path, _)| path);
        let path = MetadataPath::new(path).below(V1).unwrap_or(path).to_owned();
        let (since, start) = self.since;
        json!({
            "path": path,
            "url": self.url,
            "lastEtag": self.last_etag,
            "timeoutSec": self.timeout.map(|timeout| timeout.as_secs()),
            "client": self.client.map(|client| client.to_string()),
            "since": rfc3339(since),
            "milliseconds": u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl RecordWaits for Waits {
    fn begin(&self, wait: BegunWait<'_>) -> u64 {
        let connection = wait.extensions.get::<Connection>();
        let wait = Arc::new(Wait {
            url: wait.uri.path_and_query().map_or("/", |target| target.as_str()).into(),
            last_etag: wait.last_etag.into(),
            timeout: wait.timeout,
            client: connection.and_then(|connection| connection.remote),
            since: (SystemTime::now(), Instant::now()),
        });
        let number = {
            let mut waiting = self.waiting();
            waiting.last += 1;
            let number = waiting.last;
            waiting.requests.insert(number, Arc::clone(&wait));
            number
        };
        self.0.events.emit(EventKind::Waiting, || wait.json());
        number
    }

    fn end(&self, wait: u64, ended_by: Option<WaitEnd>) {
        let Some(wait) = self.waiting().requests.remove(&wait) else { return };
        self.0.events.emit(EventKind::Woken, || {
            let mut data = wait.json();
            data["endedBy"] = end_name(ended_by).into();
            data
        });
    }
}

/// The reason why a request waits no longer; `None` if its client left.
pub(crate) fn end_name(ended_by: Option<WaitEnd>) -> &'static str {
    match ended_by {
        None => "client",
        Some(WaitEnd::Change) => "change",
        Some(WaitEnd::Timeout) => "timeout",
        Some(_) => "stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Log;
    use gce_metadata_layers::{EtagLayer, WaitForChangeLayer, Waiters};
    use http::{Request, Response};
    use http_body_util::Full;
    use std::convert::Infallible;
    use tokio::sync::watch;
    use tokio::time::advance;
    use tower::{ServiceBuilder, ServiceExt, service_fn};

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_are_listed_until_their_wait_ends() {
        let waits = Waits::new(Events::new(Some(Log::new(0))));
        let (writer, changes) = watch::channel(());
        let waiters = Waiters::default().record(Arc::new(waits.clone()));
        let service = ServiceBuilder::new()
            .layer(WaitForChangeLayer::new(changes).waiters(waiters))
            .layer(EtagLayer::new())
            .service(service_fn(async |_: Request<()>| {
                Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
            }));
        let ask = |path: &str| {
            let request = Request::get(format!("{path}?wait_for_change=true&timeout_sec=10"));
            let client = Connection::from_remote(([127, 0, 0, 1], 9).into());
            tokio::spawn(service.clone().oneshot(request.extension(client).body(()).unwrap()))
        };
        let (first, second) = (ask("/computeMetadata/v1/instance//id"), ask("/0.1/meta-data/zone"));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(3)).await;
        let listed: Vec<_> = waits.all().iter().map(|wait| wait.json()).collect();
        assert_eq!((&listed[0]["path"], &listed[0]["timeoutSec"]), (&"instance/id".into(), &10.into()));
        assert_eq!((&listed[0]["client"], &listed[0]["milliseconds"]), (&"127.0.0.1:9".into(), &3000.into()));
        assert_eq!(listed[1]["path"], "/0.1/meta-data/zone");
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(waits.all().len(), 1);
        drop(writer);
        second.await.unwrap().unwrap();
        assert!(waits.all().is_empty());
    }
}
