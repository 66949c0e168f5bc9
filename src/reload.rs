//! Reloads the config file when it changes or when a reload is requested, and publishes the difference. If the new content is
//! invalid, the metadata stays as it is.

use crate::blocking::retrying;
use crate::config::{ConfigError, ConfigFile};
use gce_metadata_routes::{Publisher, Tree};
use gce_metadata_tokens::follow::Follow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The number of reloads of a server's files of one kind, by outcome: of the config file, or of its simulation files.
#[derive(Debug, Default)]
pub struct ReloadCounts {
    good: AtomicU64,
    bad: AtomicU64,
    last_was_bad: AtomicBool,
}

impl ReloadCounts {
    /// Reloads whose content is served.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Reloads that failed: the file could not be read or was invalid, and what was served before stayed.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// Whether the last reload succeeded; `true` before the first one. If not, an older content of the file is served.
    pub fn last_was_good(&self) -> bool {
        !self.last_was_bad.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, good: bool) {
        let counter = if good { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_was_bad.store(!good, Ordering::Relaxed);
    }
}

/// Loads the config file and publishes what has changed in it. Clones load the same file.
#[derive(Clone)]
pub(crate) struct Reload {
    path: PathBuf,
    /// Locked while the file is loaded, so that loads take turns.
    loader: Arc<Mutex<Loader>>,
}

struct Loader {
    file: ConfigFile,
    publisher: Publisher,
    counts: Arc<ReloadCounts>,
    /// The tree of the last valid file content, without run-time edits.
    of_config: Tree,
    /// The last content or read error. A file event that did not change it is ignored.
    last: Result<Vec<u8>, String>,
    /// The findings about the last content are logged, or it has none because it is not served.
    has_logged_findings: bool,
    /// The next valid content discards run-time edits, because a reload was requested.
    discard_edits: bool,
}

impl Reload {
    /// `loaded` is the content of the file at start, and `of_config` is its tree.
    pub(crate) fn new(
        file: ConfigFile,
        loaded: Vec<u8>,
        of_config: Tree,
        publisher: Publisher,
        counts: Arc<ReloadCounts>,
    ) -> Self {
        let path = file.path().to_owned();
        let last = Ok(loaded);
        let (has_logged_findings, discard_edits) = (false, false);
        let loader = Loader { file, publisher, counts, of_config, last, has_logged_findings, discard_edits };
        Self { path, loader: Arc::new(Mutex::new(loader)) }
    }

    /// Loads the file each time it changes, and logs the findings about its contents, that at the start included. Runs until it is dropped.
    pub(crate) async fn follow(self) {
        let mut follow = Follow::new(vec![self.path.clone()]);
        loop {
            // The first time, as soon as the file is watched.
            follow.changed().await;
            self.with_loader(Loader::load_if_changed).await;
        }
    }

    /// Loads the file, changed or not, and discards run-time edits. Returns whether the metadata changed.
    pub(crate) async fn reload(&self) -> Result<bool, ConfigError> {
        tracing::info!(path = %self.path.display(), "reload asked for");
        self.with_loader(Loader::reload).await
    }

    /// Does what [`reload`](Self::reload) does, and returns the metadata of the file, without run-time edits.
    pub(crate) async fn reset(&self) -> Result<Tree, ConfigError> {
        tracing::info!(path = %self.path.display(), "reset requested");
        self.with_loader(|loader| loader.reload().map(|_| loader.of_config.clone())).await
    }

    /// The metadata of the file as it was last loaded, without run-time edits.
    pub(crate) async fn of_config(&self) -> Tree {
        self.with_loader(|loader| loader.of_config.clone()).await
    }

    /// Runs `work` on a thread that may block: reading a file may block, and building a large tree takes long.
    async fn with_loader<T: Send + 'static>(&self, work: fn(&mut Loader) -> T) -> T {
        let loader = Arc::clone(&self.loader);
        retrying(move || work(&mut loader.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl Loader {
    fn reload(&mut self) -> Result<bool, ConfigError> {
        self.discard_edits = true;
        let read = self.file.read();
        self.load(read)
    }

    fn load_if_changed(&mut self) {
        let read = self.file.read();
        let is_same = match (&read, &self.last) {
            (Ok(bytes), Ok(last)) => bytes == last,
            (Err(error), Err(last)) => error.to_string() == *last,
            _ => false,
        };
        if is_same {
            // Those of the content at start: not part of the start, which would take twice as long with a large config.
            self.log_findings();
        } else {
            // An error is logged and counted, and the next change of the file is another attempt.
            let _ = self.load(read);
        }
    }

    fn load(&mut self, read: Result<Vec<u8>, ConfigError>) -> Result<bool, ConfigError> {
        self.log_findings();
        self.last = read.as_ref().map(Vec::clone).map_err(ToString::to_string);
        let tree = read.and_then(|bytes| Ok(self.file.parse(&bytes)?.tree()));
        self.has_logged_findings = tree.is_err();
        // Counted before it is published: a client that sees the change finds it counted.
        self.counts.count(tree.is_ok());
        let changed = tree.map(|tree| self.publish(tree));
        match &changed {
            Ok(paths) => {
                let generation = self.publisher.reader().snapshot().generation();
                let changed = abridged(paths);
                tracing::info!(path = %self.file.path().display(), changed, generation, "config reloaded");
            }
            Err(error) => tracing::error!("config not reloaded, the metadata stays as it was: {error}"),
        }
        self.log_findings();
        changed.map(|paths| !paths.is_empty())
    }

    /// Logs the findings of `check-config` about the last content. That takes as long as loading it, so it is served first.
    fn log_findings(&mut self) {
        if !std::mem::replace(&mut self.has_logged_findings, true)
            && let Ok(content) = &self.last
        {
            self.file.log_findings(content);
        }
    }

    /// Publishes the difference between the previous content of the file and this one. Run-time edits are kept, unless a reload
    /// was requested: it keeps guest attributes only. Returns the paths that changed.
    fn publish(&mut self, tree: Tree) -> Vec<String> {
        let discard_edits = std::mem::take(&mut self.discard_edits);
        let before = std::mem::replace(&mut self.of_config, tree);
        let mut paths = Vec::new();
        let is_changed = self.publisher.update(|current| {
            let rebased = current.rebased(&before, &self.of_config);
            let new = if discard_edits {
                // Fails if an embedder has a computed leaf in place of the guest attributes.
                let of_config = self.of_config.with_guest_attributes(&rebased.guest_attributes());
                of_config.unwrap_or_else(|_| self.of_config.clone())
            } else {
                rebased
            };
            paths = current.changed_paths(&new);
            new
        });
        // The publisher compares whole trees, with the computed leaves that it adds.
        if is_changed { paths } else { Vec::new() }
    }
}

/// The first paths, and the number of the others.
fn abridged(paths: &[String]) -> String {
    const SHOWN: usize = 5;
    match paths.len() {
        0 => "nothing".to_owned(),
        count if count <= SHOWN => paths.join(", "),
        count => format!("{} and {} more", paths[..SHOWN].join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_log::CapturedLog;
    use gce_metadata_routes::Metadata;
    use serde_json::json;
    use std::path::Path;

    fn config(folder: &Path) -> (PathBuf, Reload, Publisher, Arc<ReloadCounts>) {
        let path = folder.join("config.json");
        let of_config = Metadata::from_json(json!({"instance": {"id": 1, "zone": "z"}})).unwrap().tree();
        let (publisher, counts) = (Publisher::new(of_config.clone()), Arc::new(ReloadCounts::default()));
        let file = ConfigFile::new(&path, crate::Overrides::default());
        let reload = Reload::new(file, vec![], of_config, publisher.clone(), Arc::clone(&counts));
        (path, reload, publisher, counts)
    }

    #[test]
    fn an_invalid_file_is_counted_once_per_requested_reload() {
        let folder = tempfile::tempdir().unwrap();
        let (path, reload, publisher, counts) = config(folder.path());
        let mut loader = reload.loader.lock().unwrap();
        std::fs::write(&path, "{").unwrap();
        for bad in 1..=2 {
            loader.reload().unwrap_err();
            for _ in 0..2 {
                loader.load_if_changed();
                assert_eq!((counts.bad(), counts.last_was_good()), (bad, false));
            }
        }
        publisher.set("instance/name", "edited").unwrap();
        std::fs::write(&path, r#"{"computeMetadata":{"v1":{"instance":{"id":1,"zone":"z"}}}}"#).unwrap();
        loader.load_if_changed();
        assert_eq!((counts.bad(), counts.good(), counts.last_was_good()), (2, 1, true));
        assert!(publisher.reader().snapshot().tree().get("instance/name").is_none(), "the edit is discarded");
    }

    #[test]
    fn the_log_line_of_a_reload_names_the_changed_paths() {
        let folder = tempfile::tempdir().unwrap();
        let (path, reload, _, _) = config(folder.path());
        let log = CapturedLog::start();
        let mut loader = reload.loader.lock().unwrap();
        let many: Vec<_> = (1..10).map(|number| format!("\"a{number}\": \"hidden\"")).collect();
        let many = format!("{{\"id\": 1, \"zone\": \"z\", \"attributes\": {{{}}}}}", many.join(","));
        for instance in
            [r#"{"id": 2, "zone": "z", "attributes": {}}"#, r#"{"id": 2, "zone": "z", "attributes": {}}"#, &*many]
        {
            std::fs::write(&path, format!("{{\"instance\": {instance}}}")).unwrap();
            loader.reload().unwrap();
        }
        let lines: Vec<_> = log.lines().into_iter().filter(|line| line.contains("config reloaded")).collect();
        let expected = [
            "changed=\"instance/attributes/, instance/id\"",
            "changed=\"nothing\"",
            "changed=\"instance/attributes/a1, instance/attributes/a2, instance/attributes/a3, instance/attributes/a4, \
             instance/attributes/a5 and 5 more\"",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, changed) in lines.iter().zip(expected) {
            assert!(line.contains(changed) && !line.contains("hidden"), "{line}");
        }
    }

    #[tokio::test]
    async fn a_requested_reload_returns_whether_the_metadata_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, reload, publisher, _) = config(folder.path());
        std::fs::write(&path, r#"{"computeMetadata":{"v1":{"instance":{"id":2,"zone":"z"}}}}"#).unwrap();
        assert!(reload.reload().await.unwrap());
        assert!(!reload.reload().await.unwrap(), "the file and the metadata are the same");
        publisher.set("instance/id", 3).unwrap();
        assert!(reload.clone().reload().await.unwrap(), "the edit is discarded");
        std::fs::remove_file(&path).unwrap();
        let generation = publisher.reader().snapshot().generation();
        assert!(matches!(reload.reload().await, Err(ConfigError::Unreadable { .. })));
        assert_eq!(publisher.reader().snapshot().generation(), generation);
    }
}
