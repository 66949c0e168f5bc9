//! Reads definitions from JSON by hand, so that an error has the pointer of its member.

use super::definition::{Definition, STARTED, State};
use super::effects::reachable;
use super::error::ScenarioError;
use super::placeholders;
use super::signal::Signal;
use crate::json_pointer::child;
use gce_metadata_support::duration;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest duration of a scenario: a hundred years, so that times can be added.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);

/// The limit on the number of states.
const MAX_STATES: usize = 1000;

impl Definition {
    /// Parses a definition; `pointer` is its place in the document.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, ScenarioError> {
        let mut definition = Self::default();
        for (name, value) in object(value, pointer)? {
            let pointer = child(pointer, name);
            match name.as_str() {
                "description" => definition.description = text(value, &pointer)?.to_owned(),
                "states" => definition.states = states(value, &pointer)?,
                "end" => definition.end = Some(time(value, &pointer)?),
                "keep" => definition.keep = keep(value, &pointer)?,
                _ => return Err(unknown(&pointer, "description, states, end or keep")),
            }
        }
        if definition.states.is_empty() {
            return Err(ScenarioError::invalid(child(pointer, "states"), "at least one state is expected"));
        }
        Ok(definition)
    }
}

fn states(value: &Value, pointer: &str) -> Result<Vec<State>, ScenarioError> {
    let items = array(value, pointer)?;
    if items.len() > MAX_STATES {
        return Err(ScenarioError::invalid(pointer, format!("at most {MAX_STATES} states are possible")));
    }
    let mut states: Vec<State> = Vec::with_capacity(items.len());
    for (index, value) in items.iter().enumerate() {
        let pointer = child(pointer, &index.to_string());
        let state = state(value, &pointer)?;
        let wrong = |detail| Err(ScenarioError::invalid(child(&pointer, "state"), detail));
        if state.name.is_empty() {
            return wrong("a state has a name");
        }
        if state.name == STARTED {
            return wrong("`Started` is the state of a scenario that does not run: choose another name");
        }
        if states.iter().any(|other| other.name == state.name) {
            return wrong("another state has this name");
        }
        states.push(state);
    }
    Ok(states)
}

fn state(value: &Value, pointer: &str) -> Result<State, ScenarioError> {
    let mut state = State::default();
    for (name, value) in object(value, pointer)? {
        let pointer = child(pointer, name);
        match name.as_str() {
            "state" => state.name = text(value, &pointer)?.to_owned(),
            "after" => state.after = time(value, &pointer)?,
            "patch" => state.patch = Some(patch(value, &pointer)?),
            "faults" => state.faults = faults(value, &pointer)?,
            "signal" => {
                let signal = Signal::from_name(text(value, &pointer)?);
                let expected = || ScenarioError::invalid(&pointer, format!("expected one of {}", Signal::names()));
                state.signal = Some(signal.ok_or_else(expected)?);
            }
            "reachable" => {
                let expected =
                    || ScenarioError::invalid(&pointer, "expected true, false, \"refuse\", \"503\" or \"hang\"");
                state.not_ready = reachable(value).ok_or_else(expected)?;
            }
            _ => return Err(unknown(&pointer, "state, after, patch, faults, signal or reachable")),
        }
    }
    Ok(state)
}

fn patch(value: &Value, pointer: &str) -> Result<Value, ScenarioError> {
    let members = object(value, pointer)?;
    if members.contains_key("computeMetadata") {
        let detail = "a patch has the keys below v1, such as {\"instance\": {\"preempted\": \"TRUE\"}}";
        return Err(ScenarioError::invalid(child(pointer, "computeMetadata"), detail));
    }
    if let Some((name, value)) = members.iter().find(|(_, value)| !value.is_object()) {
        let what = if value.is_null() { "can't be removed" } else { "is an object" };
        return Err(ScenarioError::invalid(child(pointer, name), format!("`{name}` {what}")));
    }
    placeholders::check(value, pointer)?;
    Ok(value.clone())
}

fn faults(value: &Value, pointer: &str) -> Result<Vec<Value>, ScenarioError> {
    let items = array(value, pointer)?;
    for (index, item) in items.iter().enumerate() {
        object(item, &child(pointer, &index.to_string()))?;
    }
    Ok(items.clone())
}

fn keep(value: &Value, pointer: &str) -> Result<Vec<String>, ScenarioError> {
    let paths = array(value, pointer)?.iter().enumerate();
    paths.map(|(index, path)| text(path, &child(pointer, &index.to_string())).map(str::to_owned)).collect()
}

pub(super) fn object<'a>(value: &'a Value, pointer: &str) -> Result<&'a Map<String, Value>, ScenarioError> {
    value.as_object().ok_or_else(|| ScenarioError::invalid(pointer, "an object is expected"))
}

fn array<'a>(value: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, ScenarioError> {
    value.as_array().ok_or_else(|| ScenarioError::invalid(pointer, "a list is expected"))
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, ScenarioError> {
    value.as_str().ok_or_else(|| ScenarioError::invalid(pointer, "a string is expected"))
}

/// A duration: a text such as `1m30s`, or a number of seconds.
pub(super) fn time(value: &Value, pointer: &str) -> Result<Duration, ScenarioError> {
    let duration = match value {
        Value::String(text) => duration::parse(text),
        _ => value.as_u64().map(Duration::from_secs),
    };
    let duration = duration.ok_or_else(|| ScenarioError::no_duration(pointer))?;
    if duration > MAX_DURATION {
        return Err(ScenarioError::invalid(pointer, "at most 36500d are possible"));
    }
    Ok(duration)
}

pub(super) fn unknown(pointer: &str, expected: &str) -> ScenarioError {
    ScenarioError::invalid(pointer, format!("there is no such member: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_is_written_as_it_is_read() {
        let document = json!({
            "description": "a drain", "end": "1m30s", "keep": ["instance/virtual-clock/drift-token"],
            "states": [
                {"state": "Notice", "after": "0s", "patch": {"instance": {"preempted": "TRUE"}}},
                {"state": "Off", "after": "250ms", "signal": "KILL", "reachable": false, "faults": [{"response": {"status": 503}}]},
                {"state": "Hung", "after": "1d", "reachable": "hang"},
            ],
        });
        let definition = Definition::parse(&document, "").unwrap();
        assert_eq!(definition.json(), document);
        assert_eq!(definition.offsets(), [0, 250, 86_400_250, 86_490_250].map(Duration::from_millis));
        assert_eq!(definition.state_names(), ["Started", "Notice", "Off", "Hung"]);
    }

    #[test]
    fn a_wrong_member_is_named_by_its_pointer() {
        let state = |state: Value| json!({"states": [{"state": "First"}, state]});
        for (document, pointer, detail) in [
            (json!([]), "", "object"),
            (json!({}), "/states", "at least one"),
            (json!({"states": []}), "/states", "at least one"),
            (json!({"states": {}}), "/states", "list"),
            (json!({"state": 1}), "/state", "no such member"),
            (json!({"end": "soon"}), "/end", "number of seconds"),
            (json!({"keep": [1]}), "/keep/0", "string"),
            (state(json!({})), "/states/1/state", "has a name"),
            (state(json!({"state": "Started"})), "/states/1/state", "does not run"),
            (state(json!({"state": "First"})), "/states/1/state", "another state"),
            (state(json!({"state": "a", "after": -1})), "/states/1/after", "number of seconds"),
            (state(json!({"state": "a", "after": "36501d"})), "/states/1/after", "36500d"),
            (state(json!({"state": "a", "wait": "1s"})), "/states/1/wait", "no such member"),
            (state(json!({"state": "a", "signal": "BREAK"})), "/states/1/signal", "TERM"),
            (state(json!({"state": "a", "reachable": "no"})), "/states/1/reachable", "hang"),
            (state(json!({"state": "a", "faults": ["503"]})), "/states/1/faults/0", "object"),
            (
                state(json!({"state": "a", "patch": {"computeMetadata": {}}})),
                "/states/1/patch/computeMetadata",
                "below v1",
            ),
            (state(json!({"state": "a", "patch": {"instance": null}})), "/states/1/patch/instance", "can't be removed"),
            (
                state(json!({"state": "a", "patch": {"instance": {"a/b": "{{now+1x}}"}}})),
                "/states/1/patch/instance/a~1b",
                "placeholder",
            ),
        ] {
            let Err(ScenarioError::Invalid { pointer: found, detail: text }) = Definition::parse(&document, "") else {
                panic!("{document} is accepted");
            };
            assert_eq!(found, pointer, "{document}");
            assert!(text.contains(detail), "{text}");
        }
    }
}
