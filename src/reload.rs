//! Follows the config file: whatever way it changes, its new content is published, and a mistake in it changes nothing.

use crate::blocking::retrying;
use crate::config::ConfigFile;
use gce_metadata_routes::{Publisher, Tree};
use gce_metadata_tokens::follow::Follow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// How often a changed config was loaded and refused.
#[derive(Debug, Default)]
pub struct ReloadCounts {
    good: AtomicU64,
    bad: AtomicU64,
    last_was_bad: AtomicBool,
}

impl ReloadCounts {
    /// Changes that were taken over.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Changes that could not be, so that the metadata stayed as it was.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// Whether what the file says is what is served.
    pub fn last_was_good(&self) -> bool {
        !self.last_was_bad.load(Ordering::Relaxed)
    }

    fn count(&self, good: bool) {
        let counter = if good { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_was_bad.store(!good, Ordering::Relaxed);
    }
}

/// Loads the file again and again. Runs until it is dropped.
pub(crate) struct Reload {
    file: ConfigFile,
    publisher: Publisher,
    counts: Arc<ReloadCounts>,
    /// Notified when the file is to be loaded at once.
    wanted: Arc<Notify>,
    /// The tree of what was loaded last, without what others have changed in it.
    of_config: Tree,
    /// What was loaded last, good or bad; an event that changed nothing is not worth a line in the log.
    last: Result<Vec<u8>, String>,
    /// It is to be loaded though it is the same as before.
    must_load: bool,
    /// Somebody wants what the file says, as soon as it says something that can be served.
    is_asked_for: bool,
}

impl Reload {
    /// `loaded` is what the file had when it was read first, `of_config` its tree.
    pub(crate) fn new(
        file: ConfigFile,
        loaded: Vec<u8>,
        of_config: Tree,
        publisher: Publisher,
        counts: Arc<ReloadCounts>,
        wanted: Arc<Notify>,
    ) -> Self {
        let last = Ok(loaded);
        Self { file, publisher, counts, wanted, of_config, last, must_load: false, is_asked_for: false }
    }

    pub(crate) async fn run(self) {
        let path = self.file.path().to_owned();
        let (mut follow, wanted) = (Follow::new(vec![path.clone()]), Arc::clone(&self.wanted));
        let this = Arc::new(Mutex::new(self));
        loop {
            let is_asked_for = tokio::select! {
                () = follow.changed() => false,
                () = wanted.notified() => true,
            };
            if is_asked_for {
                tracing::info!(path = %path.display(), "reload asked for");
                lock(&this).ask();
            }
            // Reading may block, and building a large tree takes a while.
            let this = Arc::clone(&this);
            retrying(move || lock(&this).load()).await;
        }
    }

    fn ask(&mut self) {
        (self.must_load, self.is_asked_for) = (true, true);
    }

    fn load(&mut self) {
        let read = self.file.read();
        let is_the_same = match (&read, &self.last) {
            (Ok(bytes), Ok(last)) => bytes == last,
            (Err(error), Err(last)) => error.to_string() == *last,
            _ => false,
        };
        if !std::mem::take(&mut self.must_load) && is_the_same {
            return;
        }
        let made = read.as_ref().map_err(ToString::to_string).and_then(|bytes| {
            self.file.parse(bytes).map(|metadata| metadata.tree()).map_err(|error| error.to_string())
        });
        // Counted first: whoever sees the change finds it counted.
        self.counts.count(made.is_ok());
        match made {
            Ok(tree) => {
                let changed = self.publish(tree);
                let generation = self.publisher.reader().snapshot().generation();
                tracing::info!(path = %self.file.path().display(), changed, generation, "config reloaded");
            }
            Err(error) => tracing::error!("config not reloaded, the metadata stays as it was: {error}"),
        }
        self.last = read.map_err(|error| error.to_string());
    }

    /// Changes what has changed in the file; what has been set at run time stays. If somebody asked for the file, what guests
    /// have written stays.
    fn publish(&mut self, tree: Tree) -> bool {
        let is_asked_for = std::mem::take(&mut self.is_asked_for);
        let before = std::mem::replace(&mut self.of_config, tree);
        self.publisher.update(|current| {
            let rebased = current.rebased(&before, &self.of_config);
            if !is_asked_for {
                return rebased;
            }
            // Fails where an embedder has a computed leaf in their place.
            let of_config = self.of_config.with_guest_attributes(&rebased.guest_attributes());
            of_config.unwrap_or_else(|_| self.of_config.clone())
        })
    }
}

fn lock(reload: &Mutex<Reload>) -> std::sync::MutexGuard<'_, Reload> {
    reload.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::Metadata;
    use serde_json::json;

    #[test]
    fn a_mistake_is_told_of_once_whenever_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{").unwrap();
        let of_config = Metadata::from_json(json!({"instance": {"id": 1}})).unwrap().tree();
        let (publisher, counts) = (Publisher::new(of_config.clone()), Arc::new(ReloadCounts::default()));
        let file = ConfigFile::new(&path, crate::Overrides::default());
        let mut reload = Reload::new(file, vec![], of_config, publisher.clone(), Arc::clone(&counts), Arc::default());
        for bad in 1..=2 {
            reload.ask();
            for _ in 0..3 {
                reload.load();
                assert_eq!((counts.bad(), counts.last_was_good()), (bad, false));
            }
        }
        publisher.set("instance/name", "edited").unwrap();
        std::fs::write(&path, r#"{"computeMetadata":{"v1":{"instance":{"id":1}}}}"#).unwrap();
        reload.load();
        assert_eq!((counts.bad(), counts.good(), counts.last_was_good()), (2, 1, true));
        assert!(publisher.reader().snapshot().tree().get("instance/name").is_none(), "what was asked for has come");
    }
}
