//! Findings from the requests of a command: what the config lacks, and which requests are refused.

use super::super::finding::Finding;
use super::super::fixed_address::SERVE;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The findings about these entries of the journal. `nearest_keys` returns the keys of the metadata that are nearest to a path.
pub(super) fn findings(events: &[Value], nearest_keys: impl Fn(&str) -> Vec<String>) -> Vec<Finding> {
    let mut groups: BTreeMap<Problem, usize> = BTreeMap::new();
    for problem in events.iter().filter_map(Problem::of) {
        *groups.entry(problem).or_default() += 1;
    }
    groups.into_iter().map(|(problem, count)| problem.finding(count, &nearest_keys)).collect()
}

/// Why a request got no value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Problem {
    /// The request has no `Metadata-Flavor: Google`.
    NoFlavor { request: String },
    /// The request has `X-Forwarded-For`.
    Forwarded { request: String },
    /// The metadata has no such key.
    Lacking { key: String },
    /// Another error.
    Status { request: String, status: u64 },
}

impl Problem {
    fn of(event: &Value) -> Option<Self> {
        let status = event["response"]["status"].as_u64().filter(|status| *status >= 400)?;
        let request = target(event);
        if let (Some(false), Some(key)) =
            (event["wasMatched"].as_bool(), event["request"]["metadataServer"]["path"].as_str())
        {
            return Some(Self::Lacking { key: key.to_owned() });
        }
        let headers = &event["request"]["headers"];
        Some(match status {
            403 if !headers["X-Forwarded-For"].is_null() => Self::Forwarded { request },
            403 if headers["Metadata-Flavor"] != "Google" && headers["X-Google-Metadata-Request"].is_null() => {
                Self::NoFlavor { request }
            }
            status => Self::Status { request, status },
        })
    }

    fn finding(self, count: usize, nearest_keys: impl Fn(&str) -> Vec<String>) -> Finding {
        let times = requests(count);
        match self {
            Self::NoFlavor { request } => {
                let what = format!("{request} is refused for lack of the header Metadata-Flavor: Google ({times})");
                Finding::error(what, &[]).or("send the header, as Google's libraries do")
            }
            Self::Forwarded { request } => {
                let what = format!("{request} is refused because of the header X-Forwarded-For ({times})");
                Finding::error(what, &[]).or("send metadata requests directly, not through a proxy")
            }
            Self::Lacking { key } => {
                let finding = Finding::warning(format!("the config lacks {key} ({times})"), &[]);
                match &nearest_keys(&key)[..] {
                    [] => finding.or("add the key to the config"),
                    keys => finding.or(format!("add the key to the config; the nearest keys are {}", keys.join(", "))),
                }
            }
            Self::Status { request, status } => {
                Finding::warning(format!("{request} is answered {status} ({times})"), &[])
            }
        }
    }
}

/// The method and the path. A parameter may be a secret.
fn target(event: &Value) -> String {
    let word = |name: &str| event["request"][name].as_str().unwrap_or_default();
    format!("{} {}", word("method"), word("url").split('?').next().unwrap_or_default())
}

/// `1 request`, `2 requests`.
pub(super) fn requests(count: usize) -> String {
    format!("{count} {}", if count == 1 { "request" } else { "requests" })
}

/// The finding about the requests in a network where nothing but 169.254.169.254 answers.
pub(super) fn isolated(events: &[Value]) -> Finding {
    let host = |event: &Value| event["request"]["host"].as_str().map(str::to_owned);
    let hosts: BTreeSet<_> = events.iter().filter_map(host).collect();
    let Some(first) = events.first() else {
        let what = "the command does not ask 169.254.169.254 or metadata.google.internal either: in a network where nothing else \
                    answers, it sent no request";
        return Finding::warning(what, &[]).or("see whether the command finds other credentials first, or needs none");
    };
    let hosts = hosts.into_iter().collect::<Vec<_>>().join(" and ");
    let what =
        format!("the command asks {hosts} in spite of the variables: {}, {}", requests(events.len()), target(first));
    let finding = Finding::error(what, &[]).remedy(SERVE);
    finding.or("run the program with gce-metadata-server exec --via-proxy, if it uses HTTP_PROXY")
}

/// The finding if the command can't run in a network namespace.
pub(super) fn not_isolated(reason: &str) -> Finding {
    let what = format!(
        "whether the command asks 169.254.169.254 is not known, because no network namespace can be made: {reason}; PHP, Rust's \
         gcp_auth and tame-oauth, and agents of VMs read no variable and ask that address"
    );
    Finding::warning(what, &[]).or("run doctor as root, with the commands unshare and ip")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(url: &str, status: u64) -> Value {
        let mut event = json!({
            "request": {"method": "GET", "url": url, "host": "169.254.169.254", "headers": {"Metadata-Flavor": "Google"}},
            "response": {"status": status},
            "wasMatched": status != 404,
        });
        if let Some(path) = url.strip_prefix("/v1/") {
            event["request"]["metadataServer"] = json!({"path": path});
        }
        event
    }

    fn lines(events: &[Value]) -> Vec<String> {
        findings(events, |key| vec![format!("{key}-2")]).iter().map(|finding| finding.line("run")).collect()
    }

    #[test]
    fn answered_requests_are_no_findings() {
        let mut left = event("/v1/a", 200);
        left["response"]["status"] = Value::Null;
        assert_eq!(lines(&[event("/v1/a", 200), event("/v1/b", 301), left]), [""; 0]);
    }

    #[test]
    fn lacking_keys_and_errors_are_grouped() {
        let found = lines(&[event("/v1/b", 404), event("/v1/c?secret=1", 503), event("/v1/b", 404), event("/x", 404)]);
        let expected = [
            "warning: the config lacks b (2 requests); remedy: add the key to the config; the nearest keys are b-2",
            "warning: GET /v1/c is answered 503 (1 request)",
            "warning: GET /x is answered 404 (1 request)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn refused_requests_name_the_header() {
        let (mut bare, mut forwarded) = (event("/v1/a", 403), event("/v1/b", 403));
        bare["request"]["headers"] = json!({});
        forwarded["request"]["headers"]["X-Forwarded-For"] = "10.0.0.1".into();
        let found = lines(&[bare, forwarded, event("/v1/c", 403)]);
        assert!(found[0].starts_with("error: GET /v1/a is refused for lack of the header Metadata-Flavor: Google"));
        assert!(found[1].starts_with("error: GET /v1/b is refused because of the header X-Forwarded-For"), "{found:?}");
        assert_eq!(found[2], "warning: GET /v1/c is answered 403 (1 request)");
    }

    #[test]
    fn a_request_in_the_namespace_names_the_host() {
        let found = isolated(&[event("/v1/a", 200), event("/v1/b", 200)]).line("run");
        let expected = "error: the command asks 169.254.169.254 in spite of the variables: 2 requests, GET /v1/a";
        assert!(found.starts_with(expected), "{found}");
        assert!(
            isolated(&[]).line("run").starts_with("warning: the command does not ask 169.254.169.254 or metadata.")
        );
    }
}
