//! The stream of events and the list of waiters, over sockets.

#[cfg(all(feature = "cli", target_os = "linux"))]
mod load;
mod stream;
mod waiters;

use bytes::Bytes;
use gce_metadata_server::Server;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A client of `GET /__admin/events`.
pub(crate) struct EventStream {
    body: Incoming,
    received: String,
}

/// An event as a client receives it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl EventStream {
    /// Opens a stream. From then on no event is missed.
    pub(crate) async fn open(server: &Server, query: &str, headers: &[(&str, &str)]) -> Self {
        let (status, stream) = Self::try_open(server, query, headers).await;
        assert_eq!(status, 200);
        stream
    }

    /// Asks for a stream. Returns the status too.
    pub(crate) async fn try_open(server: &Server, query: &str, headers: &[(&str, &str)]) -> (u16, Self) {
        let address = server.admin_address().unwrap().socket_addr().unwrap();
        Self::over(TcpStream::connect(address).await.unwrap(), query, headers).await
    }

    pub(crate) async fn over(stream: TcpStream, query: &str, headers: &[(&str, &str)]) -> (u16, Self) {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("/__admin/events{query}")).header("host", "localhost");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        (answer.status().as_u16(), Self { body: answer.into_body(), received: String::new() })
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.received.split_once("\n\n") {
                let event = Event::parse(block);
                self.received = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.received.push_str(str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }

    /// The next events.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.unwrap());
        }
        events
    }

    /// The rest of the answer as text.
    pub(crate) async fn text(self) -> String {
        String::from_utf8(self.body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

impl Event {
    /// Parses the lines of an event; `None` for a comment.
    fn parse(block: &str) -> Option<Self> {
        if block.starts_with(':') {
            return None;
        }
        let field = |name: &str| {
            let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("no {name}: {block}"))
        };
        let data = serde_json::from_str(field("data")).unwrap();
        Some(Self { id: field("id").parse().unwrap(), kind: field("event").to_owned(), data })
    }

    pub(crate) fn url(&self) -> &str {
        self.data["request"]["url"].as_str().unwrap()
    }
}

/// The types of events.
pub(crate) fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}
