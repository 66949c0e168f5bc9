//! Changes a value, sees the change, and makes tokens expire in ten seconds. A test in the same process as the server needs no admin
//! API.
//!
//! `cargo test --example steer` is the test.

use gce_metadata_server::tokens::Behaviour;
use gce_metadata_server::{Metadata, Server};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().metadata(Metadata::sample()).start_blocking()?;

    // Change a value.
    server.publisher().set("instance/attributes/color", "blue")?;

    // See the change that wakes a long poll.
    let mut changes = server.vm().reader().changes();
    changes.mark_unchanged();
    server.publisher().set("instance/preempted", true)?;
    assert!(changes.has_changed()?);
    let snapshot = server.vm().reader().snapshot();
    assert_eq!(snapshot.tree().text("instance/preempted").as_deref(), Some("TRUE"));

    // Make tokens expire in ten seconds.
    let account = snapshot.tree().service_account("default").ok_or("no default account")?;
    let behaviour = Behaviour { lifetime: Some(Duration::from_secs(10)), ..Behaviour::default() };
    server.vm().tokens().behave(&account.email, behaviour)?;
    Ok(())
}

#[test]
fn steer() {
    main().unwrap();
}
