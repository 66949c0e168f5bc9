//! The changes of `capture --follow` as the states of a scenario, and the simulation file that contains the scenario.

use super::merge_patch;
use super::redact;
use gce_metadata_server::routes::Tree;
use gce_metadata_support::duration::to_text;
use serde_json::{Value, json};
use std::time::Duration;

/// The name of the scenario in the file.
const SCENARIO: &str = "captured";

/// The limit on the number of states of a scenario.
const MAX_STATES: usize = 1000;

/// The states of a scenario, each with the time since the state before and the merge patch of a change.
#[derive(Debug)]
pub(super) struct Recording {
    /// All metadata after the last change.
    metadata: Value,
    /// The time of the last state since the start, in whole milliseconds as the file has it.
    last: Duration,
    states: Vec<Value>,
}

impl Recording {
    /// A recording that starts with this metadata.
    pub(super) fn new(mut metadata: Value) -> Self {
        remove_tokens(&mut metadata);
        Self { metadata, last: Duration::ZERO, states: Vec::new() }
    }

    /// Adds the change to this metadata, at this time since the start. Returns the paths of the changed values.
    pub(super) fn add(&mut self, at: Duration, mut metadata: Value) -> Vec<String> {
        remove_tokens(&mut metadata);
        let Some(patch) = merge_patch::between(&self.metadata, &metadata) else { return Vec::new() };
        self.metadata = metadata;
        let paths = Tree::parts_of_patch(&patch).into_iter().map(|(path, _)| path).collect();
        let at = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        let name = format!("Change{}", self.states.len() + 1);
        self.states.push(json!({"state": name, "after": to_text(at.saturating_sub(self.last)), "patch": patch}));
        self.last = at;
        paths
    }

    /// The number of states.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether a scenario can't have more states.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_STATES
    }

    /// The simulation file as indented JSON.
    pub(super) fn simulation_file(&self, description: &str, redact: bool) -> anyhow::Result<String> {
        let scenario = json!({"description": description, "states": self.states});
        let document = json!({"version": 1, "scenarios": {SCENARIO: scenario}});
        let json = serde_json::to_string_pretty(&document)? + "\n";
        Ok(if redact { redact::json(&json, "") } else { json })
    }
}

/// Removes the tokens of service accounts. Recursion of GCE has none, but another server's may.
fn remove_tokens(metadata: &mut Value) {
    let accounts = metadata.pointer_mut("/instance/serviceAccounts").and_then(Value::as_object_mut);
    for account in accounts.into_iter().flat_map(|accounts| accounts.values_mut()).filter_map(Value::as_object_mut) {
        account.remove("token");
        account.remove("identity");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(value: Value) -> Value {
        json!({"instance": value})
    }

    fn states(recording: &Recording, redact: bool) -> Value {
        let file = recording.simulation_file("test", redact).unwrap();
        serde_json::from_str::<Value>(&file).unwrap()["scenarios"]["captured"]["states"].take()
    }

    #[test]
    fn each_change_is_a_state_with_the_time_since_the_state_before() {
        let mut recording =
            Recording::new(instance(json!({"preempted": "FALSE", "virtualClock": {"driftToken": "0"}})));
        assert!(recording.add(Duration::from_secs(1), recording.metadata.clone()).is_empty(), "nothing has changed");
        let changed = instance(json!({"preempted": "TRUE", "virtualClock": {"driftToken": "0"}}));
        assert_eq!(recording.add(Duration::from_micros(1_500_900), changed), ["instance/preempted"]);
        assert_eq!(
            recording.add(Duration::from_micros(62_001_800), instance(json!({"preempted": "TRUE"}))),
            ["instance/virtual-clock"]
        );
        assert_eq!(
            states(&recording, false),
            json!([
                {"state": "Change1", "after": "1s500ms", "patch": {"instance": {"preempted": "TRUE"}}},
                {"state": "Change2", "after": "1m501ms", "patch": {"instance": {"virtualClock": null}}},
            ])
        );
    }

    #[test]
    fn changed_secrets_are_redacted() {
        let mut recording = Recording::new(instance(json!({"attributes": {"ssh-keys": "a"}})));
        recording.add(Duration::ZERO, instance(json!({"attributes": {"ssh-keys": "ada:key", "color": "blue"}})));
        let patch = |redact| states(&recording, redact)[0]["patch"]["instance"]["attributes"].take();
        assert_eq!(patch(true), json!({"ssh-keys": "xxxxxxx", "color": "blue"}));
        assert_eq!(patch(false), json!({"ssh-keys": "ada:key", "color": "blue"}));
    }

    #[test]
    fn tokens_are_not_recorded() {
        let accounts = |token: &str| {
            let account = json!({"email": "a@example.com", "token": {"access_token": token}, "identity": token});
            instance(json!({"serviceAccounts": {"default": account}}))
        };
        let mut recording = Recording::new(accounts("ya29.first"));
        assert!(recording.add(Duration::ZERO, accounts("ya29.second")).is_empty());
        let mut moved = accounts("ya29.third");
        moved["instance"]["serviceAccounts"]["default"]["email"] = "b@example.com".into();
        recording.add(Duration::ZERO, moved);
        let patch = json!({"instance": {"serviceAccounts": {"default": {"email": "b@example.com"}}}});
        assert_eq!(states(&recording, false)[0]["patch"], patch);
    }
}
