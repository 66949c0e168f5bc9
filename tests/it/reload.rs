//! Reload of the config file while the server runs, for each way in which files are replaced.
//!
//! No test sleeps: a long poll reports that a change was published.

use crate::support::kubernetes_volume::KubernetesVolume;
use crate::support::{Answer, Client, eventually};
use gce_metadata_server::{Overrides, Server};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn config(value: &str) -> String {
    format!(r#"{{"computeMetadata":{{"v1":{{"instance":{{"attributes":{{"a":"{value}"}}}}}}}}}}"#)
}

struct Watched {
    server: Server,
    client: Client,
    last: Answer,
    _folder: TempDir,
}

impl Watched {
    /// Starts a server with the config file that `prepare` makes in a new folder and returns the path of.
    async fn new(prepare: impl FnOnce(&Path) -> PathBuf) -> (Self, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = prepare(folder.path());
        let server = Server::builder().metadata_file(&file).start().await.unwrap();
        let mut client = Client::connect(&server).await;
        let last = client.get("instance/attributes/a").await;
        assert_eq!(last.body, "1");
        (Self { server, client, last, _folder: folder }, file)
    }

    async fn of_plain_file() -> (Self, PathBuf) {
        Self::new(|folder| {
            let file = folder.join("config.json");
            std::fs::write(&file, config("1")).unwrap();
            file
        })
        .await
    }

    /// Returns the attribute's value after its next change since the last call.
    async fn changed(&mut self) -> &str {
        let tag = self.last.etag();
        self.last = self.client.get(&format!("instance/attributes/a?wait_for_change=true&last_etag={tag}")).await;
        &self.last.body
    }
}

#[tokio::test]
async fn a_config_written_in_place_is_reloaded() {
    let (mut watched, file) = Watched::of_plain_file().await;
    for value in ["2", "3", "4"] {
        std::fs::write(&file, config(value)).unwrap();
        assert_eq!(watched.changed().await, value);
    }
}

#[tokio::test]
async fn a_config_replaced_by_rename_is_reloaded() {
    let (mut watched, file) = Watched::of_plain_file().await;
    for value in ["2", "3", "4"] {
        let new = file.with_extension("new");
        std::fs::write(&new, config(value)).unwrap();
        std::fs::rename(&new, &file).unwrap();
        assert_eq!(watched.changed().await, value);
    }
}

#[tokio::test]
async fn a_config_in_a_kubernetes_volume_is_reloaded() {
    let mut volume = None;
    let (mut watched, _) = Watched::new(|folder| {
        volume = Some(KubernetesVolume::new(folder, &[("config.json", &config("1"))]));
        folder.join("config.json")
    })
    .await;
    for value in ["2", "3"] {
        volume.as_mut().unwrap().update(&[("config.json", &config(value))]);
        assert_eq!(watched.changed().await, value);
    }
}

#[tokio::test]
async fn a_config_in_a_recreated_folder_is_reloaded() {
    let (mut watched, file) = Watched::new(|folder| {
        let file = folder.join("deep/config.json");
        std::fs::create_dir(folder.join("deep")).unwrap();
        std::fs::write(&file, config("1")).unwrap();
        file
    })
    .await;
    for value in ["2", "3"] {
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        assert_eq!(watched.client.get("instance/attributes/a").await.status, 200, "the metadata is kept");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, config(value)).unwrap();
        assert_eq!(watched.changed().await, value);
    }
}

#[tokio::test]
async fn a_broken_config_changes_nothing_and_is_counted() {
    let (mut watched, file) = Watched::of_plain_file().await;
    let whole = config("2");
    // Replaced by rename, so that each is one change: a write in place could be read as an empty file in between.
    let replace = |content: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    for (bad, content) in [(1, &whole[..whole.len() / 2]), (2, r#"{"computeMetadata":{"v1":{"instance":[]}}}"#)] {
        replace(content);
        eventually("the bad reload is counted", async || {
            assert_eq!(watched.client.get("instance/attributes/a").await.body, "1");
            watched.server.reloads().bad() == bad
        })
        .await;
    }
    replace(&whole);
    assert_eq!(watched.changed().await, "2");
    assert_eq!((watched.server.reloads().good(), watched.server.reloads().bad()), (1, 2));
}

/// Opening a pipe blocks until its other end is opened. The server refuses it instead, and shutdown is not delayed.
#[tokio::test]
async fn a_pipe_in_place_of_the_config_is_refused() {
    let (mut watched, file) = Watched::of_plain_file().await;
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    eventually("the bad reload is counted", async || watched.server.reloads().bad() > 0).await;
    assert_eq!(watched.client.get("instance/attributes/a").await.body, "1");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, config("2")).unwrap();
    assert_eq!(watched.changed().await, "2");
}

#[tokio::test]
async fn a_requested_reload_discards_edits_and_returns_whether_the_metadata_changed() {
    let (mut watched, file) = Watched::of_plain_file().await;
    watched.server.publisher().set("instance/attributes/a", "edited").unwrap();
    assert_eq!(watched.changed().await, "edited");
    assert!(watched.server.reload().await.unwrap());
    assert_eq!(watched.changed().await, "1");
    assert!(!watched.server.reload().await.unwrap());
    assert_eq!((watched.server.reloads().good(), watched.server.reloads().bad()), (2, 0));
    std::fs::write(&file, config("2")).unwrap();
    // The server follows the file, and may have reloaded it already.
    watched.server.reload().await.unwrap();
    assert_eq!(watched.client.get("instance/attributes/a").await.body, "2");
}

#[tokio::test]
async fn a_server_without_a_config_file_has_nothing_to_reload() {
    let server = Server::builder().start().await.unwrap();
    server.publisher().set("project/project-id", "edited").unwrap();
    assert!(!server.reload().await.unwrap());
    assert_eq!(crate::support::get(&server, "project/project-id").await.body, "edited");
}

/// Edits are discarded when the file is valid again.
#[tokio::test]
async fn a_requested_reload_of_an_invalid_file_is_an_error() {
    let (mut watched, file) = Watched::of_plain_file().await;
    watched.server.publisher().set("instance/attributes/a", "edited").unwrap();
    assert_eq!(watched.changed().await, "edited");
    std::fs::write(&file, "{").unwrap();
    let error = watched.server.reload().await.unwrap_err().to_string();
    assert!(error.starts_with(&file.display().to_string()), "{error}");
    assert!(watched.server.reloads().bad() > 0);
    assert_eq!(watched.client.get("instance/attributes/a").await.body, "edited");
    std::fs::write(&file, config("1")).unwrap();
    assert_eq!(watched.changed().await, "1");
}

/// A reload applies the difference between the previous file and the new one, so edits of other keys stay.
#[tokio::test]
async fn edits_at_run_time_are_kept_over_a_reload() {
    let (mut watched, file) = Watched::of_plain_file().await;
    let publisher = watched.server.publisher().clone();
    publisher.set("instance/attributes/b", "edited").unwrap();
    publisher.set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
    std::fs::write(&file, config("2")).unwrap();
    assert_eq!(watched.changed().await, "2");
    let mut edited = async || {
        let event = watched.client.get("instance/maintenance-event").await.body;
        (watched.client.get("instance/attributes/b").await.body, event)
    };
    assert_eq!(edited().await, ("edited".into(), "MIGRATE_ON_HOST_MAINTENANCE".into()));
    publisher.set("instance/attributes/a", "edited").unwrap();
    assert_eq!(watched.changed().await, "edited");
    std::fs::write(&file, config("3")).unwrap();
    assert_eq!(watched.changed().await, "3", "the later of two changes wins");
}

#[tokio::test]
async fn overrides_apply_to_every_reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, config("1")).unwrap();
    let mut overrides = Overrides::default();
    overrides.project_id = Some("overridden".into());
    let server = Server::builder().metadata_file(&file).overrides(overrides).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let tag = client.get("instance/attributes/a").await.etag().to_owned();
    std::fs::write(&file, config("2")).unwrap();
    let changed = client.get(&format!("instance/attributes/a?wait_for_change=true&last_etag={tag}")).await;
    assert_eq!(changed.body, "2");
    assert_eq!(client.get("project/project-id").await.body, "overridden");
}
