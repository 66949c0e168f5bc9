//! Your own source of access tokens: it fails after three tokens.
//!
//! `cargo run --example own_token_source` serves it; `cargo test --example own_token_source` is the test.

#![allow(clippy::print_stdout)]

use gce_metadata_server::routes::token::{AccessToken, AccessTokenRequest, TokenError};
use gce_metadata_server::{Server, ServerBuilder, TokenSources};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower::service_fn;

/// A server with three tokens. Further requests are answered 503.
fn server() -> ServerBuilder {
    let count = Arc::new(AtomicU32::new(0));
    let source = service_fn(move |request: AccessTokenRequest| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let token = format!("ya29.made-up-{number}-for-{}", request.account.email);
        std::future::ready(match number {
            0..3 => Ok(AccessToken::new(token, Duration::from_secs(60))),
            _ => Err(TokenError::Unavailable { reason: "no token is left".to_owned() }),
        })
    });
    Server::builder().token_sources(TokenSources::default().with_access(source))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = server().start().await?;
    println!("export GCE_METADATA_HOST={}", server.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn three_tokens_are_served_and_then_503() {
        let server = server().start_blocking().unwrap();
        let url = format!(
            "{}/computeMetadata/v1/instance/service-accounts/default/token",
            server.url().expect("it has a TCP address")
        );
        for number in 0..4 {
            let output = Command::new("curl")
                .args(["-sS", "-H", "Metadata-Flavor: Google", "-w", "%{http_code}", &url])
                .output()
                .unwrap();
            let answer = String::from_utf8(output.stdout).unwrap();
            match number {
                0..3 => assert!(answer.contains(&format!("ya29.made-up-{number}-for-")), "{answer}"),
                _ => assert!(answer.ends_with("503"), "{answer}"),
            }
        }
    }
}
