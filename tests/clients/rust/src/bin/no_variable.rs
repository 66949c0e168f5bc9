//! A client that reads no variable obtains a token: gcp_auth asks metadata.google.internal and nothing else.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = gcp_auth::provider().await?;
    assert_eq!(&*provider.project_id().await?, "sample-project");
    let token = provider.token(&["https://www.googleapis.com/auth/cloud-platform"]).await?;
    assert!(token.as_str().starts_with("ya29."), "an access token");
    println!("gcp_auth: ok");
    Ok(())
}
