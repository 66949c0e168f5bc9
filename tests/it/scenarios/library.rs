//! Scenarios of a server in the same process, as its clients see them.

use crate::support::{Client, get};
use gce_metadata_server::{EndReason, Metadata, NotReady, ScenarioEvent, Server, Signal};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

async fn start() -> Server {
    Server::builder().metadata(Metadata::sample()).simulate().start().await.unwrap()
}

/// A long poll for the next change of this value. It has reached the server when this returns.
async fn poll(server: &Server, path: &str) -> JoinHandle<String> {
    let mut client = Client::connect(server).await;
    let tag = client.get(path).await.etag().to_owned();
    // With the tag, the answer is the same whether the change comes before or after the request.
    let path = format!("{path}?wait_for_change=true&last_etag={tag}");
    tokio::spawn(async move { client.get(&path).await.body })
}

/// The kind of error with which a connection fails; `None` if it is accepted.
async fn connect_error(server: &Server) -> Option<ErrorKind> {
    let address = server.address().socket_addr().unwrap();
    TcpStream::connect(address).await.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_long_poll_sees_each_state_of_a_preemption_that_is_advanced_by_hand() {
    let server = start().await;
    let mut events = server.scenarios().subscribe();
    let run = server.scenario("preemption").after(Duration::from_secs(5)).manual().run().await.unwrap();
    assert_eq!(run.state(), "Started");
    let preempted = poll(&server, "instance/preempted").await;
    run.advance(Duration::from_secs(4)).await.unwrap();
    assert!(!preempted.is_finished());
    run.advance(Duration::from_secs(1)).await.unwrap();
    assert_eq!((preempted.await.unwrap().as_str(), run.state().as_str()), ("TRUE", "Preempted"));

    let over = poll(&server, "instance/preempted").await;
    run.advance(Duration::from_secs(30)).await.unwrap();
    assert_eq!((over.is_finished(), run.state().as_str()), (false, "Off"));
    run.stop().await.unwrap();
    assert_eq!((over.await.unwrap().as_str(), run.state().as_str()), ("FALSE", "Started"));

    let mut signals = Vec::new();
    while let Ok(event) = events.try_recv() {
        signals.extend(event.signal());
    }
    assert_eq!(signals, [Signal::Term, Signal::Kill]);
}

#[tokio::test]
async fn a_long_poll_sees_each_state_of_a_graceful_shutdown() {
    let server = start().await;
    server.publisher().set("instance/shutdown-details/stop-state", "UNSPECIFIED").unwrap();
    let mut state = poll(&server, "instance/shutdown-details/stop-state").await;
    let run = server.scenario("graceful-shutdown").param("duration", "1m").manual().run().await.unwrap();
    for expected in ["PENDING_STOP", "STOPPING", "UNSPECIFIED"] {
        assert_eq!(state.await.unwrap(), expected);
        state = poll(&server, "instance/shutdown-details/stop-state").await;
        if expected == "STOPPING" {
            run.advance(Duration::from_secs(90)).await.unwrap();
            assert_eq!((run.state().as_str(), state.is_finished()), ("Off", false));
            run.step().await.unwrap();
        } else if expected == "PENDING_STOP" {
            run.advance(Duration::from_secs(60)).await.unwrap();
        }
    }
    assert!(run.step().await.is_err());
}

#[tokio::test]
async fn a_run_follows_the_clock_of_the_server() {
    let server = start().await;
    let run = server.scenario("live-migration").speed(100_000.0).run().await.unwrap();
    run.finished().await;
    assert_eq!(run.state(), "Started");
    let tree = server.publisher().reader().snapshot().tree().clone();
    assert_eq!(tree.text("instance/maintenance-event").unwrap(), "NONE");
    assert_ne!(tree.text("instance/virtual-clock/drift-token").unwrap(), "0");
}

#[tokio::test]
async fn a_reset_refuses_connections_until_the_machine_has_started_again() {
    let server = start().await;
    let run = server.scenario("reset").manual().run().await.unwrap();
    assert_eq!(connect_error(&server).await, Some(ErrorKind::ConnectionRefused));
    run.advance(Duration::from_secs(10)).await.unwrap();
    assert_eq!(connect_error(&server).await, None);
    assert_eq!(get(&server, "instance/preempted").await.body, "FALSE");
}

#[tokio::test]
async fn a_suspension_and_a_host_error_make_the_server_unreachable() {
    let server = start().await;
    let run = server.scenario("suspend-resume").manual().run().await.unwrap();
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Refuse));
    run.step().await.unwrap();
    assert!(server.readiness().is_ready());
    run.stop().await.unwrap();
    let run = server.scenario("host-error").manual().run().await.unwrap();
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Hang));
    run.step().await.unwrap();
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Refuse));
    run.stop().await.unwrap();
    assert!(server.readiness().is_ready());
}

#[tokio::test]
async fn the_readiness_before_a_run_is_put_back_unless_it_was_changed_meanwhile() {
    let server = start().await;
    server.readiness().set_not_ready(NotReady::Unavailable).await.unwrap();
    let run = server.scenario("mds-slow-start").manual().run().await.unwrap();
    assert_eq!(connect_error(&server).await, Some(ErrorKind::ConnectionRefused));
    run.step().await.unwrap();
    assert_eq!(get(&server, "instance/id").await.status, 503);

    server.readiness().set_ready().await.unwrap();
    let run = server.scenario("mds-slow-start").manual().run().await.unwrap();
    server.readiness().set_not_ready(NotReady::Hang).await.unwrap();
    run.step().await.unwrap();
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Hang));
}

#[tokio::test]
async fn a_blip_answers_503_to_each_request() {
    let server = start().await;
    let run = server.scenario("mds-blip").manual().run().await.unwrap();
    for path in ["instance/id", "instance/service-accounts/default/token"] {
        assert_eq!(get(&server, path).await.status, 503);
    }
    run.advance(Duration::from_millis(800)).await.unwrap();
    assert_eq!(get(&server, "instance/id").await.status, 200);
    assert!(server.faults().list().is_empty());
}

#[tokio::test]
async fn tokens_are_refused_or_throttled_and_other_values_are_not() {
    let server = start().await;
    for (name, status) in [("token-outage", 503), ("token-throttle", 429)] {
        let run = server.scenario(name).param("times", 2).manual().run().await.unwrap();
        assert_eq!(get(&server, "instance/id").await.status, 200);
        for (path, expected) in [("token", status), ("identity?audience=a", status), ("token", 200)] {
            assert_eq!(get(&server, &format!("instance/service-accounts/default/{path}")).await.status, expected);
        }
        run.stop().await.unwrap();
    }
    let run = server.scenario("token-outage").manual().run().await.unwrap();
    run.advance(Duration::from_secs(29)).await.unwrap();
    assert_eq!(get(&server, "instance/service-accounts/default/token").await.status, 503);
    run.advance(Duration::from_secs(1)).await.unwrap();
    assert_eq!(get(&server, "instance/service-accounts/default/token").await.status, 200);
}

#[tokio::test]
async fn a_strict_migration_is_announced_only_to_programs_that_have_asked() {
    let server = start().await;
    let migrate = async || {
        let run = server.scenario("live-migration").param("strict", true).manual().run().await.unwrap();
        let state = run.state();
        run.stop().await.unwrap();
        state
    };
    get(&server, "instance/preempted").await;
    get(&server, "instance/").await;
    assert_eq!(migrate().await, "Migrated", "nothing was announced");
    get(&server, "instance/maintenance-event").await;
    assert_eq!(migrate().await, "Announced");
    assert_eq!(migrate().await, "Migrated", "not asked since the last event");
    get(&server, "?recursive=true").await;
    assert_eq!(migrate().await, "Announced");
}

#[tokio::test]
async fn a_value_that_a_test_has_changed_stays_after_a_run() {
    let server = start().await;
    let mut events = server.scenarios().subscribe();
    let run = server.scenario("host-termination").manual().run().await.unwrap();
    server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
    run.stop().await.unwrap();
    assert_eq!(get(&server, "instance/maintenance-event").await.body, "MIGRATE_ON_HOST_MAINTENANCE");
    let mut ended = events.recv().await.unwrap();
    while !matches!(ended, ScenarioEvent::Ended { .. }) {
        ended = events.recv().await.unwrap();
    }
    let ScenarioEvent::Ended { kept, reason, .. } = ended else { panic!("{ended:?}") };
    assert_eq!((kept, reason), (vec!["instance/maintenance-event".to_owned()], EndReason::Stopped));
}

#[tokio::test]
async fn a_run_is_over_for_its_handle_after_the_server_has_stopped() {
    let server = start().await;
    let run = server.scenario("reset").manual().run().await.unwrap();
    assert!(server.shutdown().await);
    run.stop().await.unwrap();
    assert_eq!(run.state(), "Started");
}

#[tokio::test]
async fn a_server_that_does_not_simulate_has_no_scenarios() {
    let server = Server::builder().start().await.unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(server.scenario("preemption")))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("ServerBuilder::simulate"));
}
