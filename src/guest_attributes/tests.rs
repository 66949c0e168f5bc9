//! Tests of saving and restoring guest attributes: restarts, unwritable files, invalid files, concurrent saves.

use super::*;
use futures_util::future::{join, join_all};
use gce_metadata_routes::{Metadata, Publisher};

const KEY: &str = "instance/guest-attributes/ns/key";

async fn start(path: &Path, publisher: &Publisher) -> Result<Arc<GuestAttributesStore>, GuestAttributesError> {
    let lock = Lock::acquire(path)?;
    GuestAttributesStore::start(path.to_owned(), lock, publisher.reader(), Arc::new(())).await
}

fn restore(path: &Path) -> Result<Option<String>, String> {
    let restored = restored(path, &Metadata::sample().tree()).map_err(|error| error.to_string())?;
    Ok(restored.text(KEY))
}

#[tokio::test]
async fn attributes_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attributes.json");
    let publisher = Publisher::new(Metadata::sample().tree());
    let store = start(&path, &publisher).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
    publisher.set(KEY, "value").unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&store).save_changes(stop).await;
    assert_eq!(restore(&path), Ok(Some("value".into())));
    assert_eq!(restore(&folder.path().join("none")), Ok(None));
}

#[tokio::test]
async fn a_save_replaces_the_target_of_a_symbolic_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("attributes.json"), folder.path().join("link.json"));
    fs::write(&path, "{}").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let publisher = Publisher::new(Metadata::sample().tree());
    publisher.set(KEY, "value").unwrap();
    start(&link, &publisher).await.unwrap();
    assert!(link.is_symlink());
    assert_eq!(restore(&path), Ok(Some("value".into())));
}

/// The paused clock advances only while every task waits: here, between a failed attempt and its retry.
#[tokio::test(start_paused = true)]
async fn a_failed_save_is_retried() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    fs::create_dir(&away).unwrap();
    let path = away.join("attributes.json");
    let publisher = Publisher::new(Metadata::sample().tree());
    let store = start(&path, &publisher).await.unwrap();
    fs::remove_dir_all(&away).unwrap();
    publisher.set(KEY, "value").unwrap();
    let stop = CancellationToken::new();
    let saving = tokio::spawn(store.save_changes(stop.clone()));
    sleep(RETRY / 2).await;
    fs::create_dir(&away).unwrap();
    assert_eq!(restore(&path), Ok(None), "no retry before its time");
    sleep(RETRY).await;
    assert_eq!(restore(&path), Ok(Some("value".into())));
    stop.cancel();
    saving.await.unwrap();
}

#[tokio::test]
async fn the_error_of_an_invalid_file_names_position_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attributes.json");
    for (content, problem) in [
        ("{\"ns\": {\n\"key\": 5}}", ":2:8: at ns.key: a string is expected, not a number; "),
        ("{\"ns\": \"hidden\"}", ":1:8: at ns: an object is expected, not a string; "),
        ("\"hidden\"", ":1:1: at top level: an object is expected, not a string; "),
        ("{\"ns\": {\"key\"", ":1:13: at ns: EOF while parsing an object; "),
        ("{\"ns\": {\"key\": hidden}}", ":1:16: at ns.key: expected value; "),
        ("{\"ns\": {\"key\": \"hidden\\x\"}}", ":1:24: at ns.key: invalid escape; "),
        ("", ":1:0: at top level: EOF while parsing a value; "),
    ] {
        fs::write(&path, content).unwrap();
        let error = restore(&path).unwrap_err();
        assert!(error.contains(problem) && error.contains("remove it to begin anew"), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }
    let publisher = Publisher::new(Metadata::sample().tree());
    let error = start(&folder.path().join("none/file"), &publisher).await.unwrap_err();
    assert!(error.to_string().contains("none/file.lock: can't be written: No such file"), "{error}");
    // A file can't replace a directory.
    let error = start(folder.path(), &publisher).await.unwrap_err();
    assert!(error.to_string().contains(": can't be written: Is a directory"), "{error}");
}

/// Counts good and bad saves.
#[derive(Default)]
struct Saves([AtomicU64; 2]);

impl SaveEvents for Saves {
    fn saved(&self, ok: bool) {
        self.0[usize::from(!ok)].fetch_add(1, Ordering::Relaxed);
    }
}

impl Saves {
    fn counts(&self) -> [u64; 2] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn concurrent_saves_share_a_write_and_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    fs::create_dir(&away).unwrap();
    let path = away.join("attributes.json");
    let (publisher, saves) = (Publisher::new(Metadata::sample().tree()), Arc::new(Saves::default()));
    let lock = Lock::acquire(&path).unwrap();
    let store = GuestAttributesStore::start(path.clone(), lock, publisher.reader(), saves.clone()).await.unwrap();
    assert_eq!(saves.counts(), [1, 0]);
    let write = async |key: usize| {
        publisher.set(&format!("instance/guest-attributes/ns/key-{key}"), "value").unwrap();
        let saved = store.save().await;
        let is_on_disk = fs::read_to_string(&path).is_ok_and(|content| content.contains(&format!("\"key-{key}\":")));
        assert_eq!(saved.is_ok(), is_on_disk, "{key}");
        saved.is_ok()
    };
    // The writes are published during a save, so that they share the next one.
    let concurrent = async |keys: std::ops::Range<usize>| {
        let running = Arc::clone(&store.last).lock_owned().await;
        // `join_all` polls up to 30 futures once in their order before the next future is polled.
        join(join_all(keys.map(&write)), async { drop(running) }).await.0
    };
    assert!(concurrent(0..30).await.iter().all(|saved| *saved));
    assert_eq!(saves.counts(), [2, 0]);
    assert_eq!(store.problem(), None);

    fs::remove_dir_all(&away).unwrap();
    assert!(!concurrent(100..130).await.iter().any(|saved| *saved));
    assert_eq!(saves.counts(), [2, 1]);
    let problem = store.problem().unwrap();
    assert!(problem.ends_with("attributes.json: No such file or directory (os error 2)"), "{problem}");
    fs::create_dir(&away).unwrap();
    assert!(store.save().await.is_ok(), "the unsaved changes are saved now");
    assert!(
        restored(&path, &Metadata::sample().tree()).unwrap().text("instance/guest-attributes/ns/key-129").is_some()
    );
    assert_eq!(store.problem(), None);
}

/// A client may disconnect before its save is done.
#[tokio::test]
async fn a_save_continues_if_its_caller_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attributes.json");
    let publisher = Publisher::new(Metadata::sample().tree());
    let store = start(&path, &publisher).await.unwrap();
    publisher.set(KEY, "value").unwrap();
    let mut save = Box::pin(store.save());
    assert!(futures_util::poll!(&mut save).is_pending());
    drop(save);
    store.save().await.unwrap();
    assert_eq!(restore(&path), Ok(Some("value".into())));
}
