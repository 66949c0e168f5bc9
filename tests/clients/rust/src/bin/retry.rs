//! A client of `scripts/retry-matrix`: gets an access token with google-cloud-auth or with object_store, as its argument says.

use google_cloud_auth::credentials::mds;
use object_store::gcp::GoogleCloudStorageBuilder;
use std::env;

type Error = Box<dyn std::error::Error>;

/// Gets tokens as often as the variable `TOKENS` says.
async fn get_tokens(library: &str) -> Result<(), Error> {
    let tokens: u32 = env::var("TOKENS")?.parse()?;
    if library == "google-cloud-auth" {
        let credentials = mds::Builder::default().build()?;
        for _ in 0..tokens {
            credentials.headers(http::Extensions::new()).await?;
        }
    } else {
        let store = GoogleCloudStorageBuilder::new().with_bucket_name("bucket").build()?;
        for _ in 0..tokens {
            store.credentials().get_credential().await?;
        }
    }
    Ok(())
}

/// The name of an error's type or variant, as its debug output has it.
fn class(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let library = env::args().nth(1).expect("the name of a library");
    println!("started");
    match get_tokens(&library).await {
        Ok(()) => println!("ok"),
        Err(error) => {
            eprintln!("{error:?}");
            println!("error {}", class(&error));
        }
    }
}
