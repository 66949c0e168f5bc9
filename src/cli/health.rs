//! `health` asks a running server whether it answers. It is for container images without a shell or curl.

use super::block_on::block_on;
use super::http_client;
use super::target::{Target, TargetOption};
use anyhow::bail;
use clap::Args;
use gce_metadata_server::Environment;
use std::time::Duration;

/// How long the server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const NOTES: &str = "\
Example, in a Dockerfile:
  HEALTHCHECK CMD [\"/gce-metadata-server\", \"health\"]

Exit status:
  0  the server answers
  1  it does not answer within 2 seconds, answers with an error, or is not a metadata server";

/// Check whether a running server answers, for health checks of containers
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Health {
    #[command(flatten)]
    target: TargetOption,
}

impl Health {
    pub(super) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let target = self.target.target(environment)?;
        block_on(check(&target))?
    }
}

async fn check(target: &Target) -> anyhow::Result<()> {
    // Any status but 200 is an error: `/` needs no header and no metadata.
    let answer = http_client::get(target, "/", [], ANSWER_LIMIT).await?;
    if answer.headers().get(http_client::FLAVOR.0) != Some(&http_client::FLAVOR.1) {
        bail!("http://{target}: this is not a metadata server: its answer has no header Metadata-Flavor: Google");
    }
    if !answer.status().is_success() {
        bail!("http://{target}: the server answered {}", answer.status());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_server::Server;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn check_error(host: &str) -> String {
        check(&Target::from_host(host).unwrap()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_running_server_is_healthy() {
        let server = Server::builder().start().await.unwrap();
        check(&Target::from_host(&server.address().to_string()).unwrap()).await.unwrap();
        server.shutdown().await;
    }

    #[tokio::test]
    async fn an_error_status_and_another_server_are_unhealthy() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "this is not a metadata server"),
            ("HTTP/1.1 503 Slow\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\n\r\n", "the server answered 503"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let host = listener.local_addr().unwrap().to_string();
            let other_server = async {
                let (mut client, _) = listener.accept().await.unwrap();
                assert_ne!(client.read(&mut [0; 1024]).await.unwrap(), 0);
                client.write_all(answer.as_bytes()).await.unwrap();
                client
            };
            let (_client, error) = tokio::join!(other_server, check_error(&host));
            assert!(error.contains(expected) && error.contains(&host), "{error}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_unhealthy() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = check_error(&address.to_string()).await;
        assert!(error.starts_with(&format!("{address}: can't connect: ")), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_within_two_seconds_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = check_error(&listener.local_addr().unwrap().to_string()).await;
        assert!(error.ends_with(": no answer within 2s"), "{error}");
    }
}
