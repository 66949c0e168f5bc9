//! The connection to the server: a restart, the admin token, and the top line.

use super::browser::{Page, Theme};
use super::open;
use crate::support::get;
use gce_metadata_server::{AdminOptions, Server};

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_server_that_restarts_is_followed_again() {
    let (server, page) = open().await;
    let address = server.admin_address().unwrap().socket_addr().unwrap();
    server.shutdown().await;
    page.wait_for_text("#lost", "Connection lost").await;
    page.wait_for_text("#connection", "Connection lost").await;
    // The port was free, and nothing else in this test listens.
    let server = Server::builder().admin(AdminOptions::listen(address)).start().await.unwrap();
    server.publisher().set("instance/description", "restarted").unwrap();
    page.wait_for_text("#connection", "Live").await;
    page.wait_until("the warning is gone", "return document.querySelector('#lost').hidden").await;
    page.wait_for_text("li[data-key='instance/description']", "restarted").await;
    get(&server, "instance/cpu-platform").await;
    page.wait_for_text("#request-rows", "instance/cpu-platform").await;
    page.close_expecting(&["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"]).await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn the_admin_token_is_asked_for_once_and_never_in_a_url() {
    let server = Server::builder().admin(AdminOptions::loopback().token("made-up")).start().await.unwrap();
    let page = Page::open_at(&server.admin_url().unwrap(), Theme::Light).await;
    page.wait_until("the dialog is open", "return document.querySelector('#token-dialog').open").await;
    assert_eq!(page.run("return document.querySelectorAll('#tree li').length").await, 0, "no data without the token");
    page.fill("#token-form [name=token]", "wrong").await;
    page.press("#token-form", "Continue").await;
    page.wait_for_text("#token-form .problem", "did not accept").await;
    page.fill("#token-form [name=token]", "made-up").await;
    page.press("#token-form", "Continue").await;
    page.wait_for_text("#connection", "Live").await;
    page.wait_for_text("#tree", "instance/").await;
    let urls =
        page.run("return performance.getEntriesByType('resource').map((it) => it.name).join() + location.href").await;
    assert!(!urls.as_str().unwrap().contains("made-up"), "{urls}");
    let kept = page.run("return JSON.stringify([localStorage, sessionStorage]) + document.cookie").await;
    assert_eq!(kept, "[{},{}]");
    page.close_expecting(&["401 (Unauthorized)"]).await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn the_top_line_names_the_machine_and_how_programs_find_it() {
    let (server, page) = open().await;
    for (id, path) in [("#project", "project/project-id"), ("#instance", "instance/name")] {
        page.wait_for_text(id, &get(&server, path).await.body).await;
    }
    page.wait_for_text("#account", "vm-1@sample-project").await;
    page.wait_for_text("#ready", "Ready").await;
    page.click("#connect").await;
    for (name, value) in server.env() {
        page.wait_for_text("#exports", &format!("export {name}={value}\n")).await;
    }
    page.wait_for_text("#exports", &format!("export GCE_METADATA_ADMIN={}", server.admin_url().unwrap())).await;
    page.close().await;
}
