//! Scenarios: run by a button, stepped and stopped.

use super::open;
use crate::support::{Client, eventually, get};

const CARD: &str = "#scenario-list [data-key='preemption']";

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_preemption_runs_by_a_button_and_is_stopped() {
    let (server, page) = open().await;
    let mut client = Client::connect(&server).await;
    let waiting = client.get("instance/preempted?wait_for_change=true");
    let running = async {
        page.click("#tab-scenarios").await;
        page.press(CARD, "Run").await;
    };
    let (answer, ()) = tokio::join!(waiting, running);
    assert_eq!(answer.body, "TRUE");
    page.wait_for_text(&format!("{CARD} .now"), "Preempted").await;
    page.wait_until(
        "the next state is counted down",
        "return /Off in [0-9]+ s/.test(document.querySelector('[data-key=preemption]').innerText)",
    )
    .await;
    page.wait_for_text("#tab-scenarios", "1").await;
    page.wait_for_text("li[data-key='instance/preempted']", "changed, was FALSE").await;
    page.press(CARD, "Stop").await;
    eventually("the metadata is put back", async || get(&server, "instance/preempted").await.body == "FALSE").await;
    page.wait_until(
        "the scenario can run again",
        "return document.querySelector('[data-key=preemption] .primary').offsetParent !== null",
    )
    .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_scenario_takes_parameters_and_is_stepped_by_hand() {
    let (server, page) = open().await;
    page.click("#tab-scenarios").await;
    page.click(&format!("{CARD} summary")).await;
    page.run("document.querySelector('[data-key=preemption] [name=\"parameter notice\"]').value = '120'").await;
    page.click(&format!("{CARD} [name=manual]")).await;
    page.press(CARD, "Run").await;
    page.wait_for_text(&format!("{CARD} .now"), "Preempted").await;
    for state in ["SoftOff", "Off"] {
        page.press(CARD, "Step").await;
        page.wait_for_text(&format!("{CARD} .now"), state).await;
    }
    page.wait_for_text(CARD, "the last state").await;
    assert_eq!(get(&server, "instance/preempted").await.body, "TRUE");
    page.close().await;
}
