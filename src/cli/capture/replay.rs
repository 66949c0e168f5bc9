//! Serves a config in this process and compares its answers with captured ones.

use super::walk::{Answer, Client};
use crate::cli::target::Target;
use anyhow::Context;
use gce_metadata_server::routes::Dump;
use gce_metadata_server::{ConfigDocument, Server};
use http::header::CONTENT_TYPE;

/// A server with a captured config, at a free port of this machine.
pub(super) struct Replay {
    client: Client,
    _server: Server,
}

impl Replay {
    pub(super) async fn start(dump: &Dump) -> anyhow::Result<Self> {
        let metadata = ConfigDocument::from_json(dump.json().clone())?.metadata;
        let server = Server::builder().metadata(metadata).on_current_runtime().start().await?;
        let target = Target::from_host(&server.address().to_string()).context("the server has no TCP address")?;
        Ok(Self { client: Client::new(target), _server: server })
    }

    /// The difference between the captured answer of a path and the answer of this server; `None` if they are equal.
    pub(super) async fn difference(&self, path: &str, captured: &Answer) -> Option<String> {
        let own = match self.client.ask(path).await {
            Ok(own) => own,
            Err(error) => return Some(format!("not served: {error}")),
        };
        if own.status() != captured.status() {
            return Some(format!("answered {}, but {} when served from the config", captured.status(), own.status()));
        }
        let kind = |answer: &Answer| answer.headers().get(CONTENT_TYPE).cloned();
        if kind(&own) != kind(captured) {
            return Some("the config is served with another Content-Type".to_owned());
        }
        (own.body() != captured.body()).then(|| "the config is served with another body".to_owned())
    }
}
