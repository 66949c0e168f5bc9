//! The page of the admin API, in a headless Chromium: one server and one browser per test. At its end, each test asserts that the browser
//! has logged no error and no violation of the page's policy.

mod accessibility;
mod browser;
mod connection;
mod faults;
mod load;
mod metadata;
mod requests;
mod scenarios;
mod tokens;

use crate::admin;
use browser::Page;
use gce_metadata_server::Server;

/// Starts a server with the sample metadata and opens its page.
async fn open() -> (Server, Page) {
    let server = admin::builder().start().await.unwrap();
    let page = Page::open(&server).await;
    (server, page)
}
