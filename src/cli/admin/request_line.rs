//! A request of the journal on one line, for people.

use serde_json::Value;

/// The time, the client, the method, the path and query, the status, and the duration of a request, from an entry of the journal.
pub(super) fn text(event: &Value) -> String {
    let request = &event["request"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let status = event["response"]["status"].as_u64().map_or("-".to_owned(), |status| status.to_string());
    let line = format!(
        "{} {} {} {} {status} {} ms{}\n",
        text(&request["loggedDateString"]),
        text(&request["clientIp"]),
        text(&request["method"]),
        text(&request["url"]),
        event["timing"]["totalTime"].as_u64().unwrap_or_default(),
        notes(event),
    );
    // A client may send any bytes, and a terminal obeys control characters.
    line.trim_end().chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).chain(['\n']).collect()
}

/// What is unusual about the request.
fn notes(event: &Value) -> String {
    let waited = &event["request"]["metadataServer"]["waited"];
    let waited = match (waited["endedBy"].as_str(), waited["milliseconds"].as_u64()) {
        (Some("none"), _) | (None, _) => None,
        (Some("change"), Some(time)) => Some(format!("waited {time} ms for a change")),
        (Some(end), time) => Some(format!("waited {} ms, ended by {end}", time.unwrap_or_default())),
    };
    let left = (event["request"]["metadataServer"]["clientLeft"] == true).then(|| "the client left".to_owned());
    let unmatched = (event["wasMatched"] == false).then(|| "unmatched".to_owned());
    let notes: Vec<_> = [waited, left, unmatched].into_iter().flatten().collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(status: Value, change: impl FnOnce(&mut Value)) -> Value {
        let mut event = json!({
            "request": {
                "loggedDateString": "2026-11-28T12:00:00.5Z", "clientIp": "127.0.0.1", "method": "GET", "url": "/a?b=c",
            },
            "response": {"status": status},
            "timing": {"totalTime": 3},
            "wasMatched": true,
        });
        change(&mut event);
        event
    }

    #[test]
    fn a_line_has_client_target_status_and_duration() {
        assert_eq!(text(&event(200.into(), |_| {})), "2026-11-28T12:00:00.5Z 127.0.0.1 GET /a?b=c 200 3 ms\n");
        let unix = event(404.into(), |event| {
            event["request"].as_object_mut().unwrap().remove("clientIp");
            event["wasMatched"] = false.into();
        });
        assert_eq!(text(&unix), "2026-11-28T12:00:00.5Z - GET /a?b=c 404 3 ms (unmatched)\n");
    }

    #[test]
    fn a_long_poll_has_its_wait() {
        let waited = |ended_by: &str, left: bool| {
            let status = if left { Value::Null } else { 200.into() };
            let line = text(&event(status, |event| {
                event["request"]["metadataServer"] =
                    json!({"waited": {"milliseconds": 3, "endedBy": ended_by}, "clientLeft": left});
            }));
            line.split_once("/a?b=c ").unwrap().1.to_owned()
        };
        assert_eq!(waited("change", false), "200 3 ms (waited 3 ms for a change)\n");
        assert_eq!(waited("timeout", false), "200 3 ms (waited 3 ms, ended by timeout)\n");
        assert_eq!(waited("none", false), "200 3 ms\n");
        assert_eq!(waited("client", true), "- 3 ms (waited 3 ms, ended by client, the client left)\n");
    }

    #[test]
    fn control_characters_are_replaced() {
        let line = text(&event(200.into(), |event| event["request"]["url"] = "/\u{1b}[2J\n".into()));
        assert!(line.contains(" /\u{fffd}[2J\u{fffd} 200 "), "{line}");
    }
}
