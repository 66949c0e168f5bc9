//! Google's own crate obtains a live token through the server and calls an API that verifies its signature.

use google_cloud_auth::credentials::{CacheableResource, idtoken, mds};
use std::env;

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The server's address is in GCE_METADATA_HOST, as for the other languages.
    let credentials = mds::Builder::default().build()?;
    let CacheableResource::New { data, .. } = credentials.headers(http::Extensions::new()).await? else {
        return Err("no headers".into());
    };
    let answer = reqwest::Client::new().get(env::var("API")?).headers(data).send().await?.error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    assert_eq!(answer["email"], env::var("EMAIL")?, "the token's account");
    let token = idtoken::mds::Builder::new("https://service.example.com").build()?.id_token().await?;
    assert_eq!(token.split('.').count(), 3, "a JWT has three parts");
    println!("google-cloud-auth, live: ok");
    Ok(())
}
