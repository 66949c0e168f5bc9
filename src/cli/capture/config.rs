//! The config of a captured server: completed with values that no listing has, compared, and written as JSON.

use super::redact;
use super::replay::Replay;
use super::walk::Captured;
use gce_metadata_server::routes::Dump;

/// Completes the dump, and adds a note for each answer that the config is not served with.
pub(super) async fn complete(captured: &mut Captured, notes: &mut Vec<String>) -> Dump {
    let mut dump = captured.dump.clone();
    let mut replay = match Replay::start(&dump).await {
        Ok(replay) => replay,
        Err(error) => {
            notes.push(format!("the config can't be served: {error:#}"));
            return dump;
        }
    };
    // The server has defaults for most values that GCE does not list. In a config they would be listed.
    for (path, value) in &captured.unlisted {
        let Some(answer) = captured.answers.get(path) else { continue };
        let mut completed = dump.clone();
        if replay.difference(path, answer).await.is_some()
            && completed.insert(path, value.clone())
            && let Ok(with_value) = Replay::start(&completed).await
            && with_value.difference(path, answer).await.is_none()
        {
            (dump, replay) = (completed, with_value);
            notes.push(format!("{path}: not listed by this server, but listed when served from the config"));
        }
    }
    for (path, answer) in &captured.answers {
        if let Some(difference) = replay.difference(path, answer).await {
            notes.push(format!("{}: {difference}", if path.is_empty() { "/" } else { path }));
        }
    }
    dump
}

/// The config as indented JSON.
pub(super) fn text(dump: &Dump, redact: bool) -> anyhow::Result<String> {
    let json = serde_json::to_string_pretty(dump.json())? + "\n";
    Ok(if redact { redact::json(&json, "") } else { json })
}
