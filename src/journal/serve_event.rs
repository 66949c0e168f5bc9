//! The JSON of an entry: WireMock's `ServeEvent`. What WireMock has no name for is the member `metadataServer` of the request, because
//! WireMock's client for Java refuses unknown members everywhere else.

use super::entry::Entry;
use crate::date::rfc3339;
use crate::events::end_name;
use crate::request_pattern::RequestView;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gce_metadata_layers::PeerIdentity;
use gce_metadata_routes::Tree;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// The whole entry.
pub(crate) fn serve_event(entry: &Entry, tree: &Tree) -> Value {
    let status = entry.answer.as_ref().and_then(|answer| answer.status).map(|status| status.as_u16());
    let milliseconds = milliseconds(entry.duration);
    let mut event = json!({
        "id": entry.id(),
        "request": logged_request(entry, tree),
        "responseDefinition": {"status": status},
        "response": {"status": status, "headers": headers(entry.answer_headers())},
        "wasMatched": entry.is_matched(),
        "timing": {"addedDelay": 0, "processTime": milliseconds, "responseSendTime": 0, "serveTime": milliseconds, "totalTime": milliseconds},
    });
    if let Some(fault) = entry.fault() {
        event["stubMapping"] = json!({"id": &*fault.id, "uuid": &*fault.id});
        if let Some(name) = &fault.name {
            event["stubMapping"]["name"] = (**name).into();
        }
    }
    event
}

/// The request alone, as `find` and near misses have it.
pub(crate) fn logged_request(entry: &Entry, tree: &Tree) -> Value {
    let since_epoch = entry.received.duration_since(UNIX_EPOCH).unwrap_or_default();
    let scheme = if entry.is_encrypted { "https" } else { "http" };
    let host = entry.header("host").unwrap_or_default();
    let url = entry.url();
    let body = entry.body.as_ref().map(gce_metadata_layers::CapturedBody::bytes).unwrap_or_default();
    let parameters = entry.parameters().into_iter().fold(Map::new(), |mut all, (name, value)| {
        let item = all.entry(&name).or_insert_with(|| json!({"key": name, "values": []}));
        if let Some(values) = item["values"].as_array_mut() {
            values.push(value.into());
        }
        all
    });
    let mut request = json!({
        "url": url,
        "absoluteUrl": format!("{scheme}://{host}{url}"),
        "scheme": scheme,
        "host": host.rsplit_once(':').map_or(&*host, |(name, _)| name),
        "method": entry.method.as_str(),
        "headers": headers(entry.headers()),
        "cookies": {},
        "queryParams": parameters,
        "body": String::from_utf8_lossy(&body),
        "bodyAsBase64": STANDARD.encode(&body),
        "loggedDate": milliseconds(since_epoch),
        "loggedDateString": rfc3339(entry.received),
        "metadataServer": extension(entry, tree),
    });
    if let Some(ip) = entry.client_ip() {
        request["clientIp"] = ip.into();
    }
    request
}

/// Headers in JSON, spelled as the server spells its own. A header with several values is a list.
fn headers<'a>(headers: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> Value {
    let mut object = Map::new();
    for (name, value) in headers {
        let value = Value::from(value);
        match object.get_mut(&title_case(name)) {
            None => _ = object.insert(title_case(name), value),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    object.into()
}

/// `Metadata-Flavor` for `metadata-flavor`.
fn title_case(name: &str) -> String {
    let mut starts = true;
    let upper = |character: char| {
        if std::mem::replace(&mut starts, character == '-') { character.to_ascii_uppercase() } else { character }
    };
    name.chars().map(upper).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What only a metadata server knows of a request.
fn extension(entry: &Entry, tree: &Tree) -> Value {
    let mut extension = json!({"number": entry.number(), "generation": entry.generation});
    let key = entry.key();
    if let Some(key) = &key {
        extension["path"] = (**key).into();
    }
    let mut segments = key.as_deref().unwrap_or_default().split('/').filter(|segment| !segment.is_empty());
    if let (Some("instance"), Some("service-accounts"), Some(name)) =
        (segments.next(), segments.next(), segments.next())
    {
        let account = tree.service_account(name);
        extension["account"] = account.map_or_else(|| name.to_owned(), |account| account.email.clone()).into();
        if let Some(kind @ ("token" | "identity")) = segments.next() {
            extension["token"] = token(kind, &entry.parameters());
        }
    }
    if let Some(waited) = waited(entry) {
        extension["waited"] = waited;
    }
    if let Some(peer) = &entry.peer {
        extension["peer"] = peer_json(peer);
    }
    if entry.answer.is_none() {
        extension["clientLeft"] = true.into();
    }
    if entry.body.as_ref().is_some_and(gce_metadata_layers::CapturedBody::is_truncated) {
        extension["bodyIsTruncated"] = true.into();
    }
    extension
}

/// What was asked of a token.
fn token(kind: &str, parameters: &[(String, String)]) -> Value {
    let first = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut token = Map::new();
    token.insert("kind".into(), if kind == "token" { "access" } else { "identity" }.into());
    if kind == "token" {
        let scopes = first("scopes").unwrap_or_default();
        let scopes: Vec<_> = scopes.split([',', ' ']).filter(|scope| !scope.is_empty()).collect();
        token.insert("scopes".into(), scopes.into());
    } else {
        let given = ["audience", "format", "licenses"].into_iter().filter_map(|name| Some((name, first(name)?)));
        token.extend(given.map(|(name, value)| (name.to_owned(), value.into())));
    }
    token.into()
}

/// What a long poll waited for, and how the wait ended.
fn waited(entry: &Entry) -> Option<Value> {
    let query = entry.long_poll()?;
    let waited = entry.answer.as_ref().and_then(|answer| answer.waited);
    let (time, ended_by) = match (&entry.answer, waited) {
        (None, _) => (entry.duration, end_name(None)),
        (_, None) => (Duration::ZERO, "none"),
        (_, Some(waited)) => (waited.time, end_name(Some(waited.ended_by))),
    };
    let mut json = json!({"milliseconds": milliseconds(time), "endedBy": ended_by});
    if let Some(tag) = query.last_etag {
        json["lastEtag"] = tag.into();
    }
    if let Some(timeout) = query.timeout {
        json["timeoutSec"] = timeout.as_secs().into();
    }
    Some(json)
}

fn peer_json(peer: &PeerIdentity) -> Value {
    json!({
        "subject": peer.subject,
        "commonName": peer.common_name,
        "dnsNames": peer.dns_names,
        "uris": peer.uris,
        "fingerprint": peer.fingerprint.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;
    use gce_metadata_layers::Connection;
    use gce_metadata_routes::Metadata;
    use http::Request;

    fn event(request: http::request::Builder, status: u16) -> Value {
        serve_event(&entry(request, status), &Metadata::sample().tree())
    }

    #[test]
    fn an_entry_has_the_form_of_wiremock() {
        let request =
            Request::get("/computeMetadata/v1/instance/id?alt=json").header("host", "127.0.0.1:80").header("a", "b");
        let connection = Connection::from_remote(([127, 0, 0, 1], 9).into());
        let event = event(request.header("a", "c").header("metadata-flavor", "Google").extension(connection), 200);
        let request = &event["request"];
        assert_eq!(request["url"], "/computeMetadata/v1/instance/id?alt=json");
        assert_eq!(request["absoluteUrl"], "http://127.0.0.1:80/computeMetadata/v1/instance/id?alt=json");
        assert_eq!(request["headers"], json!({"Host": "127.0.0.1:80", "A": ["b", "c"], "Metadata-Flavor": "Google"}));
        assert_eq!(request["queryParams"]["alt"], json!({"key": "alt", "values": ["json"]}));
        assert_eq!((&request["method"], &request["clientIp"]), (&"GET".into(), &"127.0.0.1".into()));
        assert_eq!(event["response"], json!({"status": 200, "headers": {"Etag": "tag"}}));
        assert_eq!((&event["wasMatched"], &event["timing"]["totalTime"]), (&true.into(), &5.into()));
        assert_eq!(request["metadataServer"]["path"], "instance/id");
    }

    #[test]
    fn a_request_for_a_token_has_the_account_and_what_was_asked() {
        let base = "/computeMetadata/v1/instance/service-accounts/default";
        let access = event(Request::get(format!("{base}/token?scopes=a,b%20c")), 200);
        let account = "vm-1@sample-project.iam.gserviceaccount.com";
        assert_eq!(access["request"]["metadataServer"]["account"], account);
        assert_eq!(access["request"]["metadataServer"]["token"], json!({"kind": "access", "scopes": ["a", "b", "c"]}));
        let identity = event(Request::get(format!("{base}/identity?audience=https://a&format=full")), 200);
        let expected = json!({"kind": "identity", "audience": "https://a", "format": "full"});
        assert_eq!(identity["request"]["metadataServer"]["token"], expected);
        let other = event(Request::get("/computeMetadata/v1/instance/service-accounts/other/email"), 404);
        assert_eq!(other["request"]["metadataServer"]["account"], "other");
        assert_eq!(other["wasMatched"], false);
    }

    #[test]
    fn a_long_poll_has_what_it_waited_for() {
        let waited = event(Request::get("/a?wait_for_change=true&last_etag=0&timeout_sec=5"), 200);
        let expected = json!({"lastEtag": "0", "timeoutSec": 5, "milliseconds": 0, "endedBy": "none"});
        assert_eq!(waited["request"]["metadataServer"]["waited"], expected);
    }
}
