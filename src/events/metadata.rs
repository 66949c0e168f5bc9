//! Reports each change of the metadata.

use super::{EventKind, Events};
use gce_metadata_routes::{Publisher, Snapshot};
use serde_json::{Value, json};

/// The number of paths that an event names.
const MAX_PATHS: usize = 100;

/// Reports the changes that this publisher publishes.
pub(crate) fn report_metadata(publisher: &Publisher, events: Events) {
    publisher.announce(move |before, after| {
        let event = events.prepare(EventKind::Metadata, || changed(before, after))?;
        Some(Box::new(|| event.emit()))
    });
}

fn changed(before: &Snapshot, after: &Snapshot) -> Value {
    let mut paths = before.tree().changed_paths(after.tree());
    let omitted = paths.len().saturating_sub(MAX_PATHS);
    paths.truncate(MAX_PATHS);
    let mut data = json!({"generation": after.generation(), "paths": paths});
    if omitted > 0 {
        data["omittedPaths"] = omitted.into();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Log, LogStream, Record};
    use gce_metadata_routes::Metadata;
    use serde_json::Map;

    #[test]
    fn an_event_names_the_changed_paths_up_to_a_limit() {
        let log = Log::new(0);
        let publisher = Publisher::new(Metadata::sample().tree());
        report_metadata(&publisher, Events::new(Some(log.clone())));
        publisher.set("instance/preempted", true).unwrap();
        let stream = LogStream::new(&log, None).unwrap();
        publisher.set("instance/preempted", true).unwrap();
        publisher.clone().set("instance/preempted", false).unwrap();
        let many: Map<_, _> = (0..150).map(|number| (format!("a{number:03}"), "b".into())).collect();
        publisher.merge("instance/attributes", Value::from(many)).unwrap();
        let data = |record: &Record| match record {
            Record::Event(event) => event.data.clone(),
            other => panic!("{other:?}"),
        };
        let items = stream.available(9);
        assert_eq!(items.len(), 2, "an edit that changes nothing is none");
        assert_eq!(data(&items[0].record), json!({"generation": 2, "paths": ["instance/preempted"]}));
        let second = data(&items[1].record);
        assert_eq!(second["paths"].as_array().unwrap().len(), 100);
        assert_eq!((&second["generation"], &second["omittedPaths"]), (&3.into(), &50.into()));
    }
}
