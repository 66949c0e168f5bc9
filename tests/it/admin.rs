//! The admin API over sockets.

mod metadata;
mod page;
#[cfg(feature = "cli")]
mod schemathesis;
mod security;
mod server;
mod tokens;

use crate::support::{Answer, Client, request};
use gce_metadata_server::{AdminOptions, Server, ServerBuilder};
use serde_json::Value;
use tokio::net::TcpStream;

/// A builder of a server with an admin listener at a free port.
pub(crate) fn builder() -> ServerBuilder {
    Server::builder().admin(AdminOptions::loopback())
}

/// A client of the admin API.
pub(crate) struct Admin(Client);

impl Admin {
    pub(crate) async fn of(server: &Server) -> Self {
        let address = server.admin_address().unwrap().socket_addr().unwrap();
        Self(Client::over(TcpStream::connect(address).await.unwrap(), &address.to_string()).await)
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut with_type = headers.to_vec();
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            with_type.push(("content-type", "application/json"));
        }
        self.0.send(request(method, &format!("/__admin/{path}"), &with_type), body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// Asserts the status; returns the answer.
    pub(crate) async fn expect(&mut self, status: u16, method: &str, path: &str, body: impl Into<Value>) -> Answer {
        let body = body.into();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(method, path, &[], &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        answer
    }
}

/// Asserts that the answer is a problem document with this status; returns its detail.
pub(crate) fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &status.into()));
    assert_eq!(problem["detail"], problem["errors"][0]["detail"], "WireMock's clients read the list");
    problem["detail"].as_str().unwrap().to_owned()
}
