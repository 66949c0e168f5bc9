//! Faults: added by the form, counted, turned off and on, removed.

use super::open;
use crate::support::{eventually, get};

const ID: &str = "instance/id";

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_fault_is_added_counted_turned_off_and_on_and_removed() {
    let (server, page) = open().await;
    let status = async || get(&server, ID).await.status.as_u16();
    page.click("#tab-faults").await;
    page.fill("#fault-form [name=path]", ID).await;
    page.press("#fault-form", "Add fault").await;
    page.wait_for_text("#fault-list", "instance/id: 503").await;
    assert_eq!(status().await, 503);
    page.wait_for_text("#fault-list", "matched 1, injected 1").await;
    page.wait_for_text("#tab-faults", "1").await;
    for (button, expected) in [("Turn off", 200), ("Turn on", 503), ("Remove", 200)] {
        page.press("#fault-list", button).await;
        eventually(button, async || status().await == expected).await;
    }
    page.wait_for_text("#fault-note", "No faults").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn the_path_of_a_request_is_faulted_a_number_of_times() {
    let (server, page) = open().await;
    let token = async || get(&server, "instance/service-accounts/default/token").await.status.as_u16();
    token().await;
    page.wait_for_text("#request-rows", "default/token").await;
    page.click("#request-rows button").await;
    page.press("#request-rows", "Fault this path").await;
    page.fill("#fault-form [name=path]", "instance/service-accounts/*/token").await;
    page.fill("#fault-form [name=times]", "2").await;
    page.press("#fault-form", "Add fault").await;
    page.wait_for_text("#fault-list", "instance/service-accounts/*/token").await;
    assert_eq!([token().await, token().await, token().await], [503, 503, 200]);
    page.wait_for_text("#fault-list", "used up").await;
    page.click("#tab-requests").await;
    page.press("#requests", "Resume").await;
    page.wait_for_text("#request-rows", "fault: instance/service-accounts/*/token").await;
    page.close().await;
}
