//! The value of `--scenario`: the name of a scenario, options of the run, and parameters of the scenario.

use gce_metadata_server::Simulation;
use serde_json::{Map, Value, json};
use std::str::FromStr;

/// A run of a scenario of the command line.
#[derive(Debug, Clone)]
pub(super) struct ScenarioOption(pub(super) Simulation);

impl FromStr for ScenarioOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().filter(|name| !name.is_empty() && !name.contains('='));
        let name = name.ok_or("the name of a scenario is expected first, such as preemption,in=5s")?;
        let mut run = Map::from_iter([("scenario".to_owned(), Value::from(name))]);
        let mut parameters = Map::new();
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part}: NAME=VALUE is expected"))?;
            let value = match key {
                "in" | "at" | "progression" => Value::from(value),
                // A wrong value is refused with the others, where a number or a boolean is expected.
                "speed" | "keep" => value.parse().unwrap_or_else(|_| Value::from(value)),
                _ => {
                    parameters.insert(key.to_owned(), value.into());
                    continue;
                }
            };
            run.insert(key.to_owned(), value);
        }
        if !parameters.is_empty() {
            run.insert("parameters".to_owned(), parameters.into());
        }
        let simulation = Simulation::from_json(&json!({"version": 1, "run": [run]}));
        let simulation = simulation.map_err(|error| error.to_string().replace("/run/0/", ""))?;
        Ok(Self(simulation.named(format!("--scenario {text}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_run_and_parameters_follow_the_name() {
        for text in [
            "preemption",
            "preemption,in=5s,notice=120",
            "my-drain,at=2030-01-01T12:00:00Z,speed=0.5,keep=true,progression=manual",
        ] {
            ScenarioOption::from_str(text).unwrap();
        }
        for (text, expected) in [
            ("", "the name of a scenario is expected first"),
            ("in=5s", "the name of a scenario is expected first"),
            ("preemption,5s", "5s: NAME=VALUE is expected"),
            ("preemption,in=soon", "in: a number of seconds is expected"),
            ("preemption,speed=fast", "speed: a number is expected"),
            ("preemption,keep=1", "keep: a boolean is expected"),
            ("preemption,progression=fast", "progression: expected time, manual or immediate"),
        ] {
            let error = ScenarioOption::from_str(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
