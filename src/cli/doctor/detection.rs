//! Checks of `doctor`: no variable turns the clients' search for the server off, or makes them expect another machine than a VM.

use super::facts::Facts;
use super::finding::{EXEC, Finding};
use crate::cli::client::Client::{self, Java, Node, Php, Python, Ruby};
use crate::cli::client::sentence;
use crate::cli::client_env::{VARIABLES, readers};

pub(super) const CLIENTS: &[Client] = &[Python, Java, Node, Ruby, Php];

/// Variables of Cloud Run, Cloud Functions and App Engine begin so.
const SERVERLESS: [&str; 4] = ["K_", "FUNCTION_", "CLOUD_RUN_", "GAE_"];

const NODE: &str = "METADATA_SERVER_DETECTION";

pub(super) fn fine(facts: &Facts) -> String {
    match facts.variable(NODE) {
        Some(value) if normalized(&value) == "assume-present" => "clients look for the server".to_owned(),
        _ => format!("clients look for the server; {NODE}=assume-present saves Node a ping of up to 3 s"),
    }
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(node(facts));
    if facts.variable("NO_GCE_CHECK").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let readers = readers("NO_GCE_CHECK");
        let never = sentence(readers, "never asks", "never ask");
        let what = format!("NO_GCE_CHECK is true: {never} the server");
        findings.push(Finding::warning(what, readers).remedy("unset NO_GCE_CHECK").or(EXEC));
    }
    findings.extend(serverless(facts));
    Some(findings)
}

fn normalized(value: &str) -> String {
    value.trim().to_lowercase()
}

fn node(facts: &Facts) -> Option<Finding> {
    let remedy = format!("export {NODE}=assume-present");
    let value = facts.variable(NODE)?;
    let finding = match &*normalized(&value) {
        "assume-present" | "ping-only" => return None,
        "none" => Finding::warning(format!("{NODE} is none: Node never asks the server"), &[Node]),
        "bios-only" => {
            let what =
                format!("{NODE} is bios-only: Node reads the BIOS, which is Google's on GCE only, and never asks");
            Finding::warning(what, &[Node])
        }
        // The value is not printed, since it can be anything.
        _ => Finding::error(format!("{NODE} has an unknown value: Node throws a RangeError"), &[Node]),
    };
    Some(finding.remedy(remedy).or(EXEC))
}

/// A finding for each set of clients that read variables of Cloud Run, Cloud Functions or App Engine.
fn serverless(facts: &Facts) -> Vec<Finding> {
    let mut sets: Vec<(&'static [Client], Vec<&str>)> = Vec::new();
    let is_serverless = |name: &str| SERVERLESS.iter().any(|prefix| name.starts_with(prefix));
    for variable in VARIABLES.iter().filter(|variable| is_serverless(variable.name)) {
        if facts.variables.get(variable.name).is_none() {
            continue;
        }
        match sets.iter_mut().find(|(readers, _)| *readers == variable.readers) {
            Some((_, names)) => names.push(variable.name),
            None => sets.push((variable.readers, vec![variable.name])),
        }
    }
    let finding = |(readers, names): (&'static [Client], Vec<&str>)| {
        let be = if names.len() == 1 { "is" } else { "are" };
        let take = sentence(readers, "takes", "take");
        let what = format!(
            "{} {be} set: {take} this machine for Cloud Run, Cloud Functions or App Engine, not for a VM",
            names.join(", ")
        );
        Finding::warning(what, readers).remedy(format!("unset {}", names.join(" "))).or(EXEC)
    };
    sets.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(variables: &[(&str, &str)]) -> Vec<String> {
        find(&Facts::example(variables)).unwrap().iter().map(|finding| finding.line("detection")).collect()
    }

    #[test]
    fn node_asks_by_default_and_pings_the_server() {
        for value in ["", "assume-present", " Assume-Present ", "ping-only"] {
            assert_eq!(lines(&[(NODE, value)]), [""; 0], "{value}");
        }
        assert!(fine(&Facts::example(&[])).contains("saves Node a ping"));
        assert!(!lines(&[(NODE, "made-up")])[0].contains("made-up"));
    }

    #[test]
    fn only_true_turns_the_search_off() {
        for value in ["false", "1", ""] {
            assert_eq!(lines(&[("NO_GCE_CHECK", value)]), [""; 0], "{value}");
        }
    }

    #[test]
    fn variables_of_serverless_machines_are_reported_by_their_readers() {
        let found = lines(&[("K_SERVICE", ""), ("FUNCTION_NAME", "f"), ("GAE_ENV", "standard")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("warning: K_SERVICE, FUNCTION_NAME are set: Node and Ruby take "), "{found:?}");
        assert!(found[0].contains("; remedy: unset K_SERVICE FUNCTION_NAME, or "), "{found:?}");
        assert!(found[1].starts_with("warning: GAE_ENV is set: Node, PHP and Ruby take "), "{found:?}");
    }
}
