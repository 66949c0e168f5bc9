//! Checks of `doctor`: the server answers, is a metadata server, accepts the host, and is fast enough.

use super::facts::Facts;
use super::finding::{Finding, quoted};
use super::probe::Answers;
use crate::cli::client::Client::{self, Go, Terraform};
use http::StatusCode;
use std::time::Duration;

/// How long Snowflake's connectors wait.
const SNOWFLAKE: Duration = Duration::from_millis(200);

/// How long Go's detection and the agents of Elastic and New Relic wait.
const GO: Duration = Duration::from_secs(1);

pub(super) fn fine(facts: &Facts) -> String {
    let took = facts.answers().map_or(Duration::ZERO, |answers| answers.duration);
    format!("http://{} answers as a metadata server, within {} ms", facts.target, took.as_millis().max(1))
}

pub(super) fn find(facts: &Facts) -> Option<Vec<Finding>> {
    Some(match &facts.server {
        Err(reason) => vec![unreachable(facts, reason)],
        Ok(answers) => not_a_metadata_server(facts, answers).or_else(|| slow(answers)).into_iter().collect(),
    })
}

fn unreachable(facts: &Facts, reason: &str) -> Finding {
    let target = &facts.target;
    let finding = Finding::error(format!("no server answers at http://{target}: {reason}"), Client::ALL);
    if !target.is_loopback() {
        return finding.or(format!("start the server with --interface {}, or name it by --url", target.bare_host()));
    }
    let finding = finding.remedy(format!("gce-metadata-server --port {}", target.port()));
    if !facts.machine.is_container {
        return finding;
    }
    finding
        .or("if the server is not in this container: start it with --interface 0.0.0.0, and set GCE_METADATA_HOST to \
                the name and port of its container or host, since 127.0.0.1 is this container itself")
}

fn not_a_metadata_server(facts: &Facts, answers: &Answers) -> Option<Finding> {
    let target = &facts.target;
    if answers.has_flavor && answers.status == StatusCode::FORBIDDEN {
        let host = quoted(target.bare_host());
        let what = format!("http://{target} answers 403: the server refuses public host names, against DNS rebinding");
        let remedy = format!("gce-metadata-server --port {} --allow-host {host}", target.port());
        return Some(Finding::error(what, Client::ALL).remedy(remedy).or("use the IP address of the server"));
    }
    (!answers.has_flavor).then(|| {
        let what =
            format!("http://{target} is not a metadata server: its answer has no header Metadata-Flavor: Google");
        Finding::error(what, Client::ALL).or("name the metadata server by --url or GCE_METADATA_HOST")
    })
}

fn slow(answers: &Answers) -> Option<Finding> {
    let took = answers.duration.as_millis();
    let finding = match answers.duration {
        duration if duration > GO => Finding::warning(
            format!(
                "the server takes {took} ms for an answer: Go's detection and the agents of Elastic and New Relic wait 1 s"
            ),
            &[Go, Terraform],
        ),
        duration if duration > SNOWFLAKE => Finding::warning(
            format!("the server takes {took} ms for an answer: Snowflake's connectors wait 200 ms"),
            // None of the clients of `--client`.
            &[],
        ),
        _ => return None,
    };
    Some(finding.or("use the IP address of the server, since a slow name server delays each request"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::target::Target;

    fn line(change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = Facts::example(&[]);
        change(&mut facts);
        find(&facts).unwrap()[0].line("server")
    }

    #[test]
    fn loopback_in_a_container_is_the_container_itself() {
        let refused = |facts: &mut Facts| facts.server = Err("refused".to_owned());
        let plain = line(refused);
        let expected =
            "error: no server answers at http://127.0.0.1:8080: refused; remedy: gce-metadata-server --port 8080";
        assert_eq!(plain, expected);
        let contained = line(|facts| {
            refused(facts);
            facts.machine.is_container = true;
        });
        assert!(contained.starts_with(expected), "{contained}");
        assert!(contained.ends_with("127.0.0.1 is this container itself"), "{contained}");
        let remote = line(|facts| {
            refused(facts);
            facts.machine.is_container = true;
            facts.target = Target::from_host("metadata:80").unwrap();
        });
        assert!(remote.contains("start the server with --interface metadata"), "{remote}");
    }

    #[test]
    fn a_refused_host_and_another_server_are_errors() {
        let host = "vm.example.com:8080";
        let refused = line(|facts| {
            facts.target = Target::from_host(host).unwrap();
            facts.server = Ok(Answers { status: StatusCode::FORBIDDEN, ..Answers::example(facts.machine.now) });
        });
        assert!(refused.starts_with("error: http://vm.example.com:8080 answers 403: "), "{refused}");
        assert!(refused.contains("gce-metadata-server --port 8080 --allow-host vm.example.com"), "{refused}");
        let other =
            line(|facts| facts.server = Ok(Answers { has_flavor: false, ..Answers::example(facts.machine.now) }));
        assert!(other.contains("is not a metadata server: its answer has no header Metadata-Flavor"), "{other}");
    }

    #[test]
    fn slow_answers_name_the_clients_that_do_not_wait() {
        let answered_in = |millis| {
            let mut facts = Facts::example(&[]);
            let answers = Answers { duration: Duration::from_millis(millis), ..Answers::example(facts.machine.now) };
            facts.server = Ok(answers);
            find(&facts).unwrap().first().map(|finding| finding.line("server"))
        };
        assert_eq!(answered_in(200), None);
        assert!(answered_in(201).unwrap().starts_with("warning: the server takes 201 ms for an answer: Snowflake's "));
        assert!(answered_in(1001).unwrap().starts_with("warning: the server takes 1001 ms for an answer: Go's "));
    }
}
